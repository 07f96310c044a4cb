"""Converts pictures for the displays of printers, with 16 bits per pixel (5 red, 6 green, 5 blue), into PNG.

The pictures have one of two forms. MKS: rows of pixels in hexadecimal, the low byte first. ColPic (Elegoo, QIDI and
others with a Nextion display): 32 bytes of header, a palette and runs of its colours, all in characters of six bits.
"""

import base64
import binascii
import struct
import zlib
from collections.abc import Sequence

from gcode.frozen import frozen

MAX_PIXELS = 1024 * 1024

# ColPic: version, width, height, mark, bytes of the palette, bytes of the runs, and two unused numbers
_HEADER = struct.Struct("<8I")
_VERSION, _MARK = 3, 0x05DDC33C
_SIX_BITS = bytes(range(48, 112)).replace(b"\\", b"~")
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_TO_BASE64 = bytes.maketrans(_SIX_BITS, _BASE64)
_NEXT_32 = 7  # in place of a length: selects 32 other colours of the palette

_RED = bytes(byte & 0xF8 for byte in range(256))
_BLUE = bytes((byte & 0x1F) << 3 for byte in range(256))


@frozen
class Image:
    """A picture with three bytes per pixel, row by row."""

    width: int
    height: int
    pixels: bytes

    def png(self) -> bytes:
        """Return the picture as PNG (https://www.w3.org/TR/png)."""

        def chunk(name: bytes, data: bytes) -> bytes:
            return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

        row = 3 * self.width
        rows = b"".join(b"\0" + self.pixels[at : at + row] for at in range(0, row * self.height, row))
        head = struct.pack(">II5B", self.width, self.height, 8, 2, 0, 0, 0)
        body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
        return b"\x89PNG\r\n\x1a\n" + body


def read_image(lines: Sequence[bytes]) -> Image | None:
    """Return the picture in these lines, in either form; None: there is none."""
    return _read_rows(lines) or _read_colpic(b"".join(lines))


def _read_rows(lines: Sequence[bytes]) -> Image | None:
    try:
        rows = [binascii.unhexlify(line) for line in lines]
    except ValueError:
        return None
    width = len(rows[0]) // 2 if rows else 0
    if not 0 < width * len(rows) <= MAX_PIXELS or any(len(row) != 2 * width for row in rows):
        return None
    return Image(width, len(rows), _three_bytes(b"".join(rows)))


def _three_bytes(pixels: bytes) -> bytes:
    """Return pixels of two bytes, the low byte first, as red, green and blue."""
    low, high = pixels[::2], pixels[1::2]
    out = bytearray(3 * len(low))
    out[0::3] = high.translate(_RED)
    out[1::3] = bytes((upper & 7) << 5 | (lower & 0xE0) >> 3 for lower, upper in zip(low, high, strict=True))
    out[2::3] = low.translate(_BLUE)
    return bytes(out)


def _read_colpic(text: bytes) -> Image | None:
    try:
        data = base64.b64decode(text.translate(_TO_BASE64)[: len(text) // 4 * 4], validate=True)
        version, width, height, mark, palette, runs, _, _ = _HEADER.unpack_from(data)
    except (ValueError, struct.error):
        return None
    if version & 0xFF != _VERSION or mark != _MARK or not 0 < width * height <= MAX_PIXELS or width > MAX_PIXELS:
        return None
    begin = _HEADER.size + palette
    colours = data[_HEADER.size : begin]
    pixels = _expand_runs(data[begin : begin + runs], [colours[at : at + 2] for at in range(0, len(colours) - 1, 2)])
    return Image(width, height, _three_bytes(pixels)) if len(pixels) == 2 * width * height else None


def _expand_runs(runs: bytes, colours: Sequence[bytes]) -> bytes:
    """Return the pixels of runs: a byte is a length and one of 32 colours; length 0: the next byte is the length."""
    out = bytearray()
    group = at = 0
    while at < len(runs) and len(out) <= 2 * MAX_PIXELS:
        length, colour = runs[at] >> 5, runs[at] & 31
        at += 1
        if length == _NEXT_32:
            group = 32 * colour
            continue
        if length == 0:
            length = runs[at] if at < len(runs) else 0
            at += 1
        if group + colour >= len(colours):
            return b""
        out += colours[group + colour] * length
    return bytes(out)
