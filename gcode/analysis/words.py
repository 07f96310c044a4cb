"""Reads the parameters of a block's moves as columns of numbers: `G1 X10 E.5` in some ten thousand lines at once.

Nearly all lines of a sliced file are plain moves: G0 to G3, then capital letters, each followed by a number. They are
read by arithmetic on all bytes of a block at once. If many lines have another form, `loose` finds their beginnings and
numbers. All other lines are left to `gcode.command`; the results are the same.
"""

import numpy as np

from gcode.analysis import loose
from gcode.analysis.arrays import Bools, Bytes, Floats, Ints
from gcode.analysis.blocks import LineBlock
from gcode.analysis.decimals import WORD, read_decimals
from gcode.frozen import frozen
from gcode.reader import MAX_LINE

COLUMNS = "XYZEFIJR"

_LF, _TAB, _SPACE, _SEMICOLON, _G, _M, _A, _Z = b"\n\t ;GMAZ"
_ZERO = ord("0")
_LAST_MOVE = 3  # G3
_UNUSUAL = (b"(", b"\nN", b"\nn", b"\ng", b"\nG00", b"\nG01", b"\nG02", b"\nG03", b"\nG1  ", b"\nG1\t\t")
_SAMPLE = 4096  # bytes at the start of a block that may show an unusual form; otherwise a trial shows it
_FEW = 50  # a trial is good enough if at most this many lines, or one in this many, are no moves
_PADDING = np.zeros(WORD, np.uint8)

# The kind of each byte: 0 in a number or blank, a letter, `;` or line feed as itself, 1 for odd bytes.
_ODD = 1
_KINDS = bytes(
    0 if byte in b"0123456789.+- \t" else byte if byte in (_LF, _SEMICOLON) or _A <= byte <= _Z else _ODD
    for byte in range(256)
)
# The row of each letter; the last row is for letters without a column.
_ROWS = np.array([COLUMNS.find(chr(byte)) % (len(COLUMNS) + 1) for byte in range(256)])


@frozen
class ParsedLines:
    """The lines of a block, with the parameters of its moves.

    Attributes:
        starts: index of each line's start in the block's text, and of the end of the last one.
        moves: indices of the lines that are plain moves, in order.
        code: the number of each move's G: 0 to 3.
        columns: a row for each letter of COLUMNS: the value of that parameter in each move, NaN if it is missing.
        others: indices of the other lines that are not empty.
    """

    starts: Ints
    moves: Ints
    code: Bytes
    columns: Floats
    others: list[int]


@frozen
class _Tokens:
    """Letters, semicolons, line feeds and odd bytes: the index, kind and line of each."""

    at: Ints
    kind: Bytes
    line: Ints


