"""Effects: what is done in each state of a job, one coroutine per state.

Theory of operation. The table (`daemon.core.job.states`) says which state follows which. A request, a printer event or
the end of an effect fires a trigger. That cancels the coroutine of the old state, and the runner starts that of the
new one. So exactly one effect runs at any time, and these rules make that safe:

* An effect ends by firing a trigger, or by an error, with which the runner ends the job. A request or an event cancels
  the effect: it has fired a trigger, or it has the runner end the job (`Job.stop`) or begin the same effect again
  (`Job.reattach_again`). An effect that is cancelled cleans nothing up: calling off a print is a state of its own
  (cancelling), with an effect of its own.
* An effect can begin again. After a pause in the middle of a wait for heat, that wait begins again, and the next host
  begins the effect from its first line. So nothing that matters is kept in local variables. It is in the snapshot
  (`parked`, `script`, `barrier_offset`, `standing_by`), which is written before anything that must not be done twice.
* Commands of the job that must be sent exactly once go through `job.steps`, which ensures this even if the host
  changes. Commands that set a value (M104) may be sent twice.
* The link pulls the lines of the file from the stream; the effect does not send them. `_printing` lets them go and
  waits until the stream calls: at its end, at an error, or at a barrier, which is a line that the host has to act upon.
  The stream hands out no line after a barrier before `proceed`.
* An `ok` means that a move is planned, not that it has been made. Wherever the next step needs the head at rest, the
  effect awaits `printer.wait_for_rest()`, which sends an M400, or what the firmware has in its place, and then asks for
  the position.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from daemon.bridge.words import FileMark, JobState
from daemon.config import Config
from daemon.config.named_values import fill_in
from daemon.core.connection.losing import LossCount
from daemon.core.job.calling_off import turn_heaters_off_and_rest, while_it_lives
from daemon.core.job.file_check import sha1_of
from daemon.core.job.heat_wait import Goal, wait_for_heat
from daemon.core.job.job import Job
from daemon.core.job.named_values import values
from daemon.core.job.opening import open_upload
from daemon.core.job.parking import ParkedPosition, unpark
from daemon.core.job.places import StoredPlace
from daemon.core.job.resting import (
    come_to_rest,
    find_lost_position,
    has_gone_cold,
    heat_again,
    parked_by_printer,
    stand_by,
    timer_has_run_out,
)
from daemon.core.job.states import BACK_TO
from daemon.core.job.streamer import FileStream
from daemon.core.job.survival import Survival
from daemon.core.job.tally import Tally
from daemon.core.record.store import Store
from daemon.errors import CannotReattach, JobConflict, UncheckedFile
from gcode.errors import CommandError, FirmwareHalted
from gcode.heating import shift_target
from gcode.host_commands import (
    CancelJob,
    DwellUnlessKnown,
    HeatAndWait,
    Meaning,
    PauseJob,
    PauseUnlessKnown,
    PrinterPauses,
    WaitForAll,
    meaning,
)
from gcode.outgoing import JobPlace
from gcode.too_hot import excess
from gcode.unknown import unknown_to
from hal.printer import ConnectionState, Printer

T = TypeVar("T")

_MINUTE = 60.0
_REBOOTED = "the computer rebooted during the print; the printer is as it was left, and resuming prints the next line"

log = structlog.get_logger()


class Effects:
    """What is done in each state: `by_state` has the coroutines."""

    def __init__(
        self,
        config: Callable[[], Config],
        store: Store,
        uploads: Path,
        executor: Executor,
        *,
        pause: Callable[[], None],
        cancel: Callable[[], None],
        resume: Callable[[], None],
        survival: Survival,
    ) -> None:
        """Prepare.

        Args:
            config: returns the present configuration: scripts, profile.
            store: records jobs.
            uploads: the folder to which selections are relative.
            executor: its threads read files.
            pause: called when the file asks for a pause.
            cancel: called when the file asks to be cancelled.
            resume: called once the job is paused, if a resume was requested before.
            survival: keeps what the next host needs to reattach.
        """
        self._config_now = config
        self._store = store
        self._uploads = uploads
        self._executor = executor
        self._pause = pause
        self._cancel = cancel
        self._resume = resume
        self._survival = survival
        self.tally = Tally()
        self.by_state: dict[JobState, Callable[[Job], Awaitable[None]]] = {
            JobState.STARTING: self._starting,
            JobState.PRINTING: self._printing,
            JobState.PAUSING: self._pausing,
            JobState.PAUSED: self._paused,
            JobState.RESUMING: self._resuming,
            JobState.FINISHING: self._finishing,
            JobState.CANCELLING: self._cancelling,
            JobState.REATTACHING: self._reattaching,
        }

    @property
    def _config(self) -> Config:
        return self._config_now()

    async def _starting(self, job: Job) -> None:
        job.printer.keep_heat()  # the script may heat, and no line has been fed yet
        if _stream_of(job).is_rest and job.snapshot.script:
            log.info("job.script_left_out", commands=job.snapshot.script, reason="the nozzle is on the part")
            job.snapshot.script.clear()
        await self._finish_script(job)
        job.machine.fire("started")

    async def open_file(self, job: Job) -> None:
        """Open the file and record the job, before its first effect.

        Raises:
            OSError: the file cannot be opened or read.
            CommandError: the file is not text.
            UncheckedFile: it is not the file that the front has checked.
            StoreError: the print has a key, and its start cannot be recorded.
        """
        selection = job.snapshot.selection
        stream = job.stream = self._stream(job, self._uploads / selection.path, self._survival.kept_file.root)
        await stream.open()
        file_mark = await self._run_in_thread(self._survival.kept_file.keep, selection.path, stream)
        if job.checked_file not in (None, file_mark):
            raise UncheckedFile(
                f"{selection.path} was changed after it had been checked, so it was not printed: start it again, and "
                "the new file is checked"
            )
        unchanged = (file_mark.size, file_mark.mtime_ns) == (selection.size, selection.mtime_ns)
        file = job.snapshot.file = replace(file_mark, sha1=selection.sha1 if unchanged else None)
        if job.snapshot.claim is not None:
            await self._store.begin_claimed(job.snapshot.claim.job, job.snapshot.record(file))
        else:
            job.snapshot.job = await self._store.begin_job(job.snapshot.record(file))

    async def _run_in_thread(self, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work, *args)

    async def drop_kept_file(self) -> None:
        """Drop the kept file: the job has ended."""
        await self._run_in_thread(self._survival.kept_file.drop)

    def _stream(self, job: Job, path: Path, root: Path | None = None) -> FileStream:
        stream = FileStream(
            partial(open_upload, path, root),
            self._executor,
            on_more=lambda: job.printer.wake(),  # noqa: PLW0108 - the job may have another printer object by then
            on_left_out=_log_left_out,
            understand=partial(
                meaning,
                host_waits=self._host_waits(job.printer),
                reads_r=job.printer.dialect.heat.reads_r,
                unknown=unknown_to(job.printer.dialect, job.printer.identity.capabilities),
                resumes=job.printer.dialect.resume_command is not None,
            ),
            receiver=lambda: job.printer,
            check=self._heat_problem,
            alter=lambda command: self._add_offset(job, command),
        )
        stream.tally = self.tally
        return stream

    def _add_offset(self, job: Job, command: bytes) -> bytes:
        profile = self._config.profile
        tool = 0 if profile.shared_nozzle else job.printer.modes.tool or 0
        limits = (profile.max_hotend_c, profile.max_bed_c, profile.max_chamber_c)
        return shift_target(command, job.snapshot.offsets, tool, *limits)

    def _heat_problem(self, command: bytes) -> str | None:
        profile = self._config.profile
        return excess(command, profile.max_hotend_c, profile.max_bed_c, profile.max_chamber_c)

    def _check_heat(self, command: str) -> str:
        """Return a command of a script; raises CommandError if it asks for too much heat."""
        if problem := self._heat_problem(command.encode("ascii", "replace")):
            raise CommandError(f"a script asks for too much heat: {problem}")
        return command

    async def _reattaching(self, job: Job) -> None:
        """Reattach to the printer, find the place in the file, and return to the previous state.

        If the connection is lost again meanwhile, `printer_events` makes this begin again.
        """
        job.may_reattach_again = False
        link = await self._survival.reattach(job)
        while job.printer.state is not ConnectionState.READY:  # lost again in the same turn
            if isinstance(job.printer.error, FirmwareHalted):
                raise job.printer.error  # reattaching would break off an emergency stop
            link = await self._survival.reattach(job)
        job.may_reattach_again = True
        stored = self._survival.stored_place
        job.feeds_printer, job.was_reattached = False, True
        file = job.snapshot.file
        if job.stream is not None:
            await job.stream.close()
        if file is None:
            raise CannotReattach("the file had not been opened yet")
        stream = job.stream = self._stream(job, await self._run_in_thread(self._survival.kept_file.find, file))
        fed = link.fed if link is not None else stored.fed if stored is not None else JobPlace()
        await stream.open(fed.offset if fed.lines else -1, job.snapshot.barrier_offset)
        if FileMark(file.path, stream.size, stream.mtime_ns, stream.inode) != file:
            raise CannotReattach("the file has been changed")
        self._begin_check(job, stream, file.sha1)
        # frames before `first_line` are of an earlier job, whose steps have the same numbers
        frames = [each for each in link.sent if each[0] >= job.snapshot.first_line] if link is not None else []
        if stored is not None:
            fed = await self._find_place(job, stream, stored)
        job.steps.reattach({ticket.step for _, _, _, _, ticket in frames if ticket is not None and ticket.step})
        log.info("job.reattached", line=job.printer.first_number, lines=fed.lines, offset=fed.offset)
        self._return_to_state(job, asks=stored is not None)

    def _return_to_state(self, job: Job, *, asks: bool) -> None:
        """Return to the previous state, or to the one requested since; after a reboot ask the user first."""
        request, job.snapshot.wish = job.snapshot.wish, None
        job.losses = LossCount()
        printed = job.snapshot.state is JobState.PRINTING
        asks = asks and request is None and printed and self._config.job.after_reboot == "ask"
        job.machine.fire("back_to_cancelling" if request == "cancel" else BACK_TO[job.snapshot.state])
        if asks:
            job.snapshot.awaits_user = True
            self._pause_for(job, _REBOOTED)
        elif request == "pause":
            self._pause()
        elif request == "resume":
            self._resume_as_requested()

    async def _find_place(self, job: Job, stream: FileStream, stored: StoredPlace) -> JobPlace:
        """Find the printer's place in the file, and check that the printer is in the same state as before."""
        from daemon.core.job import after_reboot  # noqa: PLC0415 - needed only after a power cut

        place = await after_reboot.find_place(stream, stored, job.printer.first_number)
        self._survival.continue_from(job, place.fed, place.modes)
        if job.snapshot.state is not JobState.PAUSED:
            await after_reboot.check_printer(job, stream, stored, place, self._executor)
        # not before: if the connection is lost in the check, the place is found again from what the disk has
        if place.barrier_offset is not None:
            job.snapshot.barrier_offset = place.barrier_offset
        self._survival.keep_in_logbook()
        return place.fed

    def _begin_check(self, job: Job, stream: FileStream, sha1: str | None) -> None:
        """Check the file in the background; if it is not what was uploaded, the job ends."""
        self.end_check(job)
        if sha1 is not None:
            fd = stream.duplicate()
            job.check_task = asyncio.create_task(self._check(job, sha1, fd))
            job.check_task.add_done_callback(lambda _: self._executor.submit(os.close, fd))

    @staticmethod
    def end_check(job: Job) -> None:
        """Stop the check."""
        if job.check_task is not None:
            job.check_task.cancel()

    async def _check(self, job: Job, sha1: str, fd: int) -> None:
        try:
            digest = await sha1_of(fd, self._executor)
        except OSError as error:
            # if the print needs the unreadable bytes, it fails by itself
            log.warning("job.file_unchecked", file=job.snapshot.selection.path, reason=str(error))
            return
        if digest == sha1:
            log.info("job.file_checked", file=job.snapshot.selection.path, sha1=sha1)
        else:
            job.stop(CannotReattach(f"{job.snapshot.selection.path} is not what was uploaded: check the disk"))

    def _host_waits(self, printer: Printer) -> bool:
        choice = self._config.job.heat_up
        # after an M109 every command waits for the heat, except those that the emergency parser reads, such as M108
        # (marlin-advok-heat.txt, "M109 S230 then (while it blocks) M105 + M108")
        deaf = not printer.identity.can("EMERGENCY_PARSER")
        return choice == "host" or (choice == "auto" and deaf)

    async def _finish_script(self, job: Job) -> None:
        """Run the rest of the script: a pause may have interrupted it."""
        await job.steps.finish_earlier_step(job.printer)
        while job.snapshot.script:
            await job.steps.send_of_script(job.printer, self._check_heat(job.snapshot.script.pop(0)))

    async def _printing(self, job: Job) -> None:
        stream = _stream_of(job)
        await self._survival.places.announce_lines(job)
        if not job.feeds_printer:
            job.feeds_printer = True
            job.printer.feed(stream, keep_place=job.was_reattached)
        job.printer.release()
        while not stream.ended:
            await stream.attention.wait()
            if stream.error is not None:
                raise stream.error
            if stream.barrier is not None:
                await self._act_at_barrier(job, stream, stream.barrier)
        await job.printer.wait_until_acknowledged()
        job.note_place()
        await job.printer.wait_for_rest()  # only then has it printed 100 %
        job.machine.fire("file_ended")

    async def _act_at_barrier(self, job: Job, stream: FileStream, barrier: Meaning) -> None:
        """Do what the file asks of the host, then let the stream proceed. If a pause interrupts this, it runs again."""
        match barrier:
            case HeatAndWait():
                await job.printer.wait_until_acknowledged()
                await self._wait_for_heat(job, barrier)
            case WaitForAll():
                await job.printer.wait_until_acknowledged()
                await self._wait_for_all(job, barrier)
            case PauseJob(reason=reason):
                self._pause_for(job, reason)  # first, so that the gate is closed when the stream proceeds
            case PrinterPauses():  # Prusa's M601 parks, and M602 restores heat and position (Marlin_main.cpp)
                job.snapshot.printer_paused = True
                self._pause_for(job, f"the file asks for it: {barrier.command.decode()}")
            case PauseUnlessKnown():
                await job.printer.wait_for_rest()
                if barrier.word in job.unknown_words:
                    self._pause_for(job, f"the firmware does not know {barrier.command.decode()}")
            case DwellUnlessKnown():
                await job.printer.wait_for_rest()
                if barrier.word in job.unknown_words:
                    await job.printer.send(barrier.instead.decode())
            case CancelJob(reason=reason):
                log.info("job.cancel", reason=reason)
                self._cancel()
        job.snapshot.barrier_offset = stream.barrier_offset
        self._survival.keep(job)
        stream.proceed()
        job.printer.wake()

    def _pause_for(self, job: Job, reason: str) -> None:
        log.info("job.pause", reason=reason)
        job.snapshot.pause_reason = reason
        self._pause()

    async def _wait_for_heat(self, job: Job, barrier: HeatAndWait) -> None:
        goal = Goal(barrier.heater, barrier.target, barrier.waits_for_cooling)
        if not await wait_for_heat(job.printer, goal, self._config.job.heat_report_s, job.warn):
            log.info("job.heat_unseen", heater=barrier.heater, command=barrier.file_command.decode())
            # only the firmware knows the temperature of this heater
            await job.printer.send(barrier.file_command.decode())

    async def _wait_for_all(self, job: Job, barrier: WaitForAll) -> None:
        await job.printer.send("M105")  # the last report may be older than the targets
        goals = [Goal(name, reading.target) for name, reading in job.printer.heaters.items() if reading.target]
        for goal in goals:
            await wait_for_heat(job.printer, goal, self._config.job.heat_report_s, job.warn)
        if not goals:
            await job.printer.send(barrier.file_command.decode())

    async def _pausing(self, job: Job) -> None:
        """Come to rest. If a resume has begun to move, it is finished first: the head must not stop half-way back."""
        if job.snapshot.parked is not None and not job.steps.is_repeated:
            job.snapshot.script.clear()  # the resume had only begun to heat: the head is still where it was parked
        else:
            await self._finish_script(job)
            await job.printer.wait_until_acknowledged()
            job.note_place()
            if job.snapshot.printer_paused:
                targets = job.recent_targets(asyncio.get_running_loop().time())
                job.snapshot.parked = parked_by_printer(job.printer, targets)
            else:
                job.snapshot.parked = await come_to_rest(job.printer, job.steps, self._config)
                await self.send_script(job, self._config.scripts.after_pause)
        request, job.snapshot.wish = job.snapshot.wish, None
        job.machine.fire("paused")
        if request == "resume":
            self._resume_as_requested()

    def _resume_as_requested(self) -> None:
        """Resume, because that was requested before the job was paused."""
        try:
            self._resume()
        except JobConflict as error:
            log.warning("job.stays_paused", reason=str(error))

    async def _paused(self, job: Job) -> None:
        """Stay paused until a request comes; after some time let the hotends cool to standby.

        If the user was asked after a reboot and does not resume the print in time, the print ends and the heaters are
        turned off.
        """
        if not job.snapshot.awaits_user:
            await self._stand_by_in_time(job)
            return
        tasks = {asyncio.create_task(self._stand_by_in_time(job)), asyncio.create_task(self._wait_for_user(job))}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            done.pop().result()  # raises an error: neither of the two returns
        finally:
            for each in tasks:
                each.cancel()

    async def _wait_for_user(self, job: Job) -> None:
        """Wait for the user. The time that has passed is in the snapshot, so a reboot does not reset it.

        Raises:
            CannotReattach: the user has not resumed the print in time.
        """
        minutes = self._config.job.after_reboot_min
        while (remaining_s := 60 * minutes - job.snapshot.user_wait_s) > 0:
            # counted before each wait, so that the time runs out even on a computer that keeps rebooting
            job.snapshot.user_wait_s += min(_MINUTE, remaining_s)
            self._survival.keep(job)
            await asyncio.sleep(min(_MINUTE, remaining_s))
        raise CannotReattach(f"the computer rebooted, and nobody resumed the print within {minutes:g} min")

    async def _stand_by_in_time(self, job: Job) -> None:
        minutes = self._config.pause.standby_after_min
        if minutes and job.snapshot.parked is not None:
            await asyncio.sleep(minutes * 60)
            job.snapshot.standing_by = True
            self._survival.keep(job)
            log.info("job.standby", after_min=minutes, hotend_c=self._config.pause.standby_c)
            await stand_by(job.printer, job.snapshot.parked, self._config)
        await asyncio.get_running_loop().create_future()

    async def _resuming(self, job: Job) -> None:
        """Heat, run the user's script, and return to the part; script and return are finished even if a pause comes."""
        snapshot = job.snapshot
        snapshot.awaits_user, snapshot.user_wait_s = False, 0.0  # first, as a pause may come while it heats
        if snapshot.parked is not None:
            if snapshot.standing_by or await has_gone_cold(job.printer, snapshot.parked):
                if timer_has_run_out(job.printer, snapshot.parked):
                    reasons = await job.steps.observe(partial(find_lost_position, job.printer, snapshot.parked))
                    if reasons:
                        self._pause_for(job, reasons[0])
                        return
                snapshot.standing_by = True  # the next host has to heat too, if this one dies before all is hot
                self._survival.keep(job)
                await heat_again(job.printer, snapshot.parked, self._config)
                snapshot.standing_by = False
            snapshot.script.extend(self._way_back(job, snapshot.parked))
            snapshot.parked = None
        snapshot.printer_paused = snapshot.resumed_by_firmware = False
        await self._finish_script(job)
        snapshot.pause_reason = None
        job.machine.fire("resumed")

    @staticmethod
    def _way_back(job: Job, parked: ParkedPosition) -> list[str]:
        """Return the commands that end the pause; if the printer paused by itself, its own command, or none."""
        snapshot, command = job.snapshot, job.printer.dialect.resume_command
        if not snapshot.printer_paused:
            return unpark(parked)
        return [command.decode()] if command is not None and not snapshot.resumed_by_firmware else []

    async def _finishing(self, job: Job) -> None:
        await self.send_script(job, self._config.scripts.after_finish)
        if job.snapshot.claim is not None and job.snapshot.claim.eject and self._config.scripts.eject:
            await self.send_script(job, self._config.scripts.eject)
            await job.printer.wait_for_rest()
            job.snapshot.ejected = True
        job.machine.fire("finished")

    async def _cancelling(self, job: Job) -> None:
        """Turn the heaters off and come to rest; send an emergency stop to a printer that does not react."""
        job.steps.drop_earlier_step()
        silence = self._config.job.cancel_deadline_s
        try:
            await self._call_off(job, silence)
        except TimeoutError as error:
            job.reason = f"{str(error) or 'the printer did not answer'} and was stopped by M112"
            log.warning("job.emergency_stop", reason=job.reason)
            job.machine.fire("cancelled")
            job.printer.emergency_stop(job.reason)
            return
        job.machine.fire("cancelled")

    async def _call_off(self, job: Job, silence: float) -> None:
        await turn_heaters_off_and_rest(job.printer, self._config.profile, silence)
        job.note_place()
        await while_it_lives(job.printer, self.send_script(job, self._config.scripts.after_cancel), silence)

    async def send_script(self, job: Job, commands: tuple[str, ...]) -> None:
        """Send the commands one after the other."""
        named_values = job.steps.recall(lambda: values(job))
        for command in fill_in(commands, named_values):
            await job.steps.send(job.printer, self._check_heat(command))


def _stream_of(job: Job) -> FileStream:
    if job.stream is None:
        raise AssertionError("this job prints, but its file has not been opened")
    return job.stream


def _log_left_out(offset: int, command: str, reason: str) -> None:
    log.warning("job.skipped", offset=offset, command=command, reason=reason)
