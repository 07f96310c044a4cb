"""What G-code may be packed as, by a file's first bytes and by its name. What unpacks it is `unpacking`."""

import codecs
from pathlib import PurePosixPath

from daemon.errors import NotPrintable

EXTENSIONS = (".bgcode", ".bgc", ".gz", ".3mf")
SNIFF = 1024  # bytes at a file's beginning that tell what it holds

_BINARY, _GZIP, _ZIP = b"GCDE", b"\x1f\x8b", b"PK\x03\x04"
_BOMS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_ENOUGH = 16  # characters of a text without a mark that tell how it is written


def kind(beginning: bytes) -> str | None:
    """Return what a file is packed as, by its first bytes; None: it is a text, or nothing that is known."""
    if beginning.startswith(_BINARY):
        return "binary G-code"
    if beginning.startswith(_GZIP):
        return "gzip"
    if beginning.startswith(_ZIP):
        return "3MF"
    return "UTF-16" if utf16(beginning) else None


def utf16(beginning: bytes) -> str | None:
    """Return which kind of UTF-16 a text is: by its mark, which UTF-32 may share, or as every second byte is zero."""
    if (known := _BOMS.get(beginning[:2])) is not None:
        return known
    head = beginning[: len(beginning) // 2 * 2][: 2 * _ENOUGH]
    if len(head) < 2 * _ENOUGH:
        return None
    high, low = head[::2], head[1::2]
    if not any(low) and 0 not in high:
        return "utf-16-le"
    return "utf-16-be" if not any(high) and 0 not in low else None


def plain_name(name: str) -> str:
    """Return the name of what a packed file holds: `cube.bgcode`, `cube.gcode.gz` → `cube.gcode`."""
    path = PurePosixPath(name)
    if path.suffix.lower() not in EXTENSIONS or not path.stem:
        return name
    stem = name[: -len(path.suffix)]
    if path.suffix.lower() in (".gz", ".3mf") and PurePosixPath(stem).suffix.lower() in (".gcode", ".gco", ".g"):
        return stem
    return plain_name(stem) if PurePosixPath(stem).suffix.lower() in EXTENSIONS else f"{stem}.gcode"


def check_content(name: str, beginning: bytes) -> None:
    """Look at the first bytes of a file, whatever its name is.

    Raises:
        NotPrintable: it is no text, or a text of another kind.
    """
    if b"\0" in beginning or beginning.startswith((b"PK\x03\x04", b"%PDF", b"\x89PNG", b"\xff\xd8\xff", b"\x1f\x8b")):
        raise NotPrintable(f"{name} is not G-code: it is not text")
    if beginning.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"<", b"{") or beginning.startswith(b"#!"):
        raise NotPrintable(f"{name} is not G-code: it begins like a web page, a script or data")
