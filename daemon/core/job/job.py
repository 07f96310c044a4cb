"""Job: one print that runs. What outlives this process is its `JobSnapshot`; here is the rest."""

import asyncio
from dataclasses import field

import structlog

from daemon.bridge.words import JobProgress, JobState
from daemon.core.job.job_snapshot import Ending, JobSnapshot
from daemon.core.job.machine import JobMachine
from daemon.core.job.states import Trigger
from daemon.core.job.steps import Steps
from daemon.core.job.streamer import FileStream
from daemon.errors import ServiceError, Unsafe
from gcode.frozen import mutable
from gcode.replies import Heaters
from hal.printer import Printer

RECENT_PERIOD = 60.0
"""Seconds: a printer that pauses by itself may turn its heaters off and park first, before it reports the pause."""

log = structlog.get_logger()


@mutable
class Job:
    """One print. Times are the loop's, in s; offsets are bytes in the file."""

    snapshot: JobSnapshot
    printer: Printer
    machine: JobMachine
    steps: Steps
    stream: FileStream | None = None
    feeding: bool = False
    reattached: bool = False  # at least once since it began
    finds_place: bool = False  # it reattaches, and has its printer already
    effect: asyncio.Task[None] | None = None  # of the state that it is in
    checking: asyncio.Task[None] | None = None  # checks that the file is still what was uploaded
    lines: int = 0
    offset: int = 0
    reason: str | None = None
    heaters_off: bool = False  # since it ended
    ended_at: float | None = None
    bad_line: str | None = None  # the warning that the line damages many bytes
    stalled: str | None = None  # the warning that the print makes no progress
    notice: str | None = None  # the last of the other warnings
    unknown: set[str] = field(default_factory=set)  # code words that the firmware has reported as unknown
    warm: dict[str, tuple[float, float]] = field(default_factory=dict)  # by heater: last target in °C, and its time
    trouble: ServiceError | None = None  # for which the runner has to end the job, whatever it is doing
    counted: tuple[Printer, int] | None = None  # resends of this printer that are in the snapshot already

    def warn(self, reason: str) -> None:
        """Warn the user of something that does not end the print."""
        self.notice = reason
        log.warning("job.warning", reason=reason)

    @property
    def state(self) -> JobState:
        """The state that the job is in."""
        return self.machine.state

    def move(self, trigger: Trigger) -> None:
        """Fire a trigger from outside the effect of the present state, which is cancelled."""
        self.note_position()
        self.machine.fire(trigger)
        if self.effect is not None:
            self.effect.cancel()

    def end(self, trigger: Trigger, reason: str) -> None:
        """End for this reason, whatever the job is doing."""
        self.reason = reason
        self.move(trigger)

    def stop(self, trouble: ServiceError) -> None:
        """Have the runner end the job because of `trouble`."""
        if not self.state.ended:
            # lines in flight may be refused one after the other for the same reason: the first refusal names it
            if self.trouble is None or isinstance(trouble, Unsafe):
                self.trouble = trouble
            if self.effect is not None:
                self.effect.cancel()

    def reattach_again(self) -> None:
        """Begin the effect of REATTACHING again: the line was lost before it had found its place."""
        self.finds_place = False
        if self.effect is not None:
            self.effect.cancel()

    def note_heat(self, heaters: Heaters, now: float) -> None:
        """Note the targets while the job prints: a printer that pauses by itself turns its heaters off first."""
        if self.state not in (JobState.PAUSING, JobState.PAUSED):
            self.warm |= {name: (reading.target, now) for name, reading in heaters.items() if reading.target}

    def targets(self, now: float) -> dict[str, float]:
        """Return the targets in °C of the last RECENT_PERIOD seconds, also of heaters that are off by now."""
        return {name: target for name, (target, at) in self.warm.items() if now - at <= RECENT_PERIOD}

    def note_position(self) -> None:
        """Note how far the printer has got, if it is fed from this job."""
        if self.feeding and not self.state.ended:
            self.lines, self.offset = self.printer.place.lines, self.printer.place.offset
            self._count_resends()

    def _count_resends(self) -> None:
        """Add the resends since the last call to the snapshot; a new printer object counts from 0."""
        resends = self.printer.counters.resends
        if self.counted is not None and self.counted[0] is self.printer:
            self.snapshot.resends += resends - self.counted[1]
        self.counted = self.printer, resends

    def print_time(self, now: float) -> float:
        """Return the seconds that it has been printing, or had been at its end."""
        return self.snapshot.print_time(self.ended_at if self.ended_at is not None else now)

    def ending(self, now: float) -> Ending | None:
        """Return how it ended; None: it has not."""
        if not self.state.ended:
            return None
        # the others end when heaters are off
        left_hot = self.state in (JobState.FAILED, JobState.INTERRUPTED) and not self.heaters_off
        return Ending(self.reason, self.lines, self.offset, self.print_time(now), left_hot)

    def progress(self, now: float) -> JobProgress:
        """Return how far it is, or was at its end; the time left is estimated from the pace so far."""
        elapsed, size = self.print_time(now), self.snapshot.selection.size
        if self.state is JobState.COMPLETED:
            return JobProgress(100.0, size, elapsed, 0.0, None, self.lines)
        self.note_position()
        share = self.offset / size if size else 0.0
        remaining_s = elapsed / share - elapsed if share > 0 and not self.state.ended else None
        return JobProgress(
            100.0 * share, self.offset, elapsed, remaining_s, "linear" if remaining_s is not None else None, self.lines
        )
