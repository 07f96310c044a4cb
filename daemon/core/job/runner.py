"""Runner: carries one job to its end. It runs the effect of each state in turn, then releases what the job has used."""

import asyncio
from collections.abc import Callable

import structlog

from daemon.bridge.words import JobState
from daemon.config import Config
from daemon.config.named_values import fill_in
from daemon.core.connection.connection import Connection
from daemon.core.job.calling_off import while_it_lives
from daemon.core.job.effects import Effects
from daemon.core.job.heaters_off import HeatersOff
from daemon.core.job.job import Job
from daemon.core.job.job_snapshot import JobSnapshot
from daemon.core.job.machine import JobMachine
from daemon.core.job.named_values import values
from daemon.core.job.no_progress import NoProgress
from daemon.core.job.states import Trigger
from daemon.core.job.steps import Steps
from daemon.core.job.survival import Survival
from daemon.core.record.store import Store
from daemon.errors import CannotReattach, StepsDiffer, Unsafe
from gcode.errors import NozzledError, PrinterReset
from gcode.frozen import frozen
from gcode.outgoing import Counters
from hal.errors import NotConnected, PortError
from hal.loop import WatchedLoop
from hal.printer import ConnectionState, Printer

MAX_RESEND_SHARE = 0.1  # of the lines; from this share on the user is warned of a poor connection
MIN_LINES = 100  # lines that have to be sent before that share means anything
CHECKPOINT_INTERVAL = 5.0  # s between two notes of the place in the store

log = structlog.get_logger()


@frozen
class Kit:
    """What every job needs.

    Attributes:
        announce: called with each new state of a job.
    """

    config: Config
    connection: Connection
    store: Store
    survival: Survival
    effects: Effects
    heaters_off: HeatersOff
    announce: Callable[[JobState], None]


