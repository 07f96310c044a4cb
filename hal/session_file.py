r"""Session files: recordings of the traffic between host and printer, in both directions.

A file is gzip over lines of JSON in ASCII, so `zcat` shows it. The first line is the header, an object; each other line
is a record:

    {"format": "nozzled session", "version": 1, "date": "2026-11-22T10:00:00+00:00", "part": 1, …}
    [0.000012,"!","open"]                   an event
    [0.000103,">","\nN0 M110 N0*125\n"]     bytes from the host, each character one byte (Latin-1)
    [0.031250,"<","start\n"]                bytes from the printer

Times are seconds since the opening of the connection; in a dump of the flight recorder, since its first record. Events
are `open`, `reopen` (without a reset of the board), `close`, `reset` (a pulse of DTR), `lost REASON` and `dropped N` (N
pieces are missing: the disk was full or too slow).

The writer ends each flush on a byte boundary of the compressed stream (Z_SYNC_FLUSH), so a file that was cut off by a
crash is readable up to its last flush. A session may consist of several files, its parts.
"""

import contextlib
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, field
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args, get_type_hints

from gcode.frozen import frozen
from hal.errors import RecordingError

FORMAT = "nozzled session"
VERSION = 1

RecordKind = Literal[">", "<", "!"]

HOST: Final = ">"
PRINTER: Final = "<"
EVENT: Final = "!"
_KINDS: tuple[RecordKind, ...] = get_args(RecordKind)

MAX_TEXT = 1 << 30
"""Bytes of text that are read from one file: more than any recorder writes, less than a gzip bomb holds."""

_DAMAGED = "the file is damaged"
_GZIP = 31  # zlib's window bits for a gzip stream
_CHUNK = 1 << 16


class Record(NamedTuple):
    """One piece of the conversation."""

    time: float  # seconds since the opening of the connection, or since the first record of a dump
    kind: RecordKind  # HOST, PRINTER or EVENT
    data: bytes


@frozen
class SessionHeader:
    """The header of a recording.

    Attributes:
        date: of the opening of the connection, ISO 8601; in a dump of the flight recorder, of its first record.
        address: of the printer.
        baudrate: of the wire; None: it is not known, or bytes take no time.
        software: version of the program that wrote it.
        settings: of the link, by the names in `hal.link_settings.LinkSettings`.
        part: 1 for the first file of a session, 2 for the next, and so on.
    """

    date: str
    address: str
    baudrate: int | None = None
    software: str = ""
    settings: dict[str, float | str] = field(default_factory=dict)
    part: int = 1


@frozen
class RecordedSession:
    """A recording as read from its files; `why_cut`: why its end is missing; empty: it is complete."""

    header: SessionHeader
    records: list[Record]
    why_cut: str = ""


class SessionEncoder:
    """Encodes a header and records as the bytes of one file."""

    def __init__(self) -> None:
        import zlib  # noqa: PLC0415 - a print that goes well writes no session

        self._gzip = zlib.compressobj(wbits=_GZIP)
        self._flush_mode = zlib.Z_SYNC_FLUSH  # what has been written so far stays readable

    def header(self, header: SessionHeader) -> bytes:
        """Return the bytes of the first line."""
        return self._put(json.dumps({"format": FORMAT, "version": VERSION, **asdict(header)}) + "\n")

    def records(self, records: Iterable[Record]) -> bytes:
        """Return the bytes of records; they are readable without what follows."""
        return self._put("".join(map(_line, records)))

    def end(self) -> bytes:
        """Return the end of the file."""
        return self._gzip.flush()

    def _put(self, text: str) -> bytes:
        return self._gzip.compress(text.encode("ascii")) + self._gzip.flush(self._flush_mode)


def _line(record: Record) -> str:
    return f'[{record.time:.6f},"{record.kind}",{json.dumps(record.data.decode("latin-1"))}]\n'


