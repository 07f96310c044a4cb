"""Heatshrink: LZSS for small devices, as binary G-code uses it (https://github.com/atomicobject/heatshrink).

The bits of each byte count from the highest. A 1 and eight bits are a literal byte. A 0, `window` bits and `lookahead`
bits are a copy of earlier output: its distance minus one, and its length minus one. Zeros precede the output.
"""

from gcode.errors import CommandError


def decompress(data: bytes, window: int, lookahead: int, size: int) -> bytes:
    """Return exactly `size` bytes.

    Args:
        data: compressed bytes.
        window: bits of a distance.
        lookahead: bits of a length.
        size: of the result, from the file's header.

    Raises:
        CommandError: the data give fewer bytes, or are more than a byte too long.
    """
    out = bytearray(1 << window)  # the zeros before the output
    end = len(out) + size
    bits, count, at = 0, 0, 0  # unused bits, their number, index of the next byte
    reference_size, length_mask = 1 + window + lookahead, (1 << lookahead) - 1
    while len(out) < end:
        while count <= reference_size and at < len(data):  # four bytes at once, for fewer turns
            more = data[at : at + 4]
            bits = bits << 8 * len(more) | int.from_bytes(more, "big")
            count += 8 * len(more)
            at += 4
        if count and bits >> (count - 1):  # a literal byte; used bits are cleared below
            if count < 9:  # noqa: PLR2004 - a tag and a byte
                raise CommandError("compressed data (heatshrink) is cut off")
            count -= 9
            out.append(bits >> count & 0xFF)
        else:
            if count < reference_size:
                raise CommandError("compressed data (heatshrink) is cut off")
            count -= reference_size
            reference = bits >> count
            length = (reference & length_mask) + 1
            start = len(out) - (reference >> lookahead) - 1
            _repeat(out, start, length)
        bits &= (1 << count) - 1
    if len(out) != end or len(data) - at > 0 or count >= 2 * 8:
        raise CommandError("compressed data (heatshrink) is longer than its header says")
    return bytes(out[1 << window :])


def _repeat(out: bytearray, start: int, length: int) -> None:
    """Append a copy of earlier output, which may overlap itself."""
    distance = len(out) - start
    if distance >= length:
        out += out[start : start + length]
    else:
        piece = out[start:]
        out += (piece * (length // distance + 1))[:length]
