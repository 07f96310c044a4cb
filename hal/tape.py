"""Tape: a recorder without a thread, for simulated time, in which a disk delays nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from hal.session_file import Record, SessionEncoder, SessionHeader

PIECES = 4096
"""Pieces that are written at once."""


class Tape:
    """Writes a session file piece by piece; a `hal.recorder.SessionSink`. The same pieces give the same bytes.

    It takes several connections in turn: a lost connection that is opened again is still one session.
    """

    def __init__(self, path: Path, header: SessionHeader, clock: Callable[[], float]) -> None:
        """Begin the file.

        Args:
            path: the file.
            header: its first line.
            clock: the loop's time; the first piece is at 0.

        Raises:
            OSError: the file cannot be written.
        """
        self._encoder = SessionEncoder()
        self._clock = clock
        self._began: float | None = None
        self._pieces: list[Record] = []
        self._file: BinaryIO | None = path.open("wb")
        self._file.write(self._encoder.header(header))

    def start(self) -> None:
        """Do nothing: the file is already open."""

    def note(self, _time: float, kind: str, data: bytes) -> None:
        """Take one piece; its time counts from the start of the session, not of the connection."""
        now = self._clock()
        if self._began is None:
            self._began = now
        self._pieces.append(Record(now - self._began, kind, data))
        if len(self._pieces) >= PIECES:
            self._flush()

    def close(self) -> None:
        """Do nothing: another connection may follow."""

    def end(self) -> None:
        """Write the rest and end the file; idempotent."""
        self._flush()
        file, self._file = self._file, None
        if file is not None:
            file.write(self._encoder.end())
            file.close()

    def _flush(self) -> None:
        pieces, self._pieces = self._pieces, []
        if self._file is not None and pieces:
            self._file.write(self._encoder.records(pieces))
