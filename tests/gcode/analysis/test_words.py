"""The analysis reads a block by arithmetic, a print reads it line by line: they agree on every command."""

import math

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from gcode.analysis.blocks import BLOCK, Block, Blocks
from gcode.analysis.words import COLUMNS, read
from gcode.command import parse
from gcode.reader import MAX_LINE, Reader, clean

_PARTS = st.sampled_from(
    [
        b"G1 ",
        b"G0",
        b"g1 ",
        b"G1",
        b"G2 ",
        b"G28",
        b"G1.5 ",
        b"X",
        b"Y",
        b"Z",
        b"E",
        b"F",
        b"I",
        b" X1",
        b" E-.5",
        b"X1.25",
        b" ",
        b"\t",
        b";",
        b"\\;",
        b"\n",
        b"\r\n",
        b"\r",
        b".",
        b"-",
        b"+",
        b"12345678",
        b"123456789012345",
        b"1234567890123456",
        b"-1234567.89012",
        b"0",
        b"00.10",
        b"\x00",
        b"\xff",
        b"*",
        b"N5 ",
        b"M117 hi",
        b"M104 S200",
        b"\xef\xbb\xbf",
    ]
)
LINES = st.lists(_PARTS, max_size=40).map(b"".join)


def blocks(data: bytes, cuts: tuple[int, ...] = ()) -> list[Block]:
    source, found, at = Blocks(), [], 0
    for end in (*sorted(cuts), len(data)):
        found += source.feed(data[at:end])
        at = max(at, end)
    return [*found, *source.finish()]


def read_all(data: bytes) -> list[tuple[int, object]]:
    """Each command by its offset: (code, words) of a plain move, the clean line of any other."""
    found = []
    for block in blocks(data):
        words = read(block)
        offsets = (words.starts + block.offset).tolist()
        for row, line in enumerate(words.moves.tolist()):
            row_words = zip(COLUMNS, words.columns[:, row].tolist(), strict=True)
            values = {letter: value for letter, value in row_words if not math.isnan(value)}
            found.append((offsets[line] + (block.dropped if line else 0), (f"G{words.code[row]}", values)))
        for line in words.others:
            raw = clean(block.text[words.starts[line] : words.starts[line + 1] - 1])
            if raw:
                found.append((offsets[line] + (block.dropped if line else 0), raw))
    return sorted(found, key=lambda each: each[0])


def read_by_line(data: bytes) -> list[tuple[int, bytes]]:
    reader = Reader()
    reader.feed(data)
    found = list(reader)
    reader.finish()
    return found + list(reader)


def assert_agree(data: bytes) -> None:
    ours, theirs = read_all(data), read_by_line(data)
    assert [offset for offset, _ in ours] == [offset for offset, _ in theirs]
    for (_, mine), (_, line) in zip(ours, theirs, strict=True):
        if isinstance(mine, bytes):
            assert mine == line
        else:
            command = parse(line)
            assert (command.code, command.text) == (mine[0], "")
            assert mine[1] == {letter: value for letter, value in command.params.items() if letter in COLUMNS}


@given(LINES)
@example(b"G1 X1 X2 E.5 ; X9\nG1X-1.5Y+2\n")
@example(b"\xef\xbb\xbfG1 X1\nG1 X2")
@example(b"G1 X1\rG1 X2\r\nG1 X3\n\r\n")
@example(b"G1 X1.2.3\nG1 X1-2\nG1 X--1\nG1 X.\nG1 X 5\nG1 X\nG1 Q7\n")
@example(b"G1 X1 ;" + b"x" * (MAX_LINE + 5) + b"\nG1 X2\n")
@example(b"G1 X1 " + b" " * MAX_LINE + b"Y2\nG1 X2\n")
def test_agrees_with_reader_and_parser(data):
    assert_agree(data)


@given(st.binary(max_size=200))
def test_agrees_on_any_bytes(data):
    assert_agree(data)


def test_a_line_longer_than_a_block_is_cut_as_the_reader_cuts_it():
    data = b"G1 X1\nG1 X2 ;" + b"z" * (3 * BLOCK) + b"\nG1 X3\nM117 " + b"y" * (BLOCK + 7)
    assert_agree(data)


def test_files_of_several_blocks():
    assert_agree(b"".join(b"G1 X%d.%03d Y-.5 E%d.12345\n" % (n, n % 1000, n) for n in range(30_000)))


@given(LINES, st.lists(st.integers(0, 200), max_size=5))
def test_blocks_are_the_same_however_the_file_is_split(data, cuts):
    assert blocks(data, tuple(min(cut, len(data)) for cut in cuts)) == blocks(data)


@given(st.integers(-(10**14), 10**14), st.integers(0, 14))
def test_numbers_are_those_that_float_reads(mantissa, places):
    digits = f"{abs(mantissa):0{places + 1}d}"
    text = f"{'-' if mantissa < 0 else ''}{digits[: len(digits) - places]}.{digits[len(digits) - places :]}"[:15]
    found = read(Block(f"G1 X{text}\n".encode(), 0))
    if len(found.moves):
        assert found.columns[0, 0] == float(text)
        assert np.isnan(found.columns[1:, 0]).all()
    else:
        assert not any(character.isdigit() for character in text)
