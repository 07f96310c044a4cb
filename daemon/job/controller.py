"""JobController: takes what people ask of the job, and gives each of its states its effect.

A request is synchronous: it moves the machine, which ends the effect of the old state and begins that of the new
one. It never waits for the printer. Each effect is one coroutine; it ends by moving the machine on, or is ended.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import structlog

from daemon.config import Config
from daemon.connection import Connection
from daemon.errors import JobConflict
from daemon.job.machine import JobMachine
from daemon.job.states import JobState
from daemon.job.streamer import FileStream
from daemon.safety import make_cold
from daemon.store import JobRecord, NewJob, Store
from gcode.errors import NozzledError, PrinterReset
from hal.errors import NotConnected, PortError
from hal.printer import ConnectionState, Event, Printer, StateChanged

CHECKPOINT = 5.0  # seconds between two notes of the position in the store

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Selection:
    """The file to print: its path among the uploads, and what is known of it (size in bytes, date in s)."""

    path: str
    name: str
    size: int
    date: int
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the job is; None where there is nothing to tell. Times in s, completion in percent."""

    completion: float | None = None
    offset: int | None = None
    print_time: float | None = None
    print_time_left: float | None = None
    left_origin: str | None = None
    lines: int = 0


@dataclass(slots=True)
class _Job:
    """One print, from start to end."""

    selection: Selection
    printer: Printer
    machine: JobMachine
    started: float  # loop time
    script: deque[str]  # what is left of the script before the first line
    number: int | None = None  # in the store
    stream: FileStream | None = None
    feeding: bool = False
    effect: asyncio.Task[None] | None = None
    runner: asyncio.Task[None] | None = None
    paused_at: float | None = None
    paused_for: float = 0.0
    ended_at: float | None = None
    reason: str | None = None
    lines: int = 0
    offset: int = 0

    @property
    def state(self) -> JobState:
        return self.machine.state


