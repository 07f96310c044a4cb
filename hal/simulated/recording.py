"""The device's own recording of a session: every byte with the device's time, in the format of `hal.session_file`."""

from collections.abc import Callable
from typing import BinaryIO

from hal.session_file import Record, RecordKind, SessionHeader
from hal.tape import SessionOutput


class SessionWriter:
    """Writes the session of a `hal.recorder.RecordingTransport`, which a pulled cable does not end.

    It blocks: it is for a simulator in a process of its own, never for the daemon's loop.
    """

    def __init__(self, file: BinaryIO, header: SessionHeader, now: Callable[[], float]) -> None:
        self._output = SessionOutput(file, header)
        self._now = now

    def start(self) -> None:
        """Do nothing: the file is open."""

    def note(self, _time: float, kind: RecordKind, data: bytes) -> None:
        """Write one piece, at the device's time."""
        self._output.add([Record(self._now(), kind, data)])

    def close(self) -> None:
        """Do nothing: the connection may be opened again."""

    def end(self) -> None:
        """End the session.

        Raises:
            OSError: the recording is not complete.
        """
        self._output.end()
