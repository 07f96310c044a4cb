"""NoProgress: detects a print that makes no progress, although the printer answers and there is no reason to wait.

Only the job's own lines count: temperature reports and answers to other commands may still come.
"""

from daemon.bridge.words import JobState
from gcode.heating import HYSTERESIS
from hal.printer import ConnectionState, Printer

_WORKING = (JobState.STARTING, JobState.PRINTING, JobState.RESUMING)


class NoProgress:
    """Checks one job, every few seconds.

    Attributes:
        trouble: what is wrong, in a sentence; None: nothing is.
    """

    def __init__(self, patience: float) -> None:
        """Begin to watch; `patience`: seconds without progress after which there is trouble; 0: never."""
        self.trouble: str | None = None
        self._patience = patience
        self._latest: tuple[JobState, int] | None = None  # state and acknowledged lines
        self._since = 0.0

    def check(self, state: JobState, printer: Printer, now: float) -> bool:
        """Update `trouble`; tell whether trouble has begun or ended."""
        latest = (state, printer.place.lines)
        if latest != self._latest or _has_reason_to_wait(state, printer):
            self._latest, self._since = latest, now
        before = self.trouble
        if not self._patience or now - self._since < self._patience:
            self.trouble = None
            return before is not None
        self.trouble = (
            f"the print has made no progress for {self._patience / 60:g} min: the printer has acknowledged none of its "
            "lines, and does not report that it is busy, heating or paused"
        )
        return before is None


def _has_reason_to_wait(state: JobState, printer: Printer) -> bool:
    """Tell whether there is a reason to wait."""
    return (
        state not in _WORKING
        or printer.state is not ConnectionState.READY
        or printer.busy
        or printer.prompt is not None
        or any(reading.target and reading.actual < reading.target - HYSTERESIS for reading in printer.heaters.values())
    )
