"""JobController: what users and clients can ask of the job: start, pause, resume, cancel.

A request is synchronous: it fires a trigger, which ends the effect of the old state and begins that of the new one.
A request never waits for the printer. A `runner` carries the job through its states; `effects` has what is done in each
state, and `printer_events` what the printer's events mean for the job.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

import structlog

from daemon.bridge.words import FileMark, JobProgress, JobState, Selection
from daemon.config import Config
from daemon.config.named_values import fill_in
from daemon.core.connection.connection import Connection
from daemon.core.job.dead_man import DeadMan
from daemon.core.job.effects import Effects
from daemon.core.job.heaters_off import HeatersOff
from daemon.core.job.job import Job
from daemon.core.job.job_snapshot import ClaimedJob, JobSnapshot, Wish
from daemon.core.job.keep_awake import KeepAwake
from daemon.core.job.kept_file import KeptFile
from daemon.core.job.leftovers import Leftovers
from daemon.core.job.named_values import values
from daemon.core.job.printer_events import PrinterEvents
from daemon.core.job.resting import continue_at_printer
from daemon.core.job.runner import Kit, Runner
from daemon.core.job.survival import Survival
from daemon.core.job.tally import Tally
from daemon.core.record.store import Store
from daemon.core.safety.rules import HEATERS_OFF_TIMEOUT, has_target
from daemon.errors import CannotReattach, JobConflict, Unsafe
from hal.errors import AddressError

_PAUSES = (JobState.PAUSING, JobState.PAUSED)

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
            config: the configuration; its scripts and time limits are used.
            connection: to the printer.
            store: records jobs.
            uploads: the folder to which selections are relative.
            executor: its threads read files.
            survival: keeps what the next host needs to reattach; None: nothing is kept on the disk.
        """
        self.selected: Selection | None = None
        self.offsets: dict[str, float] = {}  # °C that are added to the targets of files, by heater
        self.runner: Runner | None = None  # that of the last job
        self._config = config
        self._connection = connection
        self._survival = survival or Survival(connection, connection.logbook, KeptFile(uploads, uploads.parent))
        self._effects = Effects(
            lambda: connection.config,
            store,
            uploads,
            executor,
            pause=self.pause,
            cancel=self.cancel,
            resume=self.resume,
            survival=self._survival,
        )
        self._leftovers = Leftovers(self._survival, store, uploads)
        self._error_is_seen = False  # a file has been selected or unselected since the last job
        self._previous_state: JobState | None = None  # how the job of the previous host ended
        self._previous_reason: str | None = None  # why it ended so
        self._heaters_off = HeatersOff(lambda: connection.profile, self._on_heaters_off)
        self.dead_man = DeadMan(config.safety, connection, lambda: self.state)
        self._keep_awake = KeepAwake(connection, lambda: self.state)
        self._listeners: list[Callable[[JobState], None]] = [
            self._effects.tally.on_job, self.dead_man.on_job, self._keep_awake.on_job,
        ]  # fmt: skip
        self._kit = Kit(config, connection, store, self._survival, self._effects, self._heaters_off, self._announce)
        self._events = PrinterEvents(self._kit, self)
        connection.before_close(self._leave)
        connection.reconnect_while(lambda: self._heaters_off.is_due)

    # -- what clients see ----------------------------------------------------------------------------------

    @property
    def _job(self) -> Job | None:
        return self.runner.job if self.runner is not None else None

    @property
    def state(self) -> JobState | None:
        """The state of the job, also after its end; None before the first job."""
        if self._job is None:
            return self._previous_state
        return self._job.state

    @property
    def active(self) -> bool:
        """There is a job that has not ended."""
        return self.runner is not None and self.runner.active

    @property
    def job_id(self) -> int | None:
        """The number of the job in the store, also after its end; None before the first job."""
        return self._job.snapshot.job if self._job is not None else None

    @property
    def waits(self) -> int:
        """How often, in the last job, the printer had room for lines that had not been read from the disk yet."""
        return self._job.stream.waits if self._job is not None and self._job.stream is not None else 0

    @property
    def tally(self) -> Tally:
        """What was counted in all prints of this process."""
        return self._effects.tally

    @property
    def job_key(self) -> str | None:
        """The key of the request for the job, also after its end; None: it had none."""
        claim = self._job.snapshot.claim if self._job is not None else None
        return claim.key if claim is not None else None

    @property
    def error(self) -> str | None:
        """Why the last job failed or was interrupted; None: it was not, or another file has been selected since."""
        if self._error_is_seen:
            return None
        if self._job and self._job.state in (JobState.FAILED, JobState.INTERRUPTED):
            return self._job.reason
        return self._previous_reason if self._job is None else None

    @property
    def warning(self) -> str | None:
        """The problem of a print that continues in spite of it."""
        job = self._job if self.active else None
        return (job.no_progress or job.poor_connection or job.notice) if job is not None else None

    @property
    def pause_reason(self) -> str | None:
        """Why the job is pausing or paused, if that is known: the file, the printer, an error."""
        job = self._job if self.active else None
        return job.snapshot.pause_reason if job is not None and job.snapshot.state in _PAUSES else None

    @property
    def progress(self) -> JobProgress:
        """How far the job is, or was at its end; empty if another file is selected now."""
        if self._job is None or self._job.snapshot.selection != self.selected:
            return JobProgress()
        return self._job.progress(asyncio.get_running_loop().time())

    @property
    def paused_position(self) -> dict[str, float] | None:
        """Where the head was when the print paused, in mm by axis letter; None: not known, or it is not paused."""
        parked = self._job.snapshot.parked if self._job is not None else None
        return parked.axes if parked is not None else None

    def subscribe(self, listener: Callable[[JobState], None]) -> None:
        """Call `listener` with each new state of each job."""
        self._listeners.append(listener)

    def uses(self, path: str) -> bool:
        """Tell whether the active job prints this file, or one in this folder."""
        if not self.active or self._job is None:
            return False
        printed = self._job.snapshot.selection.path
        return printed == path or printed.startswith(f"{path}/")

    # -- requests ------------------------------------------------------------------------------------------

    def select(self, selection: Selection) -> None:
        """Select the file that `start` prints.

        Raises:
            JobConflict: a print is in progress.
        """
        if self.active:
            raise JobConflict("a print is in progress: no other file can be selected")
        self.selected = selection
        self._error_is_seen = True

    def unselect(self) -> None:
        """Unselect the file.

        Raises:
            JobConflict: no file is selected, or a print is in progress.
        """
        if self.active:
            raise JobConflict("a print is in progress: its file cannot be unselected")
        if self.selected is None:
            raise JobConflict("no file is selected")
        self.selected = None
        self._error_is_seen = True

    def file_to_print(self, file: Selection | None = None) -> Selection:
        """Return the file that `start` would print.

        Raises:
            JobConflict: there is no printer or no file, or a print is in progress, perhaps from the printer's SD card.
        """
        if self.active:
            raise JobConflict("Printer already has an active print job, did you mean 'restart'?")
        file = file or self.selected
        if file is None:
            raise JobConflict("no file is selected: there is nothing to start")
        self._refuse_beside_panel_print()
        if not self._connection.ready:
            raise JobConflict("Printer is not operational")
        return file

    def start(
        self,
        file: Selection | None = None,
        claim: ClaimedJob | None = None,
        checked_file: FileMark | None = None,
    ) -> None:
        """Print a file, or the selected one.

        Args:
            file: becomes the selected one.
            claim: the record of a print with a key.
            checked_file: the file that the front has checked, the only one to print; None: whichever file it is.

        Raises:
            JobConflict: there is no printer or no file, another file was selected during the check, or a print is in
                progress, perhaps from the printer's SD card.
        """
        selection = self.file_to_print(file)
        if checked_file is not None and checked_file.path != selection.path:
            raise JobConflict(
                f"{selection.path} was selected while {checked_file.path} was checked: select the file to print again"
            )
        self.selected = selection
        self._begin(selection, claim, checked_file)
        self._announce(JobState.STARTING)

    def restart(self, checked_file: FileMark | None = None) -> None:
        """Drop the paused job and print its file from the beginning; `checked_file` is as in `start`.

        Raises:
            JobConflict: no job is paused, there is no printer, or it prints from its SD card.
        """
        job = self._job
        if job is None or not job.machine.can("restart"):
            raise JobConflict(
                "Printer does not have an active print job or is not paused: `restart` needs a paused print"
            )
        self._refuse_beside_panel_print()
        # first, so that `active` never reads False in between
        self._begin(job.snapshot.selection, checked_file=checked_file)
        job.move("restart")
        self._announce(JobState.STARTING)

    def pause(self) -> None:
        """Pause the job. If it is pausing, forget a request to resume; if it is paused or ending, do nothing.

        Raises:
            JobConflict: there is no job.
        """
        job = self._active_job("pause")
        if job.state is JobState.REATTACHING:
            self._postpone(job, "pause")
        elif job.state is JobState.PAUSING:
            job.snapshot.wish = None
        elif job.machine.can("pause"):
            job.printer.hold()
            job.move("pause")

    def resume(self) -> None:
        """Resume the job if it is paused; if it is pausing or reattaching, do so afterwards; otherwise do nothing.

        Raises:
            JobConflict: there is no job, or the printer prints from its SD card.
        """
        job = self._active_job("pause")  # the error names OctoPrint's command, of which resume and toggle are actions
        if job.state in _PAUSES:
            continue_at_printer(job.printer)
        if job.state in (JobState.REATTACHING, JobState.PAUSING):
            self._postpone(job, "resume")
        elif job.machine.can("resume"):
            self._refuse_beside_panel_print()
            job.snapshot.script.extend(fill_in(self._config.scripts.before_resume, values(job)))
            job.move("resume")

    def toggle(self) -> None:
        """Pause a running job, resume a paused one.

        Raises:
            JobConflict: there is no job, or none can be resumed because the printer prints from its SD card.
        """
        job = self._active_job("pause")  # as in `resume`
        request = job.snapshot.wish
        pauses = request == "pause" or (request is None and job.snapshot.state in _PAUSES)
        if job.machine.can("resume") or (job.state is JobState.REATTACHING and pauses):
            self.resume()
        else:
            self.pause()

    def cancel(self) -> None:
        """End the job and turn the heaters off; do nothing if it is already being cancelled.

        Raises:
            JobConflict: there is no job.
        """
        job = self._active_job("cancel")
        if job.state is JobState.REATTACHING:
            self._postpone(job, "cancel")
        elif job.machine.can("cancel"):
            job.printer.hold()
            job.move("cancel")

    def set_offset(self, heater: str, offset: float) -> None:
        """Add `offset` °C to the targets that files set for `heater`, until the printer is disconnected."""
        self.offsets[heater] = offset
        if self._job is not None and self.active:
            self._survival.keep(self._job)

    def _postpone(self, job: Job, request: Wish) -> None:
        """Remember a request that has to wait for the printer or for the pause; a cancel is never replaced."""
        if job.snapshot.wish != "cancel":
            job.snapshot.wish = request
            self._survival.keep(job)
        if request == "cancel" and self.runner is not None:
            self.runner.give_up_soon()

    def _refuse_beside_panel_print(self) -> None:
        if self._connection.panel_print is not None:
            # Marlin 1 reports a print that was aborted in the middle like one that waits, until the board is reset
            raise JobConflict(
                "the printer reports a print from its SD card; end it at the printer's panel, or reset the printer if "
                "nothing is printed"
            )

    def _active_job(self, command: Wish) -> Job:
        if self._job is None or not self.active:
            raise JobConflict(f"Printer is neither printing nor paused, '{command}' command cannot be performed")
        return self._job

    # -- the life of a job ---------------------------------------------------------------------------------

    def _begin(
        self, selection: Selection, claim: ClaimedJob | None = None, checked_file: FileMark | None = None
    ) -> None:
        printer = self._connection.printer
        if printer is None or not self._connection.ready:
            raise JobConflict("Printer is not operational")
        identity = printer.identity
        snapshot = JobSnapshot(
            selection,
            asyncio.get_running_loop().time(),
            boot="",
            address=printer.address,
            name=identity.name,
            uuid=identity.uuid,
            unpacks=identity.can("MEATPACK") if identity.capabilities else None,
            offsets=self.offsets,
            job=claim.job if claim is not None else None,
            claim=claim,
        )
        previous, self.runner = self.runner, Runner(self._kit, snapshot, printer)
        self.runner.job.checked_file = checked_file
        self._error_is_seen = False
        if previous is not None:
            previous.is_replaced = True
        # a job that failed may still be turning heaters off, which must not happen in the middle of the new job
        self.runner.begin_print(previous)

    def _announce(self, state: JobState) -> None:
        for listener in self._listeners:
            listener(state)

    def _on_heaters_off(self) -> None:
        if self.active:
            return
        if self._job is not None:
            self._job.heaters_are_off = True  # its script `after_failure` may still write its snapshot
        self._survival.note_heaters_off()

    def turn_heaters_off(self, trouble: Unsafe) -> None:
        """Turn the heaters off at once, whatever the job is doing, and fail the job."""
        if (printer := self._connection.printer) is not None and self._connection.ready:
            self._heaters_off.turn_off_soon(printer, str(trouble))
        if self._job is not None:
            self._job.stop(trouble)

    async def abandon(self, reason: str = "the printer was disconnected") -> None:
        """Interrupt the job as its host leaves the printer. The heaters are turned off at once, even without a job."""
        runner = self.runner
        if runner is not None and runner.is_handed_over:
            return
        if runner is not None and runner.active:
            runner.job.end("interrupt", reason)
            # while the job reattaches, the connection may have the printer before the job has it
            await self._heaters_off.turn_off_before_leaving(self._connection.printer or runner.job.printer)
        elif (
            (printer := self._connection.printer) is not None
            # if heaters off is due, the printer has just connected: it may not have reported its targets yet, and a
            # print from its SD card is not certain yet
            and (self._heaters_off.is_due or (printer.panel_print is None and has_target(printer)))
        ):
            await self._heaters_off.turn_off_before_leaving(printer)
        self.offsets.clear()
        await self.dead_man.turn_off()
        if runner is not None:
            await runner.wait_until_over(HEATERS_OFF_TIMEOUT)

    async def _leave(self) -> None:
        """End the job because a client disconnects the printer, and unselect the file, as OctoPrint does."""
        await self.abandon()
        self.unselect_if_idle()

    def unselect_if_idle(self) -> None:
        """Unselect the file, unless it is being printed; the error of the last print is still shown."""
        if not self.active:
            self.selected = None

    async def hand_over(self) -> bool:
        """Leave the job to the next host as it is; False: there is no job that the next host could reattach to."""
        return self.runner is not None and await self.runner.hand_over()

    # -- what the previous host left ------------------------------------------------------------------------

    async def recover(self) -> None:
        """Reattach to the job that the previous host left; or record how that job ended, and select its file."""
        leftover = await self._leftovers.record_ends(self._runner_from)
        self._previous_state, self._previous_reason = leftover.outcome or (None, None)
        self.selected = leftover.selection
        self._heaters_off.is_due = leftover.heaters_may_be_on
        if leftover.runner is not None:
            self._reattach(leftover.runner)
        elif leftover.printer is not None:
            self._connection.reach_hot_printer(leftover.printer)

    def _runner_from(self, snapshot: JobSnapshot) -> Runner:
        """Return the runner for the job that the previous host left.

        Raises:
            CannotReattach: its snapshot has an address that this version does not understand.
        """
        try:
            printer = self._connection.make_absent(snapshot.address)
        except AddressError as error:
            raise CannotReattach("another version of nozzled began the print") from error
        self.offsets.update(snapshot.offsets)
        snapshot.offsets = self.offsets
        return Runner(self._kit, snapshot, printer, JobState.REATTACHING)

    def _reattach(self, runner: Runner) -> None:
        """Start the runner of the previous host's job; it reattaches to the printer in the background."""
        snapshot = runner.job.snapshot
        self.runner, self.selected = runner, snapshot.selection
        self._heaters_off.is_due = False  # the heat belongs to this job, whatever other unfinished jobs the store has
        log.warning(
            "job.reattaching", file=snapshot.selection.path, state=snapshot.state.name, printer=snapshot.address
        )
        self.tally.note_loss("restart")
        runner.start()
