import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcode.reader import MAX_LINE, Reader, clean


def read(data: bytes, cuts: list[int] | None = None) -> list[tuple[int, bytes]]:
    """Return all commands of a file whose blocks end at the cuts."""
    reader, lines, start = Reader(), [], 0
    for cut in [*sorted(cuts or []), len(data)]:
        reader.feed(data[start:cut])
        lines += reader
        start = cut
    reader.finish()
    return lines + list(reader)


def test_commands_have_their_offsets():
    data = b"; sliced\nG28\n\nG1 X1 ; to the side\n   \nM84"
    assert read(data) == [(9, b"G28"), (14, b"G1 X1"), (38, b"M84")]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_all_line_ends_are_read(end):
    data = end.join([b"G28", b"", b"G1 X1", b"M84"])
    assert [command for _, command in read(data)] == [b"G28", b"G1 X1", b"M84"]


@pytest.mark.parametrize(
    ("raw", "command"),
    [
        (b"G1 X1;Y2", b"G1 X1"),
        (rb"M117 50\;50 ; text", b"M117 50;50"),
        (b"N12 G1 X1*94", b"G1 X1"),
        (b"n3G28", b"G28"),
        (b"M117 N1 is no number", b"M117 N1 is no number"),
        (b"\tG1\tX1\t", b"G1\tX1"),
        (b"G1 X1\x00\x0c", b"G1 X1"),
        ("M117 40 °C".encode(), b"M117 40 ??C"),
        (b";only a comment", b""),
        (b"", b""),
    ],
)
def test_the_command_of_a_line_is_extracted(raw, command):
    assert clean(raw) == command


def test_a_byte_order_mark_is_dropped_at_the_start_only():
    assert read(b"\xef\xbb\xbfG28\n\xef\xbb\xbfG28\n") == [(0, b"G28"), (7, b"???G28")]


def test_an_endless_line_is_cut_and_costs_no_memory():
    reader = Reader()
    for _ in range(100):
        reader.feed(b"A" * 100_000)
        assert list(reader) == []
    reader.feed(b"\nG28\n")
    first, second = list(reader)
    assert first == (0, b"A" * MAX_LINE)
    assert second == (10_000_001, b"G28")


pieces = st.sampled_from(
    [b"\r", b"\n", b"\r\n", b"G1 X1", b"G92 E0", b";c", b"\\;", b"\x00", b"\xff", b"N7 ", b"*22", b" ", b"A" * 9000]
)
files = st.lists(pieces | st.binary(max_size=5), max_size=40).map(b"".join)


@given(data=files, seed=st.data())
def test_the_result_is_the_same_however_blocks_are_split(data, seed):
    cuts = seed.draw(st.lists(st.integers(0, len(data)), max_size=12))
    assert read(data, cuts) == read(data)


@given(files)
def test_any_bytes_give_clean_commands_at_their_offsets(data):
    for offset, command in read(data):
        assert command
        assert command == command.strip()
        assert re.fullmatch(rb"[\t\x20-\x7e]+", command)
        assert offset == 0 or data[offset - 1] in b"\r\n"
