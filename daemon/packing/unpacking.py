"""Unpacks G-code: binary G-code, gzip, 3MF and UTF-16, recognised by content.

Everything is read and written in pieces, and the output is limited: a file of a kilobyte may unpack to a terabyte.
"""

import base64
import codecs
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from daemon.errors import FileError, NotPrintable, StorageFull
from daemon.packing.kinds import SNIFF, check_content, packed_kind, utf16_codec
from gcode.bgcode import BgcodeDecoder
from gcode.errors import CommandError

MAX_NAMES = 10_000  # of the files in a 3MF that are searched for plates

_PIECE = 256 * 1024
# Other errors of zipfile: an unknown version or method, a password, senseless sizes.
_ZIPFILE_TROUBLE = (NotImplementedError, RuntimeError, EOFError, ValueError, OverflowError, struct.error)
_PLATE = re.compile(r"Metadata/plate_(\d{1,4})\.gcode", re.IGNORECASE)
_MAX_NESTED = 2  # a .bgcode.gz
_MAX_PICTURE = 1024 * 1024  # bytes of a plate's picture
_ROW = 78


def unpack(source: Path, target: Path, limit: int, plate: int | None = None) -> None:
    """Write the text in a packed file.

    Args:
        source: the packed file.
        target: the text; it is created or overwritten.
        limit: its maximum size in bytes.
        plate: the plate of a 3MF; None: the only one.

    Raises:
        NotPrintable: the file is damaged, cut off, or contains no G-code.
        StorageFull: the text is larger than `limit`.
        FileError: a file cannot be read or written.
    """
    try:
        with source.open("rb") as packed, target.open("wb") as text:
            size, beginning = 0, b""
            for piece in _pieces(packed, plate):
                size += len(piece)
                if size > limit:
                    raise StorageFull(f"the unpacked file is larger than the limit of {limit} bytes")
                beginning += piece[: SNIFF - len(beginning)] if len(beginning) < SNIFF else b""
                text.write(piece)
            check_content("its content", beginning)
    except OSError as error:
        raise FileError(f"the file cannot be unpacked: {error.strerror or error}") from error
    except CommandError as error:
        raise NotPrintable(str(error)) from error
    except (zlib.error, zipfile.BadZipFile, *_ZIPFILE_TROUBLE) as error:
        raise NotPrintable(f"the file is damaged and cannot be unpacked: {error}") from error


def _pieces(packed: BinaryIO, plate: int | None) -> Iterator[bytes]:
    beginning = packed.read(SNIFF)
    packed.seek(0)
    if packed_kind(beginning) == "3MF":
        yield from _plate(packed, plate)
        return
    if plate is not None:
        raise NotPrintable("only a 3MF has plates")
    stage = Sniffer()
    while piece := packed.read(_PIECE):
        yield from stage.feed(piece)
    yield from stage.finish()


class Stage(Protocol):
    """A stage of unpacking: bytes in, bytes out."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take the next bytes; yield what they unpack to."""

    def finish(self) -> Iterator[bytes]:
        """Yield the rest: the input has ended."""


