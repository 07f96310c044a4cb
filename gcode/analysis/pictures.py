"""Extracts pictures from comments: base64 between `begin` and `end`, base64 in one line, or pixels in hexadecimal."""

import base64
import binascii
import re
from dataclasses import field

from gcode.analysis.pixels import Image, read_image
from gcode.analysis.result import Thumbnail
from gcode.frozen import mutable

MAX_THUMBNAILS = 16
MAX_PICTURE = 1024 * 1024  # characters, base64 or hexadecimal

# PrusaSlicer and its kin: `thumbnail_QOI begin 32x32 60`; Creality: `png begin 300*300 30380 7 253 1000`
_BEGIN = re.compile(
    r"(?:thumbnail(?:_(\w{1,20}))?|(png|jpg|jpeg)) begin\s+(\d{1,5})\s?[x* ]\s?(\d{1,5})\b", re.IGNORECASE
)
_END = re.compile(r"(?:thumbnail(?:_\w{1,20})?|png|jpg|jpeg) end\b", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}$")
_SYNONYMS = {"jpeg": "jpg"}
_FORMATS = ("png", "jpg", "qoi")
_URI = "data:image/"  # Snapmaker: `thumbnail: data:image/png;base64,…`
_MKS = (b"simage:", b"gimage:")  # in front of the first line of pixels; `M10086 ;` is in front of the others
_MKS_ROW = re.compile(rb"M10086 ?;", re.IGNORECASE)
_PNG = b"\x89PNG\r\n\x1a\n"


@mutable
class Pictures:
    """Takes comments line by line, and collects complete pictures.

    A picture without an end ends before the first line that cannot be part of it.
    """

    thumbnails: list[Thumbnail] = field(default_factory=list)
    _open: "_Picture | None" = None
    _rows: "_Rows | None" = None

    @property
    def is_open(self) -> bool:
        """A picture has begun and not ended."""
        return self._open is not None

    @staticmethod
    def is_long(raw: bytes) -> bool:
        """Tell whether a comment has a whole picture or a row of one, and so must not be cut."""
        head = raw[:40].lstrip(b"; \t").lower()
        return head.startswith((*_MKS, b"thumbnail: data:image/", b"thumbnail:data:image/"))

    def take(self, text: str, line: int) -> bool:
        """Take a comment that may belong to a picture; tell whether it does."""
        if self._open is not None and self._take_next(self._open, text, line):
            return True
        if match := _BEGIN.match(text):
            kind = (match[1] or match[2] or "png").lower()
            self._open = _Picture(_SYNONYMS.get(kind, kind), int(match[3]), int(match[4]), line)
            return True
        return False

    def take_long(self, raw: bytes, line: int) -> None:
        """Take a comment for which `is_long` is true."""
        text = raw.lstrip(b"; \t")
        if text[:7].lower() in _MKS:
            self._close_rows()
            self._rows = _Rows(line)
            self._rows.add(text[7:], line)
            return
        _, _, uri = text.decode("ascii", "replace").partition(":")
        if len(uri) > MAX_PICTURE:
            return
        kind, _, data = uri.strip().removeprefix(_URI).partition(";base64,")
        self._add(_SYNONYMS.get(kind.lower(), kind.lower()), 0, 0, _decode(data))

    def take_row(self, raw: bytes, line: int) -> bool:
        """Take a command that may be a row of pixels (`M10086 ;…`); tell whether it is."""
        match = _MKS_ROW.match(raw)
        if not match or self._rows is None:
            return False
        if not self._rows.add(raw[match.end() :], line):
            self._close_rows()
        return True

    def finish(self) -> None:
        """End the file."""
        self._close()
        self._close_rows()

    def _take_next(self, picture: "_Picture", text: str, line: int) -> bool:
        if _END.match(text):
            self._close()
            return True
        if line == picture.line + 1 and _BASE64.match(text):
            picture.add(text, line)
            return True
        self._close()
        return False

    def _close(self) -> None:
        picture, self._open = self._open, None
        if picture is not None:
            self._add(picture.format, picture.width, picture.height, picture.data())

    def _close_rows(self) -> None:
        rows, self._rows = self._rows, None
        if rows is not None and (image := rows.image()):
            self._add("png", image.width, image.height, image.png())

    def _add(self, kind: str, width: int, height: int, data: bytes) -> None:
        if kind not in _FORMATS or not data or len(self.thumbnails) >= MAX_THUMBNAILS:
            return
        if not width:
            width, height = png_size(data)
        self.thumbnails.append(Thumbnail(kind, width, height, data))


@mutable
class _Picture:
    """A picture that is not complete yet; `line` is the number of its last line so far."""

    format: str
    width: int
    height: int
    line: int
    _lines: list[str] = field(default_factory=list)
    _size: int = 0

    def add(self, text: str, line: int) -> None:
        self.line = line
        self._size += len(text)
        if self._size <= MAX_PICTURE:
            self._lines.append(text)

    def data(self) -> bytes:
        """Return the picture; empty if it is too large, or not base64."""
        return _decode("".join(self._lines)) if self._size <= MAX_PICTURE else b""


@mutable
class _Rows:
    """Lines of pixels for printers with an MKS or a Nextion display; see `pixels`."""

    line: int
    _lines: list[bytes] = field(default_factory=list)
    _size: int = 0

    def add(self, text: bytes, line: int) -> bool:
        """Add a line; return False if it ends the picture: it is empty, or not the next line."""
        text = text.strip()
        if not text or line > self.line + 1:
            return False
        self.line = line
        self._size += len(text)
        if self._size <= MAX_PICTURE:
            self._lines.append(text)
        return True

    def image(self) -> Image | None:
        """Return the picture; None: it is too large or damaged."""
        return read_image(self._lines) if self._size <= MAX_PICTURE else None


def png_size(data: bytes) -> tuple[int, int]:
    """Return width and height from the header of a PNG; 0 and 0 for any other data."""
    if not data.startswith(_PNG) or data[12:16] != b"IHDR":
        return 0, 0
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
