"""Tape: a recorder without a thread, for simulated time, in which a disk delays nothing."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from hal.session_file import Record, RecordKind, SessionEncoder, SessionHeader

PIECES = 4096
"""Pieces that are written at once."""


class SessionOutput:
    """A session file that is being written. Only `end` raises: a recorder writes in the middle of a conversation."""

    def __init__(self, file: BinaryIO, header: SessionHeader) -> None:
        """Write the header to an open file."""
        self._file = file
        self._encoder = SessionEncoder()
        self._error: OSError | None = None  # of the first write that failed; nothing is written after it
        self._put(self._encoder.header(header))

    def add(self, records: Iterable[Record]) -> None:
        """Write records."""
        self._put(self._encoder.records(records))

    def end(self) -> None:
        """Write the end of the session; the file stays open.

        Raises:
            OSError: the recording is not complete; names the file.
        """
        self._put(self._encoder.end())
        if (error := self._error) is not None:
            raise OSError(error.errno, error.strerror, getattr(self._file, "name", None)) from error

    def _put(self, data: bytes) -> None:
        try:
            while data and self._error is None:
                data = data[self._file.write(data) :]  # a disk that is nearly full may take only a part
        except OSError as error:
            self._error = error


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
        self._clock = clock
        self._began: float | None = None
        self._pieces: list[Record] = []
        self._file: BinaryIO | None = path.open("wb", buffering=0)
        self._output = SessionOutput(self._file, header)

    def start(self) -> None:
        """Do nothing: the file is already open."""

    def note(self, _time: float, kind: RecordKind, data: bytes) -> None:
        """Take one piece; its time counts from the start of the session, not of the connection."""
        if self._file is None:
            return
        now = self._clock()
        if self._began is None:
            self._began = now
        self._pieces.append(Record(now - self._began, kind, data))
        if len(self._pieces) >= PIECES:
            self._flush()

    def close(self) -> None:
        """Do nothing: another connection may follow."""

    def end(self) -> None:
        """Write the rest and end the file; idempotent.

        Raises:
            OSError: the recording is not complete.
        """
        file, self._file = self._file, None
        if file is not None:
            with file:
                self._flush()
                self._output.end()

    def _flush(self) -> None:
        pieces, self._pieces = self._pieces, []
        if pieces:
            self._output.add(pieces)
