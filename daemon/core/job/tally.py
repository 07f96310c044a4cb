"""Tally: what this process has counted in all of its prints, as plain numbers that are handed over when asked for."""

from daemon.bridge.words import JobState


class Tally:
    """Counts.

    Attributes:
        underruns: times that the printer had room for lines that were not read from the disk yet.
        starved: s that it waited for them.
        reattachments: prints whose line or host was gone, by what was gone and how it ended: `line_resumed`,
            `line_ended`, `restart_resumed`, `restart_ended`.
    """

    __slots__ = ("_gone", "reattachments", "starved", "underruns")

    def __init__(self) -> None:
        self.underruns = 0
        self.starved = 0.0
        self.reattachments: dict[str, int] = {}
        self._gone: str | None = None  # what is gone now

    def is_away(self, gone: str) -> None:
        """Take note that a print waits for its printer, as its `line` was lost, or its host by a `restart`."""
        self._gone = gone

    def on_job(self, state: JobState) -> None:
        """Take note of a job's new state."""
        if state is JobState.REATTACHING:
            self._gone = self._gone or "line"
        elif self._gone is not None:
            outcome = f"{self._gone}_{'ended' if state.ended or state is JobState.CANCELLING else 'resumed'}"
            self.reattachments[outcome] = self.reattachments.get(outcome, 0) + 1
            self._gone = None
