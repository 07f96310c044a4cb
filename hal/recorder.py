"""Recorder: writes the traffic of a connection to files, without ever delaying the traffic.

    RecordingTransport ── append, 1 µs ──▶ Recorder's buffer ── each second, in a thread ──▶ session files

A connection on which the printer sends nothing leaves no file: repeated attempts to reach a printer that is switched
off would push out the recordings that matter.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import field, replace
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Protocol

from gcode.frozen import frozen, mutable
from hal.errors import PortError
from hal.session_file import EVENT, HOST, PRINTER, Record, RecordKind, SessionEncoder, SessionHeader
from hal.transport import Reopenable, Transport

FLUSH_INTERVAL = 1.0
"""Seconds between flushes, and so the most that a crash loses."""

MAX_PIECES = 1 << 16
"""Pieces that may wait for the disk: half a minute of the fastest print; further ones are dropped and counted."""

MAX_FAULTS = 20
"""Number of dumps of the flight recorder to keep."""

_SUFFIX = ".jsonl.gz"
_SESSION, _FAULT = "session", "fault"  # kinds of recordings


@frozen
class RecordingFolder:
    """Where recordings are written, and how many are kept.

    Attributes:
        folder: created when it is needed.
        max_bytes: size at which a file ends and the next part begins.
        max_files: number of files to keep; the oldest are removed.
    """

    folder: Path
    max_bytes: int = 64 << 20
    max_files: int = 10


@mutable
class _File:
    """The file that is being written."""

    file: FileIO
    path: Path
    size: int = 0
    holds_records: bool = False
    encoder: SessionEncoder = field(default_factory=SessionEncoder)

    def put(self, data: bytes) -> None:
        self.size += len(data)
        while data:  # unbuffered, so that a full disk shows at once
            data = data[self.file.write(data) :]

    def end(self) -> None:
        with self.file:
            self.put(self.encoder.end())

    def give_up(self) -> None:
        """Close the file without an end; remove it if it holds nothing, so that it does not count as a recording."""
        with contextlib.suppress(OSError):
            self.file.close()
            if not self.holds_records:
                self.path.unlink()


class Recorder:
    """Buffers pieces on the loop and writes them in a thread of its own; never raises and never blocks."""

    def __init__(
        self, recordings: RecordingFolder, header: SessionHeader, on_error: Callable[[OSError], None] | None = None
    ) -> None:
        """Prepare; nothing is written.

        Args:
            recordings: where to write.
            header: of the first part.
            on_error: called from the thread when the first write fails.
        """
        self.dropped = 0  # pieces lost to a full buffer or a full disk
        self._recordings = recordings
        self._header = header
        self._on_error = on_error
        self._pieces: deque[Record] = deque()
        self._has_heard = False  # the printer has sent something
        self._not_taken = 0  # pieces dropped since the last one that the buffer took
        self._gap_began = 0.0  # the time of the first of them
        self._not_written = 0  # pieces dropped since the last one that the disk took
        self._file: _File | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def note(self, time: float, kind: RecordKind, data: bytes) -> None:
        """Take one piece; called on the loop's thread."""
        if len(self._pieces) >= MAX_PIECES:
            self.dropped += 1
            self._gap_began = self._gap_began if self._not_taken else time
            self._not_taken += 1
            return
        self._note_gap()
        self._pieces.append(Record(time, kind, data))

    def _note_gap(self) -> None:
        if self._not_taken:
            self._pieces.append(_gap(self._gap_began, self._not_taken))
            self._not_taken = 0

    def close(self) -> None:
        """Begin to write the rest and end the file, without waiting for that."""
        self._note_gap()
        self._end.set()

    def join(self, timeout: float | None = None) -> None:
        """Wait after `close` until the file is complete; not to be called on the loop."""
        if self._end.is_set() and self._thread.ident is not None:
            self._thread.join(timeout)

    # -- in the thread -------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._end.wait(FLUSH_INTERVAL):
            self._flush()
        self._flush()
        self._attempt(self._end_file)

    def _flush(self) -> None:
        records = [self._pieces.popleft() for _ in range(len(self._pieces))]
        self._has_heard = self._has_heard or any(record.kind == PRINTER for record in records)
        if not self._has_heard:
            self._pieces.extendleft(reversed(records))
        elif records and not self._attempt(lambda: self._write(records)):
            self.dropped += len(records)
            self._not_written += len(records)
            self._give_up_file()
        elif self._file is not None and self._file.size >= self._recordings.max_bytes:
            self._attempt(self._end_file)

    def _attempt(self, work: Callable[[], None]) -> bool:
        """Do some work on the disk; tell whether it succeeded. A full disk affects only the recording."""
        try:
            work()
        except OSError as error:
            if self._on_error is not None:
                self._on_error(error)
                self._on_error = None
            return False
        return True

    def _write(self, records: list[Record]) -> None:
        file = self._file or self._begin()
        if self._not_written:
            records = [_gap(records[0].time, self._not_written), *records]
        file.put(file.encoder.records(records))
        if not file.holds_records:
            file.holds_records = True
            _prune(self._recordings, _SESSION, file.path)
        self._not_written = 0

    def _begin(self) -> _File:
        file = self._file = _File(*_create(self._recordings, _SESSION, self._header))
        file.put(file.encoder.header(self._header))
        self._header = replace(self._header, part=self._header.part + 1)
        return file

    def _give_up_file(self) -> None:
        """Close the file without an end; the next part says how many pieces are missing."""
        file, self._file = self._file, None
        if file is not None:
            file.give_up()

    def _end_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.end()


