"""Moves in unusual forms as plain ones: `n5 g01  x10 (outer)*33` → `G1X10`, all lines of a block at once.

Lower case, leading zeros, blanks, comments in parentheses, line numbers and checksums are taken away where they change
nothing that `gcode.reader.clean` and `gcode.command.parse` would find. Whatever else is odd about a line stays, for
them to look at.
"""

import numpy as np

from gcode.analysis.arrays import Bools, Bytes, Ints

_LF, _SPACE, _SEMICOLON, _PARENTHESIS, _STAR = b"\n ;(*"
_ZERO, _NINE, _A, _Z, _G, _N = b"09AZGN"
_FEW = 1000  # comments that are taken one by one: quicker than to go over all bytes
_LONGEST_NUMBER = 10  # digits of a line number, and bytes of a checksum with its star
_UPPER = bytes(range(256)).upper().replace(b"\t", b" ")


def canonical(text: bytes) -> bytes:
    """Return the lines of a block, as many as there are, with moves in the plain form; other lines may be changed."""
    line = np.frombuffer(text.translate(_UPPER), np.uint8)
    line = _without(line, _comments(line))
    line = _without(line, _blanks(line))
    starts = _starts(line)
    if (line[starts] == _N).any():
        line = _without(line, _numbers(line, starts))
        starts = _starts(line)
    return _without(line, _zeros(line, starts)).tobytes()


def _without(line: Bytes, needless: Bools) -> Bytes:
    return line[~needless] if needless.any() else line


def _starts(line: Bytes) -> Ints:
    return np.concatenate(([0], np.flatnonzero(line == _LF)[:-1] + 1))


def _comments(line: Bytes) -> Bools:
    """Tell what stands in a comment, its beginning included."""
    begin = (line == _SEMICOLON) | (line == _PARENTHESIS)
    begins = np.flatnonzero(begin)
    if not len(begins):
        return begin
    ends = np.flatnonzero(line == _LF)
    number = np.searchsorted(ends, begins)
    first = np.diff(number, prepend=-1) > 0
    if len(begins) < _FEW:
        found = np.zeros(len(line), np.bool_)
        for begin_at, end_at in zip(begins[first].tolist(), ends[number[first]].tolist(), strict=True):
            found[begin_at:end_at] = True
        return found
    steps = np.zeros(len(line) + 1, np.int8)
    steps[begins[first]] = 1
    steps[ends[number[first]]] = -1
    return np.cumsum(steps[:-1], dtype=np.int8).view(np.bool_)


def _blanks(line: Bytes) -> Bools:
    """Tell the blanks behind a letter, behind another blank and at a line's start."""
    blank = line == _SPACE
    if not blank.any():
        return blank
    before = np.empty_like(line)
    before[0] = _LF
    before[1:] = line[:-1]
    needless = (before == _SPACE) | (before == _LF) | ((before >= _A) & (before <= _Z))
    return blank & needless


def _numbers(line: Bytes, starts: Ints) -> Bools:
    """Tell the line numbers, and the checksums of the lines that have a number."""
    found = np.zeros(len(line), np.bool_)
    first = starts[line[starts] == _N]
    behind = first + 1
    for _ in range(_LONGEST_NUMBER):
        behind += _is_digit(line[behind])
    whole = (behind > first + 1) & ~_is_digit(line[behind])
    first, behind = first[whole], behind[whole]
    _mark(found, first, behind + (line[behind] == _SPACE))
    stars = np.flatnonzero(line == _STAR)
    if len(stars):
        ends = np.flatnonzero(line == _LF)
        owner = np.searchsorted(ends, stars)
        alone = np.bincount(owner, minlength=len(ends)) == 1  # of several the last one counts: seldom, and left alone
        numbered = np.zeros(len(ends), np.bool_)
        numbered[np.searchsorted(ends, first)] = True
        good = (alone & numbered)[owner] & (ends[owner] - stars <= _LONGEST_NUMBER)
        _mark(found, stars[good], ends[owner[good]])
    return found


def _mark(found: Bools, first: Ints, behind: Ints) -> None:
    """Mark what stands between these places, which are not far from each other."""
    for step in range(int((behind - first).max(initial=0))):
        place = first + step
        found[place[place < behind]] = True


def _zeros(line: Bytes, starts: Ints) -> Bools:
    """Tell the zero of G00 to G09."""
    padded = np.concatenate((line, np.zeros(2, np.uint8)))
    zero = starts[(line[starts] == _G) & (padded[starts + 1] == _ZERO) & _is_digit(padded[starts + 2])] + 1
    found = np.zeros(len(line), np.bool_)
    found[zero] = True
    return found


def _is_digit(line: Bytes) -> Bools:
    return (line >= _ZERO) & (line <= _NINE)