class Runner:
    """The life of one job."""

    def __init__(self, kit: Kit, snapshot: JobSnapshot, printer: Printer, state: JobState = JobState.STARTING) -> None:
        """Make the job of this snapshot; nothing is done before `begin_print` or `start`."""
        self._kit = kit
        self.job = Job(snapshot, printer, JobMachine(self._on_step, state), Steps(snapshot, self.keep))
        self.is_replaced = False  # another job has begun: printer, logbook and kept file belong to that one
        self.is_handed_over = False  # the next host continues the job
        self._task: asyncio.Task[None] | None = None

    @property
    def active(self) -> bool:
        """The job has not ended."""
        return not self.job.state.ended

    def keep(self) -> None:
        """Write the job's snapshot for the next host."""
        if not self.is_replaced:
            self._kit.survival.keep(self.job)

    # -- course --------------------------------------------------------------------------------------------

    def start(self, predecessor: "Runner | None" = None) -> None:
        """Run the job from its present state, once the previous runner (`predecessor`) has released the printer."""
        self._task = asyncio.create_task(self._run(predecessor))
        if self.job.snapshot.wish == "cancel":
            self.give_up_soon()

    def give_up_soon(self) -> None:
        """End the job, which is to be cancelled, if it is not reattached within `cancel_deadline_s` seconds."""
        deadline = self._kit.config.job.cancel_deadline_s
        reason = f"it was cancelled, and the printer has not answered for {deadline:g} s and may still be hot"
        asyncio.get_running_loop().call_later(deadline, self._give_up, CannotReattach(reason))

    def _give_up(self, reason: CannotReattach) -> None:
        if self.job.state is JobState.REATTACHING:
            self.job.stop(reason)

    def begin_print(self, predecessor: "Runner | None" = None) -> None:
        """Run the job as a new print, from the script `before_start` on."""
        job = self.job
        job.snapshot.script.extend(fill_in(self._kit.config.scripts.before_start, values(job)))
        self._kit.survival.begin(job)
        log.info("job.starting", file=job.snapshot.selection.path, printer=job.printer.address)
        self.start(predecessor)

    async def wait_until_over(self, limit_s: float | None = None) -> None:
        """Wait until the job has ended and released everything, at most `limit_s` seconds."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=limit_s)

    async def _run(self, predecessor: "Runner | None") -> None:
        """Run the effect of each state in turn until the job has ended; then release what it has used."""
        if predecessor is not None:
            await predecessor.wait_until_over()
        ticking = asyncio.create_task(self._tick())
        try:
            if self.job.state is not JobState.REATTACHING:
                await self._open_file()
            while self.active:
                await self._run_effect()
        finally:
            ticking.cancel()
            self._kit.effects.end_check(self.job)
            await self._close()

    async def _open_file(self) -> None:
        """Open the file. Requests do not interrupt this, so that no record is left half written."""
        try:
            await self._kit.effects.open_file(self.job)
        except Exception as error:  # noqa: BLE001 - a bug fails the job too, as it does in an effect
            await self._take_error(error)

    async def _run_effect(self) -> None:
        job = self.job
        if job.trouble is not None:
            await self._take_error(job.trouble)
            return
        effect = job.effect = asyncio.ensure_future(self._kit.effects.by_state[job.state](job))
        await asyncio.wait([effect])
        if effect.cancelled():
            return  # the state has changed, `trouble` is set, or the same effect begins again
        if (error := effect.exception()) is not None:
            await self._take_error(error)

    async def _tick(self) -> None:
        """Every CHECKPOINT_INTERVAL seconds note the place, in case the host dies, and look for causes of a warning."""
        job = self.job
        progress = NoProgress(60 * self._kit.config.safety.no_progress_min)
        while True:
            await asyncio.sleep(CHECKPOINT_INTERVAL)
            self._checkpoint()
            if progress.check(job.state, job.printer, asyncio.get_running_loop().time()):
                job.no_progress = progress.trouble
                log.warning("job.progress", reason=progress.trouble or "it makes progress again", lines=job.lines)
            if job.poor_connection is None and (bad := _poor_connection(job.printer.counters)):
                job.poor_connection = bad
                log.warning("printer.bad_line", reason=bad)

    def _checkpoint(self) -> None:
        job = self.job
        job.note_place()
        self._kit.store.checkpoint(job.snapshot.job, job.state.name, job.lines, job.offset)
        self._kit.survival.places.checkpoint()

    def _on_step(self, trigger: Trigger, old: JobState, new: JobState) -> None:
        job = self.job
        if new is not JobState.REATTACHING:
            job.snapshot.state = new
            now = asyncio.get_running_loop().time()
            job.snapshot.count_pause(now, paused=new in (JobState.PAUSED, JobState.RESUMING))
            if old is not JobState.REATTACHING:
                job.steps.enter_state()
        self.keep()
        if not self.is_replaced:
            self._kit.survival.places.on_state(job)
        log.info("job.state", trigger=trigger, old=old.name, new=new.name)
        self._kit.announce(new)

    # -- end -----------------------------------------------------------------------------------------------

    async def _take_error(self, error: BaseException) -> None:
        job, kit = self.job, self._kit
        if job.state.ended:
            return
        if not isinstance(error, NozzledError | OSError):
            log.error("job.bug", exc_info=error)
        if job.state is JobState.REATTACHING:
            job.end("interrupt", f"the print could not continue: {_reason(job, error)}")
            kit.heaters_off.is_due = True
            # not the job's printer: the connection's may be READY before the job has it
            if (printer := kit.connection.printer) is not None and kit.connection.ready:
                await kit.heaters_off.turn_off_now(printer)
            return
        job.end(trigger_for(error), _reason(job, error))
        if kit.connection.ready:
            await self._end_after_failure(in_danger=isinstance(error, Unsafe))

    async def _end_after_failure(self, *, in_danger: bool) -> None:
        """Turn the heaters off after the job has failed, then run the script `after_failure`."""
        job, kit = self.job, self._kit
        reason, silence = job.reason or "the print failed", kit.config.job.cancel_deadline_s
        if in_danger:
            await kit.heaters_off.turn_off_now(job.printer, reason)
        else:
            await kit.heaters_off.turn_off_and_rest(job.printer, reason, silence)
        if kit.heaters_off.is_due:
            return
        try:
            script = kit.effects.send_script(job, kit.config.scripts.after_failure)
            await while_it_lives(job.printer, script, silence)
        except TimeoutError:
            log.warning("job.after_failure", reason=f"the printer did not answer for {silence:g} s")
        except NozzledError as error:
            log.warning("job.after_failure", reason=str(error))

    async def _close(self) -> None:
        job, kit = self.job, self._kit
        if self.is_handed_over:
            if job.stream is not None:
                await job.stream.close()
            return
        job.note_place()
        job.ended_at = asyncio.get_running_loop().time()
        if job.printer.state is ConnectionState.READY and not self.is_replaced:
            job.printer.feed(None)
            job.printer.release()
        outcome = job.state.name
        print_time, snapshot = job.print_time(job.ended_at), job.snapshot
        kit.store.end_job(
            snapshot.job, outcome, job.reason, job.lines, job.offset, print_time, snapshot.resends, snapshot.ejected
        )
        if not self.is_replaced:
            await kit.effects.drop_kept_file()
        if job.stream is not None:
            await job.stream.close()
        log.info(
            "job.ended",
            file=job.snapshot.selection.path,
            outcome=outcome,
            reason=job.reason,
            lines=job.lines,
            resends=job.printer.counters.resends,
            skipped=job.stream.left_out_count if job.stream else 0,
            **_wire_delays(job),
        )

    async def hand_over(self) -> bool:
        """Leave the job to the next host as it is; False: the next host could not reattach to it."""
        job = self.job
        if not self.active or self._kit.survival.obstacle(job):
            return False
        self.is_handed_over = True
        job.printer.hold()
        job.note_place()
        self.keep()
        self._checkpoint()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        log.info("job.handed_over", file=job.snapshot.selection.path, state=job.state.name)
        return True


def trigger_for(error: BaseException) -> Trigger:
    """Return an error's trigger: a job that lost its connection, board or place is interrupted, any other one fails."""
    interrupting = PortError | PrinterReset | NotConnected | StepsDiffer | CannotReattach
    return "interrupt" if isinstance(error, interrupting) else "fail"


def _reason(job: Job, error: BaseException) -> str:
    """Return why an error ends a job, in a sentence for the user."""
    if isinstance(error, OSError):  # it is about the job's file, whose full path clients must not learn
        return f"{job.snapshot.selection.path} cannot be read: {error.strerror or error}"
    return str(error) if isinstance(error, NozzledError) else "an internal error; the log has more"


def _poor_connection(counters: Counters) -> str | None:
    """Return a warning if the printer sends many resend requests; None if it does not."""
    if counters.lines_sent < MIN_LINES or counters.resends < MAX_RESEND_SHARE * counters.lines_sent:
        return None
    return (
        f"the printer asked again for {counters.resends} of {counters.lines_sent} lines: "
        "check the cable, and look for interference"
    )


def _wire_delays(job: Job) -> dict[str, float]:
    """Return how soon a line followed an answer (turnaround), and the loop's longest stall since the last job."""
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
