"""Reads moves in unusual forms as quickly as plain ones: `n5 g01  x10 (outer)*33` for `G1X10`.

These forms are lower case, a leading zero, extra blanks, comments in parentheses, line numbers and checksums, as in
`gcode.reader.clean` and `gcode.command.parse`. Lines with other peculiarities are left to these two functions.
"""

import re

import numpy as np

from gcode.analysis.arrays import Bools, Bytes, Ints

_MAX_DIGITS = 10  # of a line number
_MAX_BLANKS = 4  # in a row; a line with more is not read here
_LF, _TAB, _SPACE = b"\n\t "
_ZERO, _NINE, _LAST_MOVE, _A, _G, _M, _N, _Z = b"093AGMNZ"
_UPPER = ord("a") - ord("A")
_BETWEEN = re.compile(rb"\)[ \t]{0,4}[A-Za-z]")

# The kind of each byte: 0 in a number or blank, a letter in upper case, a line feed as itself, `;` at the beginning of
# a part to ignore, 1 for odd bytes.
_IN_NUMBERS = b"0123456789.+- \t"
KINDS = bytes(
    0 if byte in _IN_NUMBERS else _LF if byte == _LF else ord(";") if byte in b";(*"
    else byte if _A <= byte <= _Z else byte - _UPPER if _A <= byte - _UPPER <= _Z else 1
    for byte in range(256)
)  # fmt: skip


def find_moves(text: Bytes, starts: Ints, at: Ints, kind: Bytes, heads: Ints, ends: Ints) -> tuple[Bools, Bytes, Ints]:
    """Return which lines begin with G0 to G3, and for each line the number of that G and the index of its token.

    Args:
        text: with some bytes after the last line.
        starts: of the lines.
        at: indices of the tokens: letters, line feeds and odd bytes.
        kind: of the tokens.
        heads: the first token of each line.
        ends: the line feed of each line, as a token.
    """
    first = after_blanks(text, starts)
    token = heads
    plain = at[heads] == first
    numbered = plain & (kind[heads] == _N)
    if numbered.any():
        token = heads + (numbered & (heads < ends))
        first, has_digit = _after_number(text, first, numbered)
        plain = (at[token] == first) & (has_digit | ~numbered)
    digit = after_blanks(text, first + 1)
    digit = digit + ((text[digit] == _ZERO) & _is_digit(text[digit + 1]))
    code = text[digit] - _ZERO
    plain &= (kind[token] == _G) & (code <= _LAST_MOVE - _ZERO)
    plain &= at[token + (token < ends)] == after_blanks(text, digit + 1)
    return plain, code, token


def find_further_commands(text: Bytes, at: Ints, kind: Bytes, gs: Ints) -> Ints:
    """Return the tokens that may begin another command of a line, even where most firmwares read a comment.

    Args:
        text: with some bytes after the last line.
        at: indices of the tokens.
        kind: of the tokens.
        gs: the token of the G with which each line begins.
    """
    candidates = np.flatnonzero((kind == _G) | (kind == _M))
    first = np.zeros(len(kind), np.bool_)
    first[gs] = True
    return candidates[_is_digit(text[at[candidates] + 1]) & ~first[candidates]]


def find_moves_with_comments(lines: bytes, starts: Ints) -> Ints:
    """Return the lines with parameters after a `(comment)`."""
    offsets = [match.start() for match in _BETWEEN.finditer(lines)] if b")" in lines else []
    return np.searchsorted(starts, np.array(offsets, np.intp), "right") - 1


def _after_number(text: Bytes, first: Ints, numbered: Bools) -> tuple[Ints, Bools]:
    """Return the indices after the line numbers, and which line numbers have a digit."""
    begin = after_blanks(text, first + numbered)
    behind = begin
    for _ in range(_MAX_DIGITS):
        more = numbered & _is_digit(text[behind])
        if not more.any():
            break
        behind = behind + more
    return after_blanks(text, behind), behind > begin


def extent(text: Bytes, start: Ints, end: Ints) -> tuple[Ints, Ints]:
    """Return start and length of numbers, without the blanks around them."""
    start = after_blanks(text, start)
    for _ in range(_MAX_BLANKS):
        blank = _is_blank(text.take(end - 1)) & (end > start)
        if not blank.any():
            break
        end = end - blank
    return start, end - start


def after_blanks(text: Bytes, at: Ints) -> Ints:
    """Return the indices after up to _MAX_BLANKS blanks."""
    for _ in range(_MAX_BLANKS):
        blank = _is_blank(text.take(at))
        if not blank.any():
            break
        at = at + blank
    return at


def _is_blank(text: Bytes) -> Bools:
    return (text == _SPACE) | (text == _TAB)


def _is_digit(text: Bytes) -> Bools:
    return (text >= _ZERO) & (text <= _NINE)