def _gap(time: float, pieces: int) -> Record:
    return Record(time, EVENT, b"dropped %d" % pieces)


class SessionSink(Protocol):
    """Takes the pieces of a conversation."""

    def start(self) -> None:
        """Begin: the connection is open."""

    def note(self, time: float, kind: RecordKind, data: bytes) -> None:
        """Take one piece, `time` seconds after the opening of the connection; may be called before `start`."""

    def close(self) -> None:
        """End: no more pieces come."""


class RecordingTransport:
    """A `hal.transport.Transport` that passes everything on to another transport, and to a recorder."""

    def __init__(self, transport: Transport, recorder: SessionSink, clock: Callable[[], float]) -> None:
        """Record a transport that is not open yet.

        Args:
            transport: the transport to record.
            recorder: takes the pieces; closed with the transport.
            clock: the loop's time.
        """
        self._transport = transport
        self._recorder = recorder
        self._clock = clock
        self._began = clock()
        self._open = False
        self._on_data: Callable[[bytes], None]
        self._on_lost: Callable[[PortError], None]

    @property
    def address(self) -> str:
        """The printer's address."""
        return self._transport.address

    @property
    def baudrate(self) -> int | None:
        """Bits per second on the wire."""
        return self._transport.baudrate

    async def open(self, on_data: Callable[[bytes], None], on_lost: Callable[[PortError], None]) -> None:
        """Open the connection; if that fails, nothing is recorded."""
        self._on_data, self._on_lost = on_data, on_lost
        self._began = self._clock()
        self._note(EVENT, b"open")
        await self._transport.open(self._receive, self._lost)
        self._open = True
        self._recorder.start()

    async def reopen(self, on_data: Callable[[bytes], None], on_lost: Callable[[PortError], None]) -> None:
        """Open the connection without a reset of the board."""
        if not isinstance(self._transport, Reopenable):
            raise PortError(f"cannot reattach to {self.address}: opening it would reset the printer")
        self._on_data, self._on_lost = on_data, on_lost
        self._began = self._clock()
        self._note(EVENT, b"reopen")
        await self._transport.reopen(self._receive, self._lost)
        self._open = True
        self._recorder.start()

    def write(self, data: bytes) -> None:
        """Queue bytes for the wire."""
        self._note(HOST, data)
        self._transport.write(data)

    def reset(self) -> None:
        """Pulse DTR."""
        self._note(EVENT, b"reset")
        self._transport.reset()

    def close(self) -> None:
        """Close the connection, and then the recording."""
        self._transport.close()
        self._end(b"close")

    def _receive(self, data: bytes) -> None:
        self._note(PRINTER, data)
        self._on_data(data)

    def _lost(self, error: PortError) -> None:
        self._end(b"lost " + str(error).encode(errors="replace"))
        self._on_lost(error)

    def _note(self, kind: RecordKind, data: bytes) -> None:
        self._recorder.note(self._clock() - self._began, kind, data)

    def _end(self, event: bytes) -> None:
        if self._open:
            self._open = False
            self._note(EVENT, event)
            self._recorder.close()


def dump(folder: Path, header: SessionHeader, records: Iterable[Record]) -> Path:
    """Write the last pieces of a conversation (`FlightRecorder.records`) as a recording; return its file.

    If the recording reaches back to the opening of the connection, it can be replayed; otherwise it can only be shown.
    Do not call this on the loop.

    Raises:
        OSError: the file cannot be written.
    """
    recordings = RecordingFolder(folder, max_files=MAX_FAULTS)
    file = _File(*_create(recordings, _FAULT, header))
    try:
        file.put(file.encoder.header(header) + file.encoder.records(records))
        file.end()
    except OSError:
        file.give_up()
        raise
    _prune(recordings, _FAULT, file.path)
    return file.path


def describe(
    address: str, baudrate: int | None, wall: float, software: str, settings: dict[str, float | str]
) -> SessionHeader:
    """Return the header of a conversation that begins at `wall`, a Unix time in s."""
    return SessionHeader(datetime.fromtimestamp(wall, UTC).isoformat(), address, baudrate, software, settings)


def _create(recordings: RecordingFolder, kind: str, header: SessionHeader) -> tuple[FileIO, Path]:
    """Create a new file. Call `_prune` once it holds records: an empty one, on a full disk, must replace no other."""
    recordings.folder.mkdir(parents=True, exist_ok=True)
    stamp = datetime.fromisoformat(header.date).strftime("%Y%m%d-%H%M%S")
    for number in range(recordings.max_files + 1):  # several conversations may begin in the same second
        path = recordings.folder / f"{kind}-{stamp}-{number}.part{header.part:03}{_SUFFIX}"
        with contextlib.suppress(FileExistsError):
            return path.open("xb", buffering=0), path
    raise FileExistsError(f"{recordings.folder}: too many recordings of the same second")


def _prune(recordings: RecordingFolder, kind: str, newest: Path) -> None:
    """Remove the oldest recordings beyond `recordings.max_files`."""
    with contextlib.suppress(OSError):
        others = sorted(each for each in recordings.folder.glob(f"{kind}-*{_SUFFIX}") if each != newest)
        for each in others[: max(0, len(others) + 1 - recordings.max_files)]:
            with contextlib.suppress(OSError):  # a file that cannot be removed must not protect the others
                each.unlink()
