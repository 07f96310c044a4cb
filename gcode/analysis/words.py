"""The words of a block's moves, as columns of numbers: `G1 X10 E.5` in 200,000 lines at once.

Nearly all lines of a sliced file are plain moves: G0 to G3, capital letters, a number behind each. They are read
here by arithmetic on all bytes of a block together. Where many look different, `loose` says what they begin with and
where their numbers are. A line that is neither is left to `gcode.command`, so all give the same.
"""

import numpy as np

from gcode.analysis import loose
from gcode.analysis.arrays import Bools, Bytes, Floats, Ints
from gcode.analysis.blocks import LineBlock
from gcode.analysis.decimals import WORD, decimals
from gcode.frozen import frozen
from gcode.reader import MAX_LINE

COLUMNS = "XYZEFIJR"

_LF, _TAB, _SPACE, _SEMICOLON, _G, _M, _A, _Z = b"\n\t ;GMAZ"
_ZERO = ord("0")
_LAST_MOVE = 3  # G3
_UNUSUAL = (b"(", b"\nN", b"\nn", b"\ng", b"\nG00", b"\nG01", b"\nG02", b"\nG03", b"\nG1  ", b"\nG1\t\t")
_SAMPLE = 4096  # bytes of a block that tell whether it is of an unusual form; if they do not, a try does
_FEW = 50  # lines that are looked at one by one, and the share of a block's lines (one in so many)
_PADDING = np.zeros(WORD, np.uint8)

# What a byte is to a reader of words: part of a number or blank (0), a letter, `;` or line feed (itself), odd (1).
_ODD = 1
_KINDS = bytes(
    0 if byte in b"0123456789.+- \t" else byte if byte in (_LF, _SEMICOLON) or _A <= byte <= _Z else _ODD
    for byte in range(256)
)
# The row of each letter; the last one is for letters that are no column.
_ROWS = np.array([COLUMNS.find(chr(byte)) % (len(COLUMNS) + 1) for byte in range(256)])


@frozen
class Words:
    """The lines of a block.

    Attributes:
        starts: where each line starts in the block's text, and where the last one ends.
        moves: the lines that are plain moves, in order.
        code: the number of each move's G: 0 to 3.
        columns: a row for each letter of COLUMNS: the value of each move's word, not a number where there is none.
        others: the lines that are no plain moves, but are not empty.
    """

    starts: Ints
    moves: Ints
    code: Bytes
    columns: Floats
    others: list[int]


@frozen
class _Tokens:
    """Letters, semicolons, line feeds and odd bytes: where, what, and in which line."""

    at: Ints
    kind: Bytes
    line: Ints


