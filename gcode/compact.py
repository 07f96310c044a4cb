"""Compact lines: a move without what carries no meaning, `G1 X10.500 Y-0.250 E0.01200` → `G1X10.5Y-.25E.012`.

Blanks, zeros behind the last digit of a fraction and before its point, the sign of a plus and of nothing: each number
stays the same decimal. Only lines that are plainly moves (G0 to G3, G92) are touched; everything else, and with it
every text, name and flag, stays byte for byte. What a firmware needs all the same is data: `Dialect.compact` names the
letters that keep the blank before them.
"""

import re
from collections.abc import Callable
from functools import cache

Compact = Callable[[bytes], bytes]

_MOVE = re.compile(rb"G(?:[0-3]|92)(?: ++[XYZEFIJKRSP][+-]?(?:\d++(?:\.\d*+)?|\.\d++))++ *+").fullmatch

_FRACTION = b"|".join(rb"(?<=\.\d{%d}0)" % digits for digits in range(1, 7))

# To be dropped, once the blanks are: a fraction of zeros behind a digit; one zero before a point with a fraction that
# is not nothing; the zeros at the end of such a fraction; a minus before nothing; a plus.
_IDLE = re.compile(
    rb"\.(?<=\d\.)0*+(?!\d)"
    rb"|0(?:(?<=[A-Z+-]0)(?=\.\d*[1-9])|(?:" + _FRACTION + rb")0*+(?!\d))"
    rb"|-(?=[0.]++(?!\d))"
    rb"|\+"
).sub


@cache
def compactor(keep: str) -> Compact:
    """Return the function that makes a command compact.

    Args:
        keep: letters that keep the blank before them.
    """
    kept = [(letter.encode(), b" " + letter.encode()) for letter in keep]

    def compact(command: bytes) -> bytes:
        """Return the command with fewer bytes and the same meaning; one that is no plain move as it is."""
        if _MOVE(command) is None:
            return command
        dense = _IDLE(b"", command.replace(b" ", b""))
        if b"0X" in dense:  # newlib's strtof takes `G0X10` and `Y0X10` for hexadecimal numbers
            dense = dense.replace(b"0X", b"0 X")
        for letter, apart in kept:
            dense = dense.replace(letter, apart)
        return dense

    return compact


_WORDS = re.compile(rb"G(?:[0-3]|92)(?: *+[XYZEFIJKRSP][+-]?(?:\d++(?:\.\d*+)?|\.\d++))++ *+").fullmatch
_WORD = re.compile(rb"(?<! ) *+([XYZEFIJKRSP])").sub


def in_full(command: bytes) -> bytes:
    """Return a command in the one form that all ways to write the same move have; any other command as it is.

    For whoever compares what a firmware took in with a file.
    """
    return command if _WORDS(command) is None else _WORD(rb" \1", compactor("")(_WORD(rb" \1", command).rstrip()))
