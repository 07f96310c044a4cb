"""Compact moves: without characters that carry no meaning, `G1 X10.500 Y-0.250 E0.01200` → `G1X10.5Y-.25E.012`.

These are blanks, zeros at the end of a fraction, a zero in front of a decimal point, plus signs and the minus of a
zero; each number keeps its exact value. Only plain moves (G0 to G3, G92) are changed; everything else, including every
text, name and flag, stays byte for byte. `Dialect.compact` names the letters that keep the blank before them.
"""

import re
from collections.abc import Callable
from functools import cache

Compact = Callable[[bytes], bytes]

_SPACED_MOVE = re.compile(rb"G(?:[0-3]|92)(?>(?: ++[XYZEFIJKRSP][+-]?(?:\d++(?:\.\d*+)?|\.\d++))+) *+").fullmatch

_FRACTION = b"|".join(rb"(?<=\.\d{%d}0)" % digits for digits in range(1, 7))

# What is dropped once the blanks are gone: a fraction that is all zeros, after a digit; of any other fraction, the zero
# in front of its point and the zeros at its end; the minus of a zero; a plus.
_SUPERFLUOUS = re.compile(
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
    spaced = [(letter.encode(), b" " + letter.encode()) for letter in keep]

    def compact(command: bytes) -> bytes:
        """Return a move with fewer bytes and the same meaning; any other command unchanged."""
        if _SPACED_MOVE(command) is None:
            return command
        dense = _SUPERFLUOUS(b"", command.replace(b" ", b""))
        if b"0X" in dense:  # newlib's strtof reads `0X10` in `G0X10` and `Y0X10` as a hexadecimal number
            dense = dense.replace(b"0X", b"0 X")
        for letter, apart in spaced:
            dense = dense.replace(letter, apart)
        return dense

    return compact


_ANY_MOVE = re.compile(rb"G(?:[0-3]|92)(?>(?: *+[XYZEFIJKRSP][+-]?(?:\d++(?:\.\d*+)?|\.\d++))+) *+").fullmatch
_SPACE_WORDS = re.compile(rb"(?<! ) *+([XYZEFIJKRSP])").sub


def canonical_form(command: bytes) -> bytes:
    """Return a move in its canonical form, to compare the lines that a firmware received with a file.

    Any other command is returned unchanged.
    """
    if _ANY_MOVE(command) is None:
        return command
    return _SPACE_WORDS(rb" \1", compactor("")(_SPACE_WORDS(rb" \1", command).rstrip()))
