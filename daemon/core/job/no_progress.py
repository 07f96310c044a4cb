"""NoProgress: finding a print that makes no progress though the line is alive, and nothing explains it.

Temperature reports may come all the time, and every question be answered: what counts is the job's own lines.
"""

from daemon.bridge.words import JobState
from gcode.heating import HYSTERESIS
from hal.printer import ConnectionState, Printer

_WORKS = (JobState.STARTING, JobState.PRINTING, JobState.RESUMING)


class NoProgress:
    """Looks at one job now and then.

    Attributes:
        trouble: what is wrong, in a sentence; None while nothing is.
    """

    def __init__(self, patience: float) -> None:
        """Begin; `patience` is how many seconds without progress are too many, 0: none are."""
        self.trouble: str | None = None
        self._patience = patience
        self._seen: tuple[JobState, int] | None = None
        self._since = 0.0

    def look(self, state: JobState, printer: Printer, now: float) -> bool:
        """Take a look; tell whether `trouble` is news."""
        seen = (state, printer.position.lines)
        if seen != self._seen or _explained(state, printer):
            self._seen, self._since = seen, now
        before = self.trouble
        if not self._patience or now - self._since < self._patience:
            self.trouble = None
            return before is not None
        self.trouble = (
            f"the print has made no progress for {self._patience / 60:g} min: the printer has acknowledged none of its "
            "lines, and does not say that it is busy, heats or is paused"
        )
        return before is None


def _explained(state: JobState, printer: Printer) -> bool:
    """Tell whether there is a reason to wait."""
    return (
        state not in _WORKS
        or printer.state is not ConnectionState.READY
        or printer.busy
        or printer.prompt is not None
        or any(reading.target and reading.actual < reading.target - HYSTERESIS for reading in printer.heaters.values())
    )