class JobController:
    """The one job of this daemon."""

    def __init__(self, config: Config, connection: Connection, store: Store, uploads: Path, executor: Executor) -> None:
        """Watch the connection; nothing is printed before `start`.

        Args:
            config: its scripts and profile.
            connection: where the printer is.
            store: where jobs are recorded.
            uploads: the folder that selections are relative to.
            executor: whose threads read files.
        """
        self.selected: Selection | None = None
        self._config = config
        self._connection = connection
        self._store = store
        self._uploads = uploads
        self._executor = executor
        self._job: _Job | None = None
        self._left_over: tuple[JobState, str] | None = None  # how the job of an earlier run ended, and why
        self._left_hot = False
        self._cooling: asyncio.Task[None] | None = None
        self._listeners: list[Callable[[JobState], None]] = []
        self._effects: dict[JobState, Callable[[_Job], Awaitable[None]]] = {
            JobState.STARTING: self._starting,
            JobState.PRINTING: self._printing,
            JobState.PAUSING: self._pausing,
            JobState.PAUSED: self._paused,
            JobState.RESUMING: self._resuming,
            JobState.FINISHING: self._finishing,
            JobState.CANCELLING: self._cancelling,
        }
        connection.subscribe(self._on_event)
        connection.before_close(self.abandon)

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
    def error(self) -> str | None:
        """Why the last job failed or was interrupted, if it was."""
        if self._job and self._job.state in (JobState.FAILED, JobState.INTERRUPTED):
            return self._job.reason
        return self._left_over[1] if self._left_over and self._job is None else None

    @property
    def progress(self) -> Progress:
        """How far the job is, or was at its end; of the file that is selected now."""
        job = self._job
        if job is None or job.selection != self.selected:
            return Progress()
        if job.state is JobState.COMPLETED:
            return Progress(100.0, job.selection.size, self._print_time(job), 0.0, None, job.lines)
        self._note_position(job)
        elapsed, size = self._print_time(job), job.selection.size
        share = job.offset / size if size else 0.0
        left = elapsed / share - elapsed if share > 0 and not job.state.ended else None
        origin = "linear" if left is not None else None
        return Progress(100.0 * share, job.offset, elapsed, left, origin, job.lines)

    def _print_time(self, job: _Job) -> float:
        """Return the seconds that the job has been printing: without pauses."""
        now = job.ended_at if job.ended_at is not None else asyncio.get_running_loop().time()
        pausing = now - job.paused_at if job.paused_at is not None else 0.0
        return now - job.started - job.paused_for - pausing

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
            JobConflict: no printer, no file, or a job is going on.
        """
        if self.active:
            raise JobConflict("Printer already has an active print job, did you mean 'restart'?")
        if self.selected is None:
            raise JobConflict("no file is selected, there is nothing to start")
        self._begin(self.selected, after=None)

    def restart(self) -> None:
        """Drop the paused job and print its file from the beginning.

        Raises:
            JobConflict: no job is paused.
        """
        job = self._job
        if job is None or not job.machine.can("restart"):
            raise JobConflict("Printer does not have an active print job or is not paused")
        self._request(job, "restart")
        self._begin(job.selection, after=job.runner)

    def pause(self) -> None:
        """Pause; does nothing to a job that is pausing, paused or on its way to its end.

        Raises:
            JobConflict: there is no job.
        """
        job = self._required("pause")
        if job.machine.can("pause"):
            job.printer.hold()
            self._request(job, "pause")

    def resume(self) -> None:
        """Go on with a paused job; does nothing to any other.

        Raises:
            JobConflict: there is no job.
        """
        job = self._required("pause")
        if job.machine.can("resume"):
            self._request(job, "resume")

    def toggle(self) -> None:
        """Pause a running job, go on with a paused one.

        Raises:
            JobConflict: there is no job.
        """
        job = self._required("pause")
        if job.machine.can("resume"):
            self.resume()
        else:
            self.pause()

    def cancel(self) -> None:
        """End the job and make the printer cold; does nothing to one that is being cancelled.

        Raises:
            JobConflict: there is no job.
        """
        job = self._required("cancel")
        if job.machine.can("cancel"):
            job.printer.hold()
            self._request(job, "cancel")

    def _required(self, command: str) -> _Job:
        if self._job is None or not self.active:
            raise JobConflict(f"Printer is neither printing nor paused, '{command}' command cannot be performed")
        return self._job

    # -- the life of a job ---------------------------------------------------------------------------------

    def _begin(self, selection: Selection, after: asyncio.Task[None] | None) -> None:
        printer = self._connection.printer
        if printer is None or not self._connection.ready:
            raise JobConflict("Printer is not operational")
        job = _Job(
            selection=selection,
            printer=printer,
            machine=JobMachine(self._recorded),
            started=asyncio.get_running_loop().time(),
            script=deque(self._config.scripts.before_start),
        )
        self._job = job
        log.info("job.starting", file=selection.path, printer=printer.address)
        job.runner = asyncio.create_task(self._run(job, after))

    async def _run(self, job: _Job, after: asyncio.Task[None] | None) -> None:
        """Run the effect of each state in turn until the job has ended; then let go of what it held."""
        if after is not None:
            await asyncio.wait([after])
        ticking = asyncio.create_task(self._tick(job))
        try:
            while not job.state.ended:
                await self._run_effect(job)
        finally:
            ticking.cancel()
            await self._close(job)

    async def _run_effect(self, job: _Job) -> None:
        effect = job.effect = asyncio.ensure_future(self._effects[job.state](job))
        await asyncio.wait([effect])
        if effect.cancelled():
            return  # a request or a fault moved the machine: the effect of the new state comes next
        error = effect.exception()
        if error is None or job.state.ended:
            return
        if not isinstance(error, NozzledError | OSError):
            log.error("job.bug", exc_info=error)
        self._end(job, _verdict(error), str(error))
        if self._connection.ready:
            await self._after_failure(job)

    def _request(self, job: _Job, trigger: str) -> None:
        """Move the machine from outside its effect, which ends."""
        self._note_position(job)
        job.machine.fire(trigger)
        if job.effect is not None:
            job.effect.cancel()

    def _end(self, job: _Job, trigger: str, reason: str) -> None:
        job.reason = reason
        self._request(job, trigger)

    async def _close(self, job: _Job) -> None:
        self._note_position(job)
        job.ended_at = asyncio.get_running_loop().time()
        if job.printer.state is ConnectionState.READY and self._job is job:
            job.printer.feed(None)
            job.printer.release()
        outcome = job.state.name
        self._store.end_job(job.number, outcome, job.reason, job.lines, job.offset, self._print_time(job))
        if job.stream is not None:
            await job.stream.close()
        log.info("job.ended", file=job.selection.path, outcome=outcome, reason=job.reason, lines=job.lines)

    async def _tick(self, job: _Job) -> None:
        """Note the position now and then: what is left of a job when its host dies."""
        while True:
            await asyncio.sleep(CHECKPOINT)
            self._note_position(job)
            self._store.checkpoint(job.number, job.state.name, job.lines, job.offset)

    def _note_position(self, job: _Job) -> None:
        if job.feeding and job is self._job and not job.state.ended:
            job.lines, job.offset = job.printer.position.lines, job.printer.position.offset

    def _recorded(self, trigger: str, old: JobState, new: JobState) -> None:
        now = asyncio.get_running_loop().time()
        if self._job is not None:
            self._count_pause(self._job, now, paused=new in (JobState.PAUSED, JobState.RESUMING))
        log.info("job.state", trigger=trigger, old=old.name, new=new.name)
        for listener in self._listeners:
            listener(new)

    def _count_pause(self, job: _Job, now: float, *, paused: bool) -> None:
        if paused and job.paused_at is None:
            job.paused_at = now
        elif not paused and job.paused_at is not None:
            job.paused_for += now - job.paused_at
            job.paused_at = None

    # -- effects: one coroutine a state --------------------------------------------------------------------

    async def _starting(self, job: _Job) -> None:
        if job.stream is None:
            await self._open_file(job)
        await self._finish_start_script(job)
        job.machine.fire("started")

    async def _open_file(self, job: _Job) -> None:
        stream = FileStream(
            self._uploads / job.selection.path, self._executor, on_more=job.printer.wake, on_skipped=_skipped
        )
        await stream.open()
        job.stream = stream
        job.number = await self._store.begin_job(
            NewJob(
                path=job.selection.path,
                name=job.selection.name,
                size=stream.size,
                sha1=None,  # the file is the same as long as its size and time are
                mtime_ns=stream.mtime_ns,
                origin="local",
                user=job.selection.user,
                printer=job.printer.address,
            )
        )

    async def _finish_start_script(self, job: _Job) -> None:
        """Run what is left of the script: a pause may have come in the middle of it."""
        while job.script:
            await job.printer.send(job.script.popleft())

    async def _printing(self, job: _Job) -> None:
        stream = _stream_of(job)
        if not job.feeding:
            job.feeding = True
            job.printer.feed(stream)
        job.printer.release()
        await stream.ended.wait()
        if stream.error is not None:
            raise stream.error
        await job.printer.drained()
        self._note_position(job)
        job.machine.fire("file_ended")

    async def _pausing(self, job: _Job) -> None:
        if job.stream is None:
            await self._open_file(job)
        await self._finish_start_script(job)
        await job.printer.drained()
        await job.printer.send("M400")
        await self._script(job, self._config.scripts.after_pause)
        job.machine.fire("paused")

    async def _paused(self, _: _Job) -> None:
        await asyncio.get_running_loop().create_future()  # until somebody asks for something

    async def _resuming(self, job: _Job) -> None:
        await self._script(job, self._config.scripts.before_resume)
        job.machine.fire("resumed")

    async def _finishing(self, job: _Job) -> None:
        await job.printer.send("M400")  # 100 % means that the last move is done
        await self._script(job, self._config.scripts.after_finish)
        job.machine.fire("finished")

    async def _cancelling(self, job: _Job) -> None:
        job.printer.feed(None)
        if job.printer.identity.capabilities.get("EMERGENCY_PARSER"):
            await job.printer.send("M108", urgent=True)  # ends a wait for temperature
        await job.printer.drained()
        self._note_position(job)
        await self._script(job, self._config.scripts.after_cancel)
        job.machine.fire("cancelled")

    async def _script(self, job: _Job, commands: tuple[str, ...]) -> None:
        for command in commands:
            await job.printer.send(command)

    async def _after_failure(self, job: _Job) -> None:
        """Make the printer cold, then run the script; the job has failed already whatever becomes of it."""
        try:
            if await make_cold(job.printer, self._config.profile.extruders):
                await self._script(job, self._config.scripts.after_failure)
        except NozzledError as error:
            log.warning("job.after_failure", reason=str(error))

    # -- what happens to it --------------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        if not isinstance(event, StateChanged):
            return
        job = self._job
        if event.new is ConnectionState.FAULT and event.error is not None and job and not job.state.ended:
            self._end(job, _verdict(event.error), str(event.error))
        elif event.new is ConnectionState.READY and self._left_hot and self._connection.printer is not None:
            self._left_hot = False
            self._cooling = asyncio.create_task(self._cool(self._connection.printer))

    async def _cool(self, printer: Printer) -> None:
        log.warning("printer.cooling", reason="the print before was interrupted, its heaters may still be on")
        await make_cold(printer, self._config.profile.extruders)

    async def abandon(self, reason: str = "the printer was disconnected") -> None:
        """End the job because its host goes away: heaters off at once, outcome INTERRUPTED."""
        job = self._job
        if job is None or job.state.ended:
            return
        self._end(job, "interrupt", reason)
        if job.printer.state is ConnectionState.READY and not await make_cold(
            job.printer, self._config.profile.extruders
        ):
            log.error("job.emergency_stop", reason="the printer did not acknowledge that its heaters are off")
        if job.runner is not None:
            await asyncio.wait([job.runner])

    async def recover(self) -> None:
        """Mark the job that another run of the daemon left unfinished, and select its file for a new `start`.

        Its heaters may still be on: the printer is made cold as soon as it answers.
        """
        for record in await self._store.unfinished_jobs():
            machine = JobMachine(_unheard, JobState.REATTACHING)
            machine.fire("interrupt")
            reason = f"the daemon ended in the middle of the print, {record.lines} lines were acknowledged by then"
            spent = record.print_time or 0.0
            self._store.end_job(record.id, machine.state.name, reason, record.lines, record.offset, spent)
            self._left_over = (machine.state, reason)
            self._left_hot = True
            self.selected = await asyncio.to_thread(self._select_again, record)
            log.warning("job.interrupted", file=record.path, reason=reason)

    def _select_again(self, record: JobRecord) -> Selection | None:
        try:
            found = (self._uploads / record.path).stat()
        except OSError:
            return None
        return Selection(record.path, record.name, found.st_size, int(found.st_mtime), record.user)


def _verdict(error: BaseException) -> str:
    """Return the trigger: the line or the board gone interrupts a job, anything else fails it."""
    return "interrupt" if isinstance(error, PortError | PrinterReset | NotConnected) else "fail"


def _stream_of(job: _Job) -> FileStream:
    if job.stream is None:
        raise AssertionError("a job opens its file before it prints")
    return job.stream


def _skipped(offset: int, command: str) -> None:
    log.warning("job.skipped", offset=offset, command=command, reason="a file may not send this")


def _unheard(trigger: str, old: JobState, new: JobState) -> None:
    """Take a step of a job that nobody watches any more."""
