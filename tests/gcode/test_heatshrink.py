import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gcode.errors import CommandError
from gcode.heatshrink import decompress
from support.bgcode import heatshrink

WINDOWS = [(11, 4), (12, 4)]


@given(st.lists(st.sampled_from([b"G1 X10", b"G1 X1", b"\n", b"aaaaaaaaaaaaaaaaaaaaa", b"\0", b"z"]), max_size=60))
@example([])
@example([b"aaaaaaaaaaaaaaaaaaaaa"] * 60)
def test_compressed_bytes_are_decompressed_unchanged(parts):
    data = b"".join(parts)
    for window, lookahead in WINDOWS:
        assert decompress(heatshrink(data, window, lookahead), window, lookahead, len(data)) == data


def test_known_vectors_are_decompressed():
    """The bits of a literal byte, of a copy of earlier output, and of a copy of the zeros before the output."""
    assert decompress(bytes([0b10110001, 0b00000000]), 11, 4, 1) == b"b"
    bits = "1" + "01100001" + "0" + f"{0:011b}" + f"{4:04b}"
    data = int(bits.ljust(32, "0"), 2).to_bytes(4, "big")
    assert decompress(data, 11, 4, 6) == b"aaaaaa"
    bits = "0" + f"{2047:011b}" + f"{3:04b}"
    assert decompress(int(bits, 2).to_bytes(2, "big"), 11, 4, 4) == bytes(4)


@given(st.binary(max_size=60), st.integers(0, 300), st.sampled_from(WINDOWS))
def test_any_bytes_give_the_requested_size_or_an_error(data, size, window):
    with contextlib.suppress(CommandError):
        assert len(decompress(data, *window, size)) == size


def test_damage_is_an_error():
    data = heatshrink(b"G1 X10 Y10\n" * 50, 12, 4)
    for short in (0, 1, len(data) // 2, len(data) - 1):
        with pytest.raises(CommandError, match="cut off"):
            decompress(data[:short], 12, 4, 550)
    with pytest.raises(CommandError, match="longer"):
        decompress(data + b"123", 12, 4, 550)
    with pytest.raises(CommandError, match="longer"):
        decompress(data, 12, 4, 300)
