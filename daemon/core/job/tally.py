"""Tally: the counters of all prints of this process."""

from daemon.bridge.words import JobState


class Tally:
    """The counters.

    Attributes:
        underruns: how often the printer had room for lines that had not been read from the disk yet.
        starved: how long the printer waited for such lines, in s.
        reattachments: how often prints lost their connection (`line_…`) or their host (`restart_…`) and continued
            (`…_resumed`) or ended (`…_ended`).
    """

    __slots__ = ("_loss", "reattachments", "starved", "underruns")

    def __init__(self) -> None:
        self.underruns = 0
        self.starved = 0.0
        self.reattachments: dict[str, int] = {}
        self._loss: str | None = None  # what the present print has lost: "line" or "restart"

    def note_loss(self, loss: str) -> None:
        """Note that a print waits for its printer, because the connection ("line") or the host ("restart") was lost."""
        self._loss = loss

    def on_job(self, state: JobState) -> None:
        """Count what the job's new state shows."""
        if state is JobState.REATTACHING:
            self._loss = self._loss or "line"
        elif self._loss is not None:
            outcome = f"{self._loss}_{'ended' if state.ended or state is JobState.CANCELLING else 'resumed'}"
            self.reattachments[outcome] = self.reattachments.get(outcome, 0) + 1
            self._loss = None
