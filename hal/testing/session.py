"""SessionKeeper: what went over the line in a test, in memory, to be shown where the test fails."""

from collections import deque
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from hal.replay import dialogue
from hal.session_file import EVENT, Record, SessionEncoder, SessionHeader

KEPT = 1 << 16
"""Pieces that are kept, the last ones."""


class SessionKeeper:
    """Takes the pieces that a `hal.recorder.RecordingTransport` hears."""

    def __init__(self) -> None:
        self.records: deque[Record] = deque(maxlen=KEPT)
        self.taken = 0

    def start(self) -> None:
        """Begin; nothing is to be done for it."""

    def note(self, time: float, kind: str, data: bytes) -> None:
        """Take one piece."""
        self.taken += 1
        self.records.append(Record(time, kind, data))

    def close(self) -> None:
        """End; what was kept stays."""

    def show(self, last: int) -> str:
        """Return the last lines of the conversation for a person to read."""
        return "\n".join(list(dialogue(self.records))[-last:])

    def save(self, path: Path, header: SessionHeader) -> None:
        """Write all that was kept as a session file.

        Raises:
            OSError: it cannot be written.
        """
        encoder = SessionEncoder()
        lost = self.taken - len(self.records)
        begin = [Record(0.0, EVENT, b"dropped %d" % lost)] if lost else []
        data = encoder.header(header) + encoder.records([*begin, *self.records]) + encoder.end()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def header_of(address: str) -> SessionHeader:
    """Return the header of a session that is saved now."""
    return SessionHeader(datetime.now(UTC).isoformat(timespec="seconds"), address, software=version("nozzled"))