class Sniffer:
    """Recognises the input by its beginning, and passes it to the stage that unpacks it."""

    def __init__(self, depth: int = 0) -> None:
        self._depth = depth
        self._beginning = b""
        self._stage: Stage | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take the next bytes; yield what they unpack to."""
        if self._stage is None:
            self._beginning += data
            if len(self._beginning) < SNIFF:
                return
            data = self._choose()
        if self._stage is not None:
            yield from self._stage.feed(data)

    def finish(self) -> Iterator[bytes]:
        """Yield the rest: the input has ended."""
        if self._stage is None:
            data = self._choose()
            yield from self.feed(data)
        if self._stage is not None:
            yield from self._stage.finish()

    def _choose(self) -> bytes:
        data, self._beginning = self._beginning, b""
        inner_kind = packed_kind(data)
        if self._depth >= _MAX_NESTED and inner_kind is not None:
            raise NotPrintable("the file is packed in too many layers")
        if inner_kind == "binary G-code":
            self._stage = BgcodeDecoder()
        elif inner_kind == "gzip":
            self._stage = _Gunzip(self._depth)
        elif inner_kind == "UTF-16":
            self._stage = _Utf16(utf16_codec(data) or "utf-16")
        elif inner_kind is not None:
            raise NotPrintable(f"a {inner_kind} inside a packed file is not supported: unpack it first")
        else:
            self._stage = _PlainText()
        return data


class _PlainText:
    def feed(self, data: bytes) -> Iterator[bytes]:
        if b"\0" in data:
            raise NotPrintable("the content of the file is not text")
        yield data

    def finish(self) -> Iterator[bytes]:
        return iter(())


class _Gunzip:
    """One or more members of gzip, one after the other."""

    def __init__(self, depth: int) -> None:
        self._inflate = zlib.decompressobj(wbits=31)
        self._inside = Sniffer(depth + 1)

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._inflate.eof:
                if not data.strip(b"\0"):
                    return  # tapes and some programs pad with zeros
                self._inflate = zlib.decompressobj(wbits=31)
            yield from self._inside.feed(self._inflate.decompress(data, _PIECE))
            data = self._inflate.unconsumed_tail or self._inflate.unused_data

    def finish(self) -> Iterator[bytes]:
        while not self._inflate.eof and (piece := self._inflate.decompress(b"", _PIECE)):
            yield from self._inside.feed(piece)
        if not self._inflate.eof:
            raise NotPrintable("the file is cut off: the end of its gzip is missing")
        yield from self._inside.finish()


class _Utf16:
    def __init__(self, encoding: str) -> None:
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._first = True

    def feed(self, data: bytes) -> Iterator[bytes]:
        yield self._decode(data, final=False)

    def finish(self) -> Iterator[bytes]:
        yield self._decode(b"", final=True)

    def _decode(self, data: bytes, *, final: bool) -> bytes:
        try:
            text = self._decoder.decode(data, final)
            if self._first and text:
                self._first, text = False, text.removeprefix("\ufeff")
            if "\0" in text:
                raise NotPrintable("the file is UTF-32, or damaged: save it as UTF-8")
            return text.encode()
        except UnicodeError:
            raise NotPrintable("the file is UTF-16, and damaged: save it as UTF-8") from None


def _plate(packed: BinaryIO, plate: int | None) -> Iterator[bytes]:
    """Yield the G-code of a plate of a 3MF, with its thumbnail."""
    with zipfile.ZipFile(packed) as archive:
        names = archive.namelist()[:MAX_NAMES]
        plates = {int(match[1]): name for name in names if (match := _PLATE.fullmatch(name))}
        if not plates:
            raise NotPrintable(
                "the 3MF contains no G-code: it is a project. Slice it, and export the sliced plate or plain G-code"
            )
        listed = ", ".join(map(str, sorted(plates)[:20]))
        if plate is None and len(plates) > 1:
            raise NotPrintable(f"the 3MF contains the plates {listed}: choose one (--plate N, or the field plate)")
        number = next(iter(plates)) if plate is None else plate
        if number not in plates:
            raise NotPrintable(f"the 3MF contains no plate {number}, only {listed}")
        yield from _member(archive, plates[number], number)


def _member(archive: zipfile.ZipFile, name: str, number: int) -> Iterator[bytes]:
    yield _picture(archive, f"Metadata/plate_{number}.png")
    inside = Sniffer(1)
    with archive.open(name) as member:
        while piece := member.read(_PIECE):
            yield from inside.feed(piece)
        yield from inside.finish()


def _picture(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return the thumbnail of a plate as a comment; nothing if there is none."""
    try:
        about = archive.getinfo(name)
        data = archive.read(about) if about.file_size <= _MAX_PICTURE else b""
    except (KeyError, OSError, zipfile.BadZipFile, zlib.error, *_ZIPFILE_TROUBLE):
        return b""
    if not data.startswith(b"\x89PNG\r\n\x1a\n") or len(data) < 24:  # noqa: PLR2004 - up to its height
        return b""
    width, height = struct.unpack(">II", data[16:24])
    text = base64.b64encode(data)
    rows = b"".join(b"; " + text[at : at + _ROW] + b"\n" for at in range(0, len(text), _ROW))
    return b"; thumbnail begin %dx%d %d\n" % (width, height, len(text)) + rows + b"; thumbnail end\n"