def read(paths: Sequence[Path]) -> RecordedSession:
    """Read the parts of one session, in order.

    Raises:
        RecordingError: a file cannot be read, is not a recording, is of another version, or is not the next part.
    """
    parts = [_read_part(path) for path in paths]
    first = parts[0]
    for number, part in enumerate(parts, first.header.part):
        if (part.header.part, part.header.date) != (number, first.header.date):
            raise RecordingError(f"{paths[number - first.header.part]}: not part {number} of the session in {paths[0]}")
    records = [record for part in parts for record in part.records]
    return RecordedSession(first.header, records, next((part.why_cut for part in parts if part.why_cut), ""))


def _read_part(path: Path) -> RecordedSession:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror}") from error
    text, cut = _unzip(raw)
    first, line_feed, body = text.partition(b"\n")
    if not line_feed:
        raise RecordingError(f"{path}: not a recording, or cut off in its first line")
    header = _header(first, path)
    lines = body.split(b"\n")
    if lines.pop():
        cut = cut or "the last record is incomplete"
    return RecordedSession(header, list(_records(lines, path, cut)), cut)


def _records(lines: Iterable[bytes], path: Path, cut: str) -> Iterator[Record]:
    for line in lines:
        try:
            record = _record(line, path)
        except RecordingError:
            if cut != _DAMAGED:
                raise
            return  # damaged from here on
        yield record


def _unzip(raw: bytes) -> tuple[bytes, str]:
    """Return the readable text, and why it is not complete."""
    import zlib  # noqa: PLC0415 - as above

    text = bytearray()
    gzip = zlib.decompressobj(wbits=_GZIP)
    for chunk in _chunks(raw, _CHUNK):
        before = gzip.copy()
        try:
            text += gzip.decompress(chunk, MAX_TEXT + 1 - len(text))
        except zlib.error as error:
            # "incorrect" is a wrong checksum at the end of the file: the damage may be anywhere before it
            if "incorrect" not in str(error):
                text += b"".join(_until_damage(before, chunk))
            return bytes(text[:MAX_TEXT]), _DAMAGED
        if len(text) > MAX_TEXT:
            return bytes(text[:MAX_TEXT]), f"only the first {MAX_TEXT} bytes of its text are read"
    return bytes(text), "" if gzip.eof else "the file ends too early"


def _until_damage(gzip: Any, chunk: bytes) -> Iterator[bytes]:
    """Yield the text before the damage: a power cut may leave zeros behind the last flush."""
    import zlib  # noqa: PLC0415 - as above

    with contextlib.suppress(zlib.error):
        for byte in _chunks(chunk, 1):
            yield gzip.decompress(byte, MAX_TEXT)


def _chunks(raw: bytes, size: int) -> Iterator[bytes]:
    return (raw[start : start + size] for start in range(0, len(raw), size))


def _header(line: bytes, path: Path) -> SessionHeader:
    try:
        fields: Any = json.loads(line)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict) or fields.pop("format", None) != FORMAT:
        raise RecordingError(f"{path}: not a recording of a session")
    version = fields.pop("version", None)
    if version != VERSION:
        raise RecordingError(f"{path}: a recording of version {version!r}; this program reads version {VERSION}")
    kinds = get_type_hints(SessionHeader)
    if not {"date", "address"} <= fields.keys() <= kinds.keys():
        raise RecordingError(
            f"{path}: its header has missing or unknown fields; it has: {', '.join(map(repr, fields))}"
        )
    for name, value in fields.items():
        if not isinstance(value, dict if name == "settings" else kinds[name]):
            raise RecordingError(f"{path}: in its header, {name} is {value!r}")
    return SessionHeader(**fields)


def _record(line: bytes, path: Path) -> Record:
    try:
        time, kind, text = json.loads(line)
        record = Record(float(time), kind, text.encode("latin-1"))
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        raise RecordingError(f"{path}: {line[:60]!r} is not a record") from None
    if record.kind not in _KINDS or not math.isfinite(record.time):
        raise RecordingError(f"{path}: {line[:60]!r} is not a record of this version")
    return record
