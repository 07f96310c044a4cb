"""JobController: takes what people ask of the job, and what the printer tells, and moves the job's machine.

A request is synchronous: it moves the machine, which ends the effect of the old state and begins that of the new
one. It never waits for the printer. What is done in each state stands in `effects`.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

import structlog

from daemon.config import Config
from daemon.connection import Connection
from daemon.errors import CannotGoOn, JobConflict, StepsDiffer, Unsafe
from daemon.job.cooling import Cooling
from daemon.job.dead_man import DeadMan
from daemon.job.effects import Effects
from daemon.job.job import Job, Progress, Selection
from daemon.job.kept import KeptFile
from daemon.job.leftovers import Leftovers
from daemon.job.machine import JobMachine
from daemon.job.named_values import values
from daemon.job.page import Page, fill, selection
from daemon.job.states import JobState
from daemon.job.steps import Steps
from daemon.job.survival import Survival
from daemon.named_values import filled
from daemon.safety import PATIENCE, is_hot
from daemon.store import Store
from gcode.errors import NozzledError, PrinterReset
from gcode.outgoing import Counters
from hal.errors import AddressError, NotConnected, PortError, PortLost
from hal.loop import WatchedLoop
from hal.printer import ActionRequested, ConnectionState, Event, Printer, StateChanged

_PAUSES = (JobState.PAUSING, JobState.PAUSED)


BAD_SHARE = 0.1  # of the lines that the printer asks for again: the line needs a look
MANY_LINES = 100  # fewer say nothing about a line
CHECKPOINT = 5.0  # seconds between two notes of the position in the store

log = structlog.get_logger()


class JobController:
    """The one job of this daemon."""

    def __init__(
        self,
        config: Config,
        connection: Connection,
        store: Store,
        uploads: Path,
        executor: Executor,
        survival: Survival | None = None,
    ) -> None:
        """Watch the connection; nothing is printed before `start`.

        Args:
            config: its scripts and profile.
            connection: where the printer is.
            store: where jobs are recorded.
            uploads: the folder that selections are relative to.
            executor: whose threads read files.
            survival: what the next host goes on from; None: nobody comes after this process.
        """
        self.selected: Selection | None = None
        self.offsets: dict[str, float] = {}  # °C that are added to the targets of files, by heater
        self._config = config
        self._connection = connection
        self._store = store
        kept = KeptFile(uploads, uploads.parent)
        self._survival = survival or Survival(connection, connection.logbook, kept)
        self._effects = Effects(
            config,
            store,
            uploads,
            executor,
            pause=self.pause,
            cancel=self.cancel,
            resume=self.resume,
            survival=self._survival,
        )
        self._leftovers = Leftovers(self._survival, store, uploads)
        self._handed_over = False
        self._job: Job | None = None
        self._left_over: tuple[JobState, str | None] | None = None  # how the job of an earlier run ended, and why
        self._cooling = Cooling(config.profile, self._on_cold)
        self.dead_man = DeadMan(config.safety, connection, lambda: self.state)
        self._listeners: list[Callable[[JobState], None]] = [self.dead_man.on_job]
        connection.subscribe(self._on_event)
        connection.before_close(self.abandon)
        connection.persist_while(lambda: self._cooling.due)

    # -- what is known -------------------------------------------------------------------------------------

    @property
    def state(self) -> JobState | None:
        """The state of the job, also after its end; None before the first one."""
        if self._job is None:
            return self._left_over[0] if self._left_over else None
        return self._job.state

    @property
    def active(self) -> bool:
        """There is a job that has not ended."""
        return self._job is not None and not self._job.state.ended

    @property
    def job_id(self) -> int | None:
        """The number in the store of the job, also after its end; None before the first one."""
        return self._job.number if self._job is not None else None

    @property
    def error(self) -> str | None:
        """Why the last job failed or was interrupted, if it was."""
        if self._job and self._job.state in (JobState.FAILED, JobState.INTERRUPTED):
            return self._job.reason
        return self._left_over[1] if self._left_over and self._job is None else None

    @property
    def progress(self) -> Progress:
        """How far the job is, or was at its end; of the file that is selected now."""
        if self._job is None or self._job.selection != self.selected:
            return Progress()
        return self._job.progress(asyncio.get_running_loop().time())

    @property
    def place(self) -> dict[str, float] | None:
        """Where a pause has left the print: mm by axis letter; None where nobody knows, or it has gone on."""
        return self._job.rest.axes if self._job is not None and self._job.rest is not None else None

    def subscribe(self, listener: Callable[[JobState], None]) -> None:
        """Call `listener` with each new state of each job."""
        self._listeners.append(listener)

    def uses(self, path: str) -> bool:
        """Tell whether the active job prints this file, or one in this folder."""
        if not self.active or self._job is None:
            return False
        printed = self._job.selection.path
        return printed == path or printed.startswith(f"{path}/")

    # -- what people ask for -------------------------------------------------------------------------------

    def select(self, selection: Selection) -> None:
        """Choose the file that `start` prints.

        Raises:
            JobConflict: a job is going on.
        """
        if self.active:
            raise JobConflict("a print job is going on, another file cannot be selected")
        self.selected = selection

    def unselect(self) -> None:
        """Choose no file.

        Raises:
            JobConflict: none is chosen, or a job is going on.
        """
        if self.active:
            raise JobConflict("a print job is going on, its file cannot be unselected")
        if self.selected is None:
            raise JobConflict("no file is selected")
        self.selected = None

    def start(self) -> None:
        """Print the selected file.

        Raises:
            JobConflict: no printer, no file, or a print is going on, be it the printer's own.
        """
        if self.active:
            raise JobConflict("Printer already has an active print job, did you mean 'restart'?")
        if self.selected is None:
            raise JobConflict("no file is selected, there is nothing to start")
        self._refuse_beside_panel_print()
        # a job that failed may still be making its printer cold: not in the middle of the new one
        self._begin(self.selected, after=self._job.runner if self._job else None)
        self._announce(JobState.STARTING)

    def restart(self) -> None:
        """Drop the paused job and print its file from the beginning.

        Raises:
            JobConflict: no job is paused.
        """
        job = self._job
        if job is None or not job.machine.can("restart"):
            raise JobConflict("Printer does not have an active print job or is not paused")
        self._refuse_beside_panel_print()
        self._begin(job.selection, after=job.runner)  # first, so that nobody sees a moment without a job
        self._request(job, "restart")
        self._announce(JobState.STARTING)

    def pause(self) -> None:
        """Pause; does nothing to a job that is pausing, paused or on its way to its end.

        Raises:
            JobConflict: there is no job.
        """
        job = self._required("pause")
        if job.state is JobState.REATTACHING:
            self._want(job, "pause")
        elif job.machine.can("pause"):
            job.printer.hold()
            self._request(job, "pause")

    def resume(self) -> None:
        """Go on with a paused job; does nothing to any other.

        Raises:
            JobConflict: there is no job.
        """
        job = self._required("pause")
        if job.state is JobState.REATTACHING:
            self._want(job, "resume")
        elif job.machine.can("resume"):
            self._refuse_beside_panel_print()
            job.script.extend(filled(self._config.scripts.before_resume, values(job)))
            self._request(job, "resume")

    def toggle(self) -> None:
        """Pause a running job, go on with a paused one.

        Raises:
            JobConflict: there is no job.
        """
        job = self._required("pause")
        pauses = job.wanted == "pause" or (job.wanted is None and job.left_in in _PAUSES)
        if job.machine.can("resume") or (job.state is JobState.REATTACHING and pauses):
            self.resume()
        else:
            self.pause()

    def cancel(self) -> None:
        """End the job and make the printer cold; does nothing to one that is being cancelled.

        Raises:
            JobConflict: there is no job.
        """
        job = self._required("cancel")
        if job.state is JobState.REATTACHING:
            self._want(job, "cancel")
        elif job.machine.can("cancel"):
            job.printer.hold()
            self._request(job, "cancel")

    def _want(self, job: Job, wanted: str) -> None:
        """Remember what to do as soon as the printer is back; nothing comes after a cancel."""
        if job.wanted != "cancel":
            job.wanted = wanted
            self._survival.keep(job)

    def _refuse_beside_panel_print(self) -> None:
        if self._connection.panel_print is not None:
            raise JobConflict("the printer prints from its SD card")

    def _required(self, command: str) -> Job:
        if self._job is None or not self.active:
            raise JobConflict(f"Printer is neither printing nor paused, '{command}' command cannot be performed")
        return self._job

    def set_offset(self, heater: str, offset: float) -> None:
        """Have `offset` °C added to the targets that files set for `heater` from now on, as long as it is connected."""
        self.offsets[heater] = offset
        if self._job is not None and self.active:
            self._survival.keep(self._job)

    # -- the life of a job ---------------------------------------------------------------------------------

    def _begin(self, selection: Selection, after: asyncio.Task[None] | None) -> None:
        printer = self._connection.printer
        if printer is None or not self._connection.ready:
            raise JobConflict("Printer is not operational")
        job = self._job = self._make(selection, printer, JobState.STARTING)
        job.script.extend(filled(self._config.scripts.before_start, values(job)))
        self._survival.begin(job)
        log.info("job.starting", file=selection.path, printer=printer.address)
        job.runner = asyncio.create_task(self._run(job, after))

    def _make(self, selection: Selection, printer: Printer, state: JobState) -> Job:
        job = Job(
            selection=selection,
            printer=printer,
            machine=JobMachine(self._recorded, state),
            started=asyncio.get_running_loop().time(),
            script=deque(),
            steps=Steps(lambda: self._survival.keep(job)),
            offsets=self.offsets,
        )
        return job

    async def _run(self, job: Job, after: asyncio.Task[None] | None) -> None:
        """Run the effect of each state in turn until the job has ended; then let go of what it held."""
        if after is not None:
            await asyncio.wait([after])
        ticking = asyncio.create_task(self._tick(job))
        try:
            if job.state is not JobState.REATTACHING:
                await self._open_file(job)
            while not job.state.ended:
                await self._run_effect(job)
        finally:
            ticking.cancel()
            self._effects.end_check(job)
            await self._close(job)

    async def _open_file(self, job: Job) -> None:
        """Open the file, whatever is asked meanwhile: no request leaves it, or its record, half begun."""
        try:
            await self._effects.open_file(job)
        except Exception as error:  # noqa: BLE001 - as with an effect, a mistake of ours fails the job too
            await self._take_error(job, error)

    async def _run_effect(self, job: Job) -> None:
        if job.trouble is not None:
            await self._take_error(job, job.trouble)
            return
        effect = job.effect = asyncio.ensure_future(self._effects.of_state[job.state](job))
        await asyncio.wait([effect])
        if effect.cancelled():
            return  # a request or a fault moved the machine: the effect of the new state comes next
        if (error := effect.exception()) is not None:
            await self._take_error(job, error)

    async def _take_error(self, job: Job, error: BaseException) -> None:
        if job.state.ended:
            return
        if not isinstance(error, NozzledError | OSError):
            log.error("job.bug", exc_info=error)
        if job.state is JobState.REATTACHING:
            self._end(job, "interrupt", f"the print could not go on: {error}")
            self._cooling.due = True
            if self._connection.ready:
                await self._cooling.now(job.printer)
            return
        self._end(job, _verdict(error), str(error))
        if self._connection.ready:
            await self._after_failure(job)

    def _request(self, job: Job, trigger: str) -> None:
        """Move the machine from outside its effect, which ends."""
        job.note_position()
        job.machine.fire(trigger)
        if job.effect is not None:
            job.effect.cancel()

    def _end(self, job: Job, trigger: str, reason: str) -> None:
        job.reason = reason
        self._request(job, trigger)

    async def _close(self, job: Job) -> None:
        if self._handed_over:
            if job.stream is not None:
                await job.stream.close()
            return
        job.note_position()
        job.ended_at = asyncio.get_running_loop().time()
        if job.printer.state is ConnectionState.READY and self._job is job:
            job.printer.feed(None)
            job.printer.release()
        outcome = job.state.name
        self._store.end_job(job.number, outcome, job.reason, job.lines, job.offset, job.print_time(job.ended_at))
        if self._job is job:
            await self._effects.let_go()
        if job.stream is not None:
            await job.stream.close()
        log.info(
            "job.ended",
            file=job.selection.path,
            outcome=outcome,
            reason=job.reason,
            lines=job.lines,
            resends=job.printer.counters.resends,
            skipped=job.stream.skipped if job.stream else 0,
            **self._wire_delays(job),
        )

    def _wire_delays(self, job: Job) -> dict[str, float]:
        """Return how long answers took, and the loop's longest stall since the last job, in ms."""
        loop = asyncio.get_running_loop()
        if not isinstance(loop, WatchedLoop):
            return {}
        turnaround = job.printer.turnaround
        return {
            "turnaround_p50_ms": round(turnaround.quantile(0.5) * 1000, 2),
            "turnaround_p99_ms": round(turnaround.quantile(0.99) * 1000, 2),
            "turnaround_p999_ms": round(turnaround.quantile(0.999) * 1000, 2),
            "longest_stall_ms": round(loop.watch.take_longest() * 1000, 2),
        }

    async def _tick(self, job: Job) -> None:
        """Note the position now and then: what is left of a job when its host dies."""
        while True:
            await asyncio.sleep(CHECKPOINT)
            job.note_position()
            self._store.checkpoint(job.number, job.state.name, job.lines, job.offset)
            if job.bad_line is None and (bad := _bad_line(job.printer.counters)):
                job.bad_line = bad
                log.warning("printer.bad_line", reason=bad)

    @property
    def warning(self) -> str | None:
        """What is wrong with a print that goes on all the same."""
        return self._job.bad_line if self._job is not None and self.active else None

    def _recorded(self, trigger: str, old: JobState, new: JobState) -> None:
        now = asyncio.get_running_loop().time()
        if (job := self._job) is not None:
            if new is not JobState.REATTACHING:
                job.count_pause(now, paused=new in (JobState.PAUSED, JobState.RESUMING))
                if old is not JobState.REATTACHING:
                    job.steps.enter()
            self._survival.keep(job)
        log.info("job.state", trigger=trigger, old=old.name, new=new.name)
        self._announce(new)

    def _announce(self, state: JobState) -> None:
        for listener in self._listeners:
            listener(state)

    async def _after_failure(self, job: Job) -> None:
        """Make the printer cold, then run the script; the job has failed already whatever becomes of it."""
        await self._cooling.now(job.printer, job.reason or "the print failed")
        if self._cooling.due:
            return
        try:
            await self._effects.script(job, self._config.scripts.after_failure)
        except NozzledError as error:
            log.warning("job.after_failure", reason=str(error))

    def _on_cold(self) -> None:
        if not self.active:
            self._survival.made_cold()

    # -- what happens to it --------------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        if isinstance(event, ActionRequested):
            self._on_action(event)
        elif isinstance(event, StateChanged):
            self._on_connection(event)

    def _on_action(self, event: ActionRequested) -> None:
        """Do what the firmware asks for; `paused` and `resumed` tell that it has done so already."""
        log.info("printer.action", action=event.name, argument=event.argument)
        try:
            self._act(event)
        except JobConflict as error:
            log.warning("printer.action_refused", action=event.name, reason=str(error))

    def _act(self, event: ActionRequested) -> None:
        job = self._job
        if event.name == "start" and not self.active and self.selected is not None:
            self.start()
        if job is None or job.state.ended:
            return
        match event.name:
            case "pause" | "paused" if job.machine.can("pause"):
                job.printer_paused = event.name == "paused"
                self.pause()
            case "resume" | "resumed" if job.machine.can("resume"):
                self.resume()
            case "pause" | "paused" | "resume" | "resumed" if job.state is JobState.PAUSING:
                # M600 is answered when the filament is in, and until then the job is on its way to a rest
                job.wanted = "resume" if event.name.startswith("resume") else None
            case "cancel" if job.machine.can("cancel"):
                self.cancel()

    def _on_connection(self, event: StateChanged) -> None:
        job = self._job
        if job is not None and job.state is JobState.REATTACHING:
            return  # its effect waits for the outcome
        if event.new is ConnectionState.FAULT and event.error is not None and job and not job.state.ended:
            if isinstance(event.error, PortLost) and self._wait_for_line(job):
                return
            self._cooling.due = True  # a board with a power supply of its own goes on heating without its cable
            self._end(job, _verdict(event.error), str(event.error))
        elif event.new is ConnectionState.READY and self._cooling.due and self._connection.printer is not None:
            self._cooling.begin(self._connection.printer)

    def _wait_for_line(self, job: Job) -> bool:
        """Go on as soon as the line is back, if the job can; tell whether it can."""
        if not self._config.printer.reattach_s or self._survival.obstacle(job):
            return False
        job.left_in = job.state
        log.warning("job.line_lost", file=job.selection.path, waiting_s=self._config.printer.reattach_s)
        self._request(job, "lose_line")
        return True

    def trip(self, trouble: Unsafe) -> None:
        """Turn the heaters off at once, whatever the job is doing, and fail it."""
        if (printer := self._connection.printer) is not None and self._connection.ready:
            self._cooling.begin(printer, str(trouble))
        job = self._job
        if job is not None:
            job.stop(trouble)

    async def abandon(self, reason: str = "the printer was disconnected") -> None:
        """End the job because its host goes away, outcome INTERRUPTED; heaters off at once, also without a job."""
        if self._handed_over:
            return
        job = self._job
        if job is not None and not job.state.ended:
            self._end(job, "interrupt", reason)
            await self._cooling.before_leaving(job.printer)
        elif (printer := self._connection.printer) is not None and is_hot(printer) and printer.panel_print is None:
            await self._cooling.before_leaving(printer)
        self.offsets.clear()
        await self.dead_man.leave()
        if job is not None and job.runner is not None:  # also of a job that has ended: its record is written there
            await asyncio.wait([job.runner], timeout=PATIENCE)

    async def hand_over(self) -> bool:
        """Leave the job as it is to the host that comes next; False: there is none that could go on."""
        job = self._job
        if job is None or job.state.ended or self._survival.obstacle(job):
            return False
        self._handed_over = True
        job.printer.hold()
        job.note_position()
        self._survival.keep(job)
        self._store.checkpoint(job.number, job.state.name, job.lines, job.offset)
        if job.runner is not None:
            job.runner.cancel()
            await asyncio.wait([job.runner])
        log.info("job.handed_over", file=job.selection.path, state=job.state.name)
        return True

    async def recover(self) -> None:
        """Go on with the job that another run of the daemon left, or record how it ended and select its file."""
        found = await self._leftovers.settle(self._from)
        self._left_over, self.selected = found.outcome, found.selection
        self._cooling.due = found.hot
        if found.job is not None:
            self._go_on(found.job)
        elif found.printer is not None:
            self._connection.return_to(found.printer)

    def _from(self, page: Page) -> Job:
        """Return the job that another host has left.

        Raises:
            CannotGoOn: its page says something that this version does not know.
        """
        try:
            job = self._make(selection(page), self._connection.absent(page.address), JobState.REATTACHING)
            fill(job, page)
        except (AddressError, KeyError, TypeError, ValueError) as error:
            raise CannotGoOn("another version of the service had begun the print") from error
        return job

    def _go_on(self, job: Job) -> None:
        """Take over a job; its printer is got back in the background."""
        self._job, self.selected = job, job.selection
        self._cooling.due = False  # the heat is this job's, whatever else the store takes for unfinished
        log.warning("job.reattaching", file=job.selection.path, state=_left_in(job), printer=job.address)
        job.runner = asyncio.create_task(self._run(job, None))


def _left_in(job: Job) -> str:
    return job.left_in.name if job.left_in else ""


def _verdict(error: BaseException) -> str:
    """Return the trigger: the line or the board gone interrupts a job, anything else fails it."""
    lost = PortError | PrinterReset | NotConnected | StepsDiffer | CannotGoOn
    return "interrupt" if isinstance(error, lost) else "fail"


def _bad_line(counters: Counters) -> str | None:
    """Return what to tell where the printer asks for many lines again; None where it does not."""
    if counters.lines_sent < MANY_LINES or counters.resends < BAD_SHARE * counters.lines_sent:
        return None
    return (
        f"the printer asked again for {counters.resends} of {counters.lines_sent} lines: "
        "look at the cable, and for interference"
    )
