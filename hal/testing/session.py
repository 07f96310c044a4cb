"""SessionKeeper: records the traffic of a test's connections in memory, to show it if the test fails."""

from collections import deque
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from hal.replay import dialogue
from hal.session_file import EVENT, Record, RecordKind, SessionEncoder, SessionHeader

MAX_PIECES = 1 << 16
"""Number of pieces; older ones are dropped."""


class SessionKeeper:
    """A `hal.recorder.SessionSink` that keeps the last pieces.

    Attributes:
        records: the last pieces.
        count: number of all pieces.
    """

    def __init__(self) -> None:
        self.records: deque[Record] = deque(maxlen=MAX_PIECES)
        self.count = 0

    def start(self) -> None:
        """Do nothing: the keeper is always ready."""

    def note(self, time: float, kind: RecordKind, data: bytes) -> None:
        """Take one piece."""
        self.count += 1
        self.records.append(Record(time, kind, data))

    def close(self) -> None:
        """Do nothing; the pieces stay."""

    def show(self, last: int) -> str:
        """Return the last lines of the conversation as text."""
        return "\n".join(list(dialogue(self.records))[-last:])

    def save(self, path: Path, header: SessionHeader) -> None:
        """Write the kept pieces as a session file.

        Raises:
            OSError: the file cannot be written.
        """
        encoder = SessionEncoder()
        dropped = self.count - len(self.records)
        head = [Record(0.0, EVENT, b"dropped %d" % dropped)] if dropped else []
        data = encoder.header(header) + encoder.records([*head, *self.records]) + encoder.end()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def header_of(address: str) -> SessionHeader:
    """Return the header of a session that is saved now."""
    return SessionHeader(datetime.now(UTC).isoformat(timespec="seconds"), address, software=version("nozzled"))
