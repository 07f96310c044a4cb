"""Heatshrink: LZSS for small devices, as binary G-code uses it (https://github.com/atomicobject/heatshrink).

Bits, the highest of each byte first: 1 and eight bits are a byte as it is; 0, `window` bits and `lookahead` bits are a
piece of what came before: how far back, and how long, each less one. Before the beginning there are zeros.
"""

from gcode.errors import CommandError


def decompress(data: bytes, window: int, lookahead: int, size: int) -> bytes:
    """Return exactly `size` bytes.

    Args:
        data: compressed.
        window: bits that say how far back.
        lookahead: bits that say how long.
        size: of the result, as it was told.

    Raises:
        CommandError: there is less in it, or more than the bits that fill its last byte.
    """
    out = bytearray(1 << window)  # the zeros before the beginning
    wanted = len(out) + size
    bits, count, at = 0, 0, 0  # bits that are not used yet, how many, the next byte
    back, piece = 1 + window + lookahead, (1 << lookahead) - 1
    while len(out) < wanted:
        while count <= back and at < len(data):  # four bytes at once: fewer turns
            more = data[at : at + 4]
            bits = bits << 8 * len(more) | int.from_bytes(more, "big")
            count += 8 * len(more)
            at += 4
        if count and bits >> (count - 1):  # a byte as it is; the bits above are taken away below
            if count < 9:  # noqa: PLR2004 - a tag and a byte
                raise CommandError("compressed data (heatshrink) is cut off")
            count -= 9
            out.append(bits >> count & 0xFF)
        else:
            if count < back:
                raise CommandError("compressed data (heatshrink) is cut off")
            count -= back
            found = bits >> count
            length = (found & piece) + 1
            start = len(out) - (found >> lookahead) - 1
            _repeat(out, start, length)
        bits &= (1 << count) - 1
    if len(out) != wanted or len(data) - at > 0 or count >= 2 * 8:
        raise CommandError("compressed data (heatshrink) is longer than its header says")
    return bytes(out[1 << window :])


def _repeat(out: bytearray, start: int, length: int) -> None:
    """Copy a piece to the end, which may reach into itself."""
    distance = len(out) - start
    if distance >= length:
        out += out[start : start + length]
    else:
        piece = out[start:]
        out += (piece * (length // distance + 1))[:length]