def read_lines(block: LineBlock) -> ParsedLines:
    """Return the lines of a block, with the parameters of its moves."""
    lines = block.text.count(b"\n")
    if sum(map(block.text[:_SAMPLE].count, _UNUSUAL)) > _SAMPLE // 100:  # no trial is needed
        return _read(block.text, unusual=True)
    result = _read(block.text)
    first = np.frombuffer(block.text, np.uint8)[result.starts[np.array(result.others, np.intp)]]
    if np.count_nonzero(first != _SEMICOLON) <= max(_FEW, lines // _FEW):
        return result
    return _read(block.text, unusual=True)


def _read(lines: bytes, *, unusual: bool = False) -> ParsedLines:
    padded = np.concatenate((_PADDING, np.frombuffer(lines, np.uint8), _PADDING))
    text = padded[WORD:]
    tokens, line_feeds = _tokens(lines, loose.KINDS if unusual else _KINDS)
    starts = np.concatenate(([0], tokens.at[line_feeds] + 1))
    heads = np.concatenate(([0], line_feeds[:-1] + 1))  # the first token of each line
    if unusual:
        plain, code, gs = loose.find_moves(text, starts[:-1], tokens.at, tokens.kind, heads, line_feeds)
        plain[tokens.line[loose.find_further_commands(text, tokens.at, tokens.kind, gs)]] = False
        plain[loose.find_moves_with_comments(lines, starts)] = False
    else:
        plain, code = _begins_as_move(text, starts[:-1], tokens.at[heads + (heads < line_feeds)])
        gs = heads
    plain &= np.diff(starts) <= MAX_LINE
    letters = _letters(tokens, plain, heads, gs)
    kinds = tokens.kind.take(letters)
    more = (kinds == _G) | (kinds == _M)  # another command in the line, to some firmwares
    if more.any():
        plain[tokens.line[letters[more]]] = False
    start, end = tokens.at.take(letters) + 1, tokens.at.take(letters + 1)  # at least a line feed follows
    start, length = loose.extent(text, start, end) if unusual else _extent(text, start, end)
    values, valid = read_decimals(padded, start + WORD, length)
    plain[tokens.line[letters[~valid]]] = False
    others = np.flatnonzero(~plain & (np.diff(starts) > 1))
    moves = np.flatnonzero(plain)
    columns = _columns(tokens, letters, values, plain)
    return ParsedLines(starts, moves, code[moves], columns, others.tolist())


def _tokens(text: bytes, kinds_of: bytes) -> tuple[_Tokens, Ints]:
    """Return the tokens, and the indices of those that are line feeds."""
    kinds = np.frombuffer(text.translate(kinds_of), np.uint8)
    at = np.flatnonzero(kinds != 0)  # of a bool: much quicker
    kind = kinds.take(at)
    line_feeds = np.flatnonzero(kind == _LF)
    line = np.repeat(np.arange(len(line_feeds)), np.diff(line_feeds, prepend=-1))
    return _Tokens(at, kind, line), line_feeds


def _begins_as_move(text: Bytes, starts: Ints, after: Ints) -> tuple[Bools, Bytes]:
    """Return which lines begin with G0 to G3, a blank or none, and then another token; and the number of the G.

    Args:
        text: with some bytes after the last line.
        starts: of the lines.
        after: the index of the second token of each line; the G is the first.
    """
    code = text[starts + 1] - _ZERO
    third = text[starts + 2]
    blank = (third == _SPACE) | (third == _TAB)
    return (text[starts] == _G) & (code <= _LAST_MOVE) & (after == starts + 2 + blank), code


def _letters(tokens: _Tokens, plain: Bools, heads: Ints, gs: Ints) -> Ints:
    """Return the tokens that are parameters of plain moves; remove lines with odd bytes from `plain`."""
    is_parameter = plain.take(tokens.line)
    if (in_comment := _in_comment(tokens, plain)) is not None:
        is_parameter &= ~in_comment
    odd = np.flatnonzero(tokens.kind == _ODD)
    if len(odd):
        plain[tokens.line[odd[is_parameter[odd]]]] = False
        is_parameter &= plain[tokens.line]
    is_parameter[heads] = False
    is_parameter[gs] = False
    return np.flatnonzero(is_parameter & (tokens.kind >= _A))


def _in_comment(tokens: _Tokens, plain: Bools) -> Bools | None:
    """Tell which tokens are in comments after plain moves; None: no token is, as in most files."""
    semicolons = tokens.kind == _SEMICOLON
    if not plain[tokens.line[semicolons]].any():
        return None
    so_far = np.cumsum(semicolons, dtype=np.int32)
    before_line = np.maximum.accumulate(np.where(tokens.kind == _LF, so_far, 0))
    return so_far > before_line


def _extent(text: Bytes, start: Ints, end: Ints) -> tuple[Ints, Ints]:
    """Return start and length of numbers; one blank after a number is left out."""
    last = text.take(end - 1)
    return start, end - start - ((last == _SPACE) | (last == _TAB))


def _columns(tokens: _Tokens, letters: Ints, values: Floats, plain: Bools) -> Floats:
    lines = tokens.line.take(letters)
    in_plain = plain.take(lines)
    if not in_plain.all():
        letters, values, lines = letters[in_plain], values[in_plain], lines[in_plain]
    count = np.count_nonzero(plain)
    columns = np.full((len(COLUMNS) + 1) * count, np.nan)
    index = _ROWS.take(tokens.kind.take(letters)) * count + (np.cumsum(plain) - 1).take(lines)
    columns[index[::-1]] = values[::-1]  # backwards, so that the first of two equal letters counts
    return columns.reshape(len(COLUMNS) + 1, count)[:-1]
