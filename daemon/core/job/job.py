"""Job: one print that runs. What outlives this process is in its `JobSnapshot`, everything else is here."""

import asyncio
from dataclasses import field

import structlog

from daemon.bridge.words import FileMark, JobProgress, JobState
from daemon.core.connection.losing import LossCount
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
"""Seconds for which targets count as recent: a printer that pauses by itself may turn its heaters off and park before
it reports the pause."""

log = structlog.get_logger()


@mutable
class Job:
    """One print. Times are the loop's, in s; offsets are bytes in the file."""

    snapshot: JobSnapshot
    printer: Printer
    machine: JobMachine
    steps: Steps
    checked_file: FileMark | None = None  # the only file to open, at the start of the print; None: not compared
    stream: FileStream | None = None
    feeds_printer: bool = False  # the printer takes its lines from `stream`
    was_reattached: bool = False  # at least once in this process
    may_reattach_again: bool = False  # it reattaches and has its printer; if that is lost again, it can start over
    losses: LossCount = field(default_factory=LossCount)  # of that printer, in the present reattachment
    effect: asyncio.Task[None] | None = None  # that of the present state
    check_task: asyncio.Task[None] | None = None  # checks that the file is still what was uploaded
    lines: int = 0
    offset: int = 0
    reason: str | None = None
    heaters_are_off: bool = False  # they have been turned off since the job ended
    ended_at: float | None = None
    poor_connection: str | None = None  # the warning that many lines arrive damaged
    no_progress: str | None = None  # the warning that the print makes no progress
    notice: str | None = None  # the last of the other warnings
    unknown_words: set[str] = field(default_factory=set)  # code words that the firmware has reported as unknown
    # by heater: its last target in °C, and the time of that
    last_targets: dict[str, tuple[float, float]] = field(default_factory=dict)
    trouble: ServiceError | None = None  # the error because of which the runner has to end the job
    counted_resends: tuple[Printer, int] | None = None  # how many of this printer's are already in the snapshot

    def warn(self, reason: str) -> None:
        """Warn the user of something that does not end the print."""
        self.notice = reason
        log.warning("job.warning", reason=reason)

    @property
    def state(self) -> JobState:
        """The state that the job is in."""
        return self.machine.state

    def move(self, trigger: Trigger) -> None:
        """Fire a trigger from outside the present effect, and cancel that effect."""
        self.note_place()
        self.machine.fire(trigger)
        if self.effect is not None:
            self.effect.cancel()

    def end(self, trigger: Trigger, reason: str) -> None:
        """End the job for this reason, whatever it is doing."""
        self.reason = reason
        self.move(trigger)

    def stop(self, trouble: ServiceError) -> None:
        """Have the runner end the job because of `trouble`."""
        if not self.state.ended:
            # several lines in flight may be refused for the same reason: the first refusal names it
            if self.trouble is None or isinstance(trouble, Unsafe):
                self.trouble = trouble
            if self.effect is not None:
                self.effect.cancel()

    def reattach_again(self) -> None:
        """Begin the effect of REATTACHING again: the connection was lost before the effect had found the place."""
        self.may_reattach_again = False
        if self.effect is not None:
            self.effect.cancel()

    def note_targets(self, heaters: Heaters, now: float) -> None:
        """Note the targets, except in a pause: a printer that pauses by itself may turn its heaters off first."""
        if self.state not in (JobState.PAUSING, JobState.PAUSED):
            self.last_targets |= {name: (reading.target, now) for name, reading in heaters.items() if reading.target}

    def recent_targets(self, now: float) -> dict[str, float]:
        """Return the targets of the last RECENT_PERIOD seconds in °C, including those of heaters that are off now."""
        return {name: target for name, (target, at) in self.last_targets.items() if now - at <= RECENT_PERIOD}

    def note_place(self) -> None:
        """Note the place that the printer has reached, if it takes its lines from this job."""
        if self.feeds_printer and not self.state.ended:
            self.lines, self.offset = self.printer.place.lines, self.printer.place.offset
            self._count_resends()

    def _count_resends(self) -> None:
        """Add the resends since the last call to the snapshot; a new printer object counts from 0."""
        resends = self.printer.counters.resends
        if self.counted_resends is not None and self.counted_resends[0] is self.printer:
            self.snapshot.resends += resends - self.counted_resends[1]
        self.counted_resends = self.printer, resends

    def print_time(self, now: float) -> float:
        """Return for how many seconds the job has been printing, or had been at its end."""
        return self.snapshot.print_time(self.ended_at if self.ended_at is not None else now)

    def ending(self, now: float) -> Ending | None:
        """Return how the job ended; None: it has not ended."""
        if not self.state.ended:
            return None
        # after a cancelled job the heaters are off; after a completed one they are as its file has left them
        left_hot = self.state in (JobState.FAILED, JobState.INTERRUPTED) and not self.heaters_are_off
        return Ending(self.reason, self.lines, self.offset, self.print_time(now), left_hot)

    def progress(self, now: float) -> JobProgress:
        """Return how far the job is, or was at its end; the time left is estimated from its pace so far."""
        elapsed, size = self.print_time(now), (self.snapshot.file or self.snapshot.selection).size
        if self.state is JobState.COMPLETED:
            return JobProgress(100.0, size, elapsed, 0.0, None, self.lines)
        self.note_place()
        share = self.offset / size if size else 0.0
        remaining_s = elapsed / share - elapsed if share > 0 and not self.state.ended else None
        return JobProgress(
            100.0 * share, self.offset, elapsed, remaining_s, "linear" if remaining_s is not None else None, self.lines
        )