def read(block: LineBlock) -> Words:
    """Return the words of a block's moves."""
    lines = block.text.count(b"\n")
    if sum(map(block.text[:_SAMPLE].count, _UNUSUAL)) > _SAMPLE // 100:  # it is worth no try
        return _read(block.text, unusual=True)
    found = _read(block.text)
    first = np.frombuffer(block.text, np.uint8)[found.starts[np.array(found.others, np.intp)]]
    if np.count_nonzero(first != _SEMICOLON) <= max(_FEW, lines // _FEW):
        return found
    return _read(block.text, unusual=True)


def _read(lines: bytes, *, unusual: bool = False) -> Words:
    padded = np.concatenate((_PADDING, np.frombuffer(lines, np.uint8), _PADDING))
    text = padded[WORD:]
    tokens, line_feeds = _tokens(lines, loose.KINDS if unusual else _KINDS)
    starts = np.concatenate(([0], tokens.at[line_feeds] + 1))
    heads = np.concatenate(([0], line_feeds[:-1] + 1))  # the first token of each line
    if unusual:
        plain, code, gs = loose.begins(text, starts[:-1], tokens.at, tokens.kind, heads, line_feeds)
        plain[tokens.line[loose.further(text, tokens.at, tokens.kind, gs)]] = False
        plain[loose.commented_between(lines, starts)] = False
    else:
        plain, code = _begins_as_move(text, starts[:-1], tokens.at[heads + (heads < line_feeds)])
        gs = heads
    plain &= np.diff(starts) <= MAX_LINE
    letters = _letters(tokens, plain, heads, gs)
    kinds = tokens.kind.take(letters)
    more = (kinds == _G) | (kinds == _M)  # a further command of the line, to some firmwares
    if more.any():
        plain[tokens.line[letters[more]]] = False
    start, end = tokens.at.take(letters) + 1, tokens.at.take(letters + 1)  # there is one more, as each line has its end
    start, length = loose.extent(text, start, end) if unusual else _extent(text, start, end)
    values, good = decimals(padded, start + WORD, length)
    plain[tokens.line[letters[~good]]] = False
    others = np.flatnonzero(~plain & (np.diff(starts) > 1))
    moves = np.flatnonzero(plain)
    columns = _columns(tokens, letters, values, plain)
    return Words(starts, moves, code[moves], columns, others.tolist())


def _tokens(text: bytes, kinds_of: bytes) -> tuple[_Tokens, Ints]:
    """Return the tokens, and which of them are line feeds."""
    kinds = np.frombuffer(text.translate(kinds_of), np.uint8)
    at = np.flatnonzero(kinds != 0)  # of a bool: much quicker
    kind = kinds.take(at)
    line_feeds = np.flatnonzero(kind == _LF)
    line = np.repeat(np.arange(len(line_feeds)), np.diff(line_feeds, prepend=-1))
    return _Tokens(at, kind, line), line_feeds


def _begins_as_move(text: Bytes, starts: Ints, after: Ints) -> tuple[Bools, Bytes]:
    """Tell which lines begin with G0 to G3, maybe a blank, and `after` that the next word, a comment or the end.

    Returns:
        Which do, and the numbers.
    """
    code = text[starts + 1] - _ZERO
    third = text[starts + 2]
    blank = (third == _SPACE) | (third == _TAB)
    return (text[starts] == _G) & (code <= _LAST_MOVE) & (after == starts + 2 + blank), code


def _letters(tokens: _Tokens, plain: Bools, heads: Ints, gs: Ints) -> Ints:
    """Return the tokens that are words of plain moves; `plain` loses the lines with odd bytes in them."""
    read_on = plain.take(tokens.line)
    if (commented := _in_comment(tokens, plain)) is not None:
        read_on &= ~commented
    odd = np.flatnonzero(tokens.kind == _ODD)
    if len(odd):
        plain[tokens.line[odd[read_on[odd]]]] = False
        read_on &= plain[tokens.line]
    read_on[heads] = False
    read_on[gs] = False
    return np.flatnonzero(read_on & (tokens.kind >= _A))


def _in_comment(tokens: _Tokens, plain: Bools) -> Bools | None:
    """Tell which tokens stand behind a plain move's semicolon; None: no one, as few slicers write any there."""
    semicolons = tokens.kind == _SEMICOLON
    if not plain[tokens.line[semicolons]].any():
        return None
    so_far = np.cumsum(semicolons, dtype=np.int32)
    before_line = np.maximum.accumulate(np.where(tokens.kind == _LF, so_far, 0))
    return so_far > before_line


def _extent(text: Bytes, start: Ints, end: Ints) -> tuple[Ints, Ints]:
    """Return where numbers start, and their length without one blank behind them."""
    last = text.take(end - 1)
    return start, end - start - ((last == _SPACE) | (last == _TAB))


def _columns(tokens: _Tokens, letters: Ints, values: Floats, plain: Bools) -> Floats:
    lines = tokens.line.take(letters)
    kept = plain.take(lines)
    if not kept.all():
        letters, values, lines = letters[kept], values[kept], lines[kept]
    count = np.count_nonzero(plain)
    columns = np.full((len(COLUMNS) + 1) * count, np.nan)
    place = _ROWS.take(tokens.kind.take(letters)) * count + (np.cumsum(plain) - 1).take(lines)
    columns[place[::-1]] = values[::-1]  # backwards: of a letter that comes twice the first one counts
    return columns.reshape(len(COLUMNS) + 1, count)[:-1]
