"""The analysis reads a block by arithmetic, and a print reads line by line: both agree on every command."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gcode.analysis.blocks import BLOCK, Blocks, LineBlock
from gcode.analysis.words import COLUMNS, _read, read_lines
from gcode.command import parse
from gcode.reader import MAX_LINE, clean
from support.reading import read_whole

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
        b"n12",
        b"G01 ",
        b"g00",
        b"G001 X1",
        b"G 1 ",
        b"  ",
        b"x 2",
        b"(c)",
        b"( a ; b",
        b"*33",
        b" * 33\n",
        b"M117 hi",
        b"M104 S200",
        b"\xef\xbb\xbf",
    ]
)
LINES = st.lists(_PARTS, max_size=40).map(b"".join)


def blocks(data: bytes, cuts: tuple[int, ...] = ()) -> list[LineBlock]:
    source, read_lines, at = Blocks(), [], 0
    for end in (*sorted(cuts), len(data)):
        read_lines += source.feed(data[at:end])
        at = max(at, end)
    return [*read_lines, *source.finish()]


def read_all(data: bytes, *, unusual: bool = False) -> list[tuple[int, object]]:
    """Return each command by its offset: (code, words) of a plain move, the clean line of any other."""
    lines = []
    for block in blocks(data):
        words = _read(block.text, unusual=True) if unusual else read_lines(block)
        offsets = (words.starts + block.offset).tolist()
        for row, line in enumerate(words.moves.tolist()):
            row_words = zip(COLUMNS, words.columns[:, row].tolist(), strict=True)
            values = {letter: value for letter, value in row_words if not math.isnan(value)}
            lines.append((offsets[line] + (block.dropped if line else 0), (f"G{words.code[row]}", values)))
        for line in words.others:
            raw = clean(block.text[words.starts[line] : words.starts[line + 1] - 1])
            if raw:
                lines.append((offsets[line] + (block.dropped if line else 0), raw))
    return sorted(lines, key=lambda each: each[0])


def assert_agree(data: bytes) -> None:
    for unusual in (False, True):
        _assert_agree(data, unusual=unusual)


def _assert_agree(data: bytes, *, unusual: bool) -> None:
    ours, theirs = read_all(data, unusual=unusual), read_whole(data)
    assert [offset for offset, _ in ours] == [offset for offset, _ in theirs]
    for (_, mine), (_, line) in zip(ours, theirs, strict=True):
        if isinstance(mine, bytes):
            assert mine == line
        else:
            command = parse(line)
            assert command.code == mine[0]
            assert command.text[:1] in ("", "(", "*"), "what follows these means nothing"
            assert mine[1] == {letter: value for letter, value in command.params.items() if letter in COLUMNS}


@pytest.mark.parametrize("before", [0, 1])
def test_a_crlf_across_two_blocks_ends_one_line(before):
    data = b";" * (BLOCK - 2 + before) + b"\r\nG1 X1\r\n"
    assert b"".join(block.text for block in blocks(data)).count(b"\n") == 3, "and finish() ends the last one"


@given(LINES)
@example(b"G1 X1 X2 E.5 ; X9\nG1X-1.5Y+2\n")
@example(b"\xef\xbb\xbfG1 X1\nG1 X2")
@example(b"G1 X1\rG1 X2\r\nG1 X3\n\r\n")
@example(b"G1 X1.2.3\nG1 X1-2\nG1 X--1\nG1 X.\nG1 X 5\nG1 X\nG1 Q7\n")
@example(b"G1 X1 ;" + b"x" * (MAX_LINE + 5) + b"\nG1 X2\n")
@example(b"G1 X1 " + b" " * MAX_LINE + b"Y2\nG1 X2\n")
def test_columns_agree_with_reader_and_parser(data):
    assert_agree(data)


@given(st.lists(st.lists(_PARTS, max_size=6).map(b"".join), max_size=30).map(b"\n".join))
@example(b"N5 G1 X1*33\nN6 G1 X2\nN7*33\nN8 G1 X3*1*2\nN9\nN 10 G1 X4\nN1 2 G1 X5\nN12345678901 G1 X6\nn13g1x7 *71")
@example(b"g01  x1\t\ty2 (c)\n  G1 X1 2\nG1 X1 (a) Y2\nG1 X1 ;(\nG01.5 X1\nG010 X1\nG00\nG0\nG0 1 X2\nG 1X 3\n")
@example(b"N5 G1 X1 (a)*33\nN6 G1 X2*" + b"3" * 20 + b"\n(N7) G1 X3\nN8(c) G1 X4\n*\nN\n")
def test_columns_of_unusual_forms_agree_too(data):
    assert_agree(data)


@pytest.mark.parametrize("line", [b"g1 x1 (a) M104 S999", b"N1 G1 X1 *m104 s999*5", b"g1 x1 g10 p0", b"G01 X1 M104 S1"])
def test_a_line_with_a_further_command_is_no_plain_move(line):
    [block] = blocks(line + b"\n")
    assert len(_read(block.text, unusual=True).moves) == 0


FORMS = {
    "leading zero": lambda n: b"G01 X%d.5 Y2 E.1" % n,
    "lower case": lambda n: b"g1 x%d.5 y2 e.1" % n,
    "blanks": lambda n: b"G1  X%d.5  Y2  E.1  " % n,
    "tabs": lambda n: b"\tG1\t\tX%d.5\t\tY2\t\tE.1" % n,
    "parentheses": lambda n: b"G1 X%d.5 Y2 E.1 (outer wall)" % n,
    "numbers": lambda n: b"N%d G1 X%d.5 Y2 E.1*%d" % (n, n, n % 128),
    "comments": lambda n: b"G1 X%d.5 Y2 E.1 ; outer wall" % n,
    "all": lambda n: b"n%d  g01 x%d.5\ty2 e.1 (x) *%d ; y" % (n, n, n % 128),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_read_by_arithmetic(form):
    """Lines read one by one took ten times as long."""
    [block] = blocks(b"; head\nG28\n" + b"\n".join(FORMS[form](n) for n in range(2000)))
    words = read_lines(block)
    assert len(words.moves) == 2000
    assert words.columns[0].tolist() == [n + 0.5 for n in range(2000)]


@given(st.binary(max_size=200))
def test_columns_of_any_bytes_agree(data):
    assert_agree(data)


def test_a_line_longer_than_a_block_is_cut_as_by_the_reader():
    data = b"G1 X1\nG1 X2 ;" + b"z" * (3 * BLOCK) + b"\nG1 X3\nM117 " + b"y" * (BLOCK + 7)
    assert_agree(data)


def test_files_of_several_blocks_agree():
    assert_agree(b"".join(b"G1 X%d.%03d Y-.5 E%d.12345\n" % (n, n % 1000, n) for n in range(30_000)))


@given(LINES, st.lists(st.integers(0, 200), max_size=5))
def test_blocks_are_the_same_however_the_file_is_split(data, cuts):
    assert blocks(data, tuple(min(cut, len(data)) for cut in cuts)) == blocks(data)


@given(st.integers(-(10**14), 10**14), st.integers(0, 14))
def test_numbers_match_float(mantissa, decimals):
    digits = f"{abs(mantissa):0{decimals + 1}d}"
    text = f"{'-' if mantissa < 0 else ''}{digits[: len(digits) - decimals]}.{digits[len(digits) - decimals :]}"[:15]
    words = read_lines(LineBlock(f"G1 X{text}\n".encode(), 0))
    if len(words.moves):
        assert words.columns[0, 0] == float(text)
        assert np.isnan(words.columns[1:, 0]).all()
    else:
        assert not any(character.isdigit() for character in text)
