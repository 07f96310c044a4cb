"""Recognises packed G-code by a file's first bytes and its name. `unpacking` unpacks it."""

import codecs
from pathlib import PurePosixPath

from daemon.errors import NotPrintable

EXTENSIONS = (".bgcode", ".bgc", ".gz", ".3mf")
SNIFF = 1024  # bytes at the beginning of a file that identify its kind

_BINARY, _GZIP, _ZIP = b"GCDE", b"\x1f\x8b", b"PK\x03\x04"
_BOMS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_ENOUGH = 16  # characters that identify UTF-16 without a byte order mark

# Control characters that text has, as `file` (libmagic) sees it, and the end mark of CP/M and DOS
_TEXT_CONTROLS = b"\a\b\t\n\v\f\r\x1a\x1b"
_NO_TEXT = frozenset(range(0x20)) - frozenset(_TEXT_CONTROLS)


def packed_kind(beginning: bytes) -> str | None:
    """Return the kind of a packed file by its first bytes; None: it is text, or unknown."""
    if beginning.startswith(_BINARY):
        return "binary G-code"
    if beginning.startswith(_GZIP):
        return "gzip"
    if beginning.startswith(_ZIP):
        return "3MF"
    return "UTF-16" if utf16_codec(beginning) else None


def utf16_codec(beginning: bytes) -> str | None:
    """Return the codec of UTF-16 text; None: it is something else.

    It is recognised by its byte order mark, which UTF-32 may share, or by zeros in every second byte.
    """
    if (codec := _BOMS.get(beginning[:2])) is not None:
        return codec
    head = beginning[: len(beginning) // 2 * 2][: 2 * _ENOUGH]
    if len(head) < 2 * _ENOUGH:
        return None
    high, low = head[::2], head[1::2]
    if not any(low) and 0 not in high:
        return "utf-16-le"
    return "utf-16-be" if not any(high) and 0 not in low else None


def plain_name(name: str) -> str:
    """Return the name of a packed file's contents: `cube.bgcode`, `cube.gcode.gz` → `cube.gcode`."""
    path = PurePosixPath(name)
    if path.suffix.lower() not in EXTENSIONS or not path.stem:
        return name
    stem = name[: -len(path.suffix)]
    if path.suffix.lower() in (".gz", ".3mf") and PurePosixPath(stem).suffix.lower() in (".gcode", ".gco", ".g"):
        return stem
    return plain_name(stem) if PurePosixPath(stem).suffix.lower() in EXTENSIONS else f"{stem}.gcode"


def check_content(name: str, beginning: bytes) -> None:
    """Check the first bytes of a file; its name does not matter.

    Raises:
        NotPrintable: it is not text, or another kind of text.
    """
    if beginning.startswith((b"%PDF", b"\x89PNG", b"\xff\xd8\xff", b"\x1f\x8b")) or not _NO_TEXT.isdisjoint(beginning):
        raise NotPrintable(f"{name} is not G-code: it is not text")
    if beginning.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"<", b"{") or beginning.startswith(b"#!"):
        raise NotPrintable(f"{name} is not G-code: it begins like a web page, a script or data")
