"""Decimal numbers in a text, thousands at a time: the eight bytes of each as one integer, all places at once.

A number's last eight bytes are loaded as a 64-bit integer, in which the first byte is the lowest. The dot is cut out,
what is no digit becomes zero, and neighbours are joined: digits to pairs, pairs to fours, fours to eight. What is
longer gets a second load for its beginning.
"""

import numpy as np

from gcode.analysis.arrays import Bools, Bytes, Floats, Ints

LONGEST = 15  # bytes of a number; that many digits are exact in a float, so it is the one that `float` gives
WORD = 8  # bytes; there have to be as many before and behind each number

_POWERS = 10.0 ** np.arange(2 * WORD)
_MINUS, _PLUS = b"-+"


def _all(byte: int) -> np.uint64:
    """Return a word of eight times the same byte."""
    return np.uint64(int.from_bytes(bytes([byte]) * WORD, "little"))


_ONES, _DOTS, _HIGHS, _LOWS = _all(0x01), _all(ord(".")), _all(0x80), _all(0x7F)
_PAIRS, _FOURS, _EIGHT = (np.uint64(mask) for mask in (0x00FF00FF00FF00FF, 0x0000FFFF0000FFFF, 0xFFFFFFFF))
_1, _4, _7, _8, _16, _32, _64 = (np.uint64(bits) for bits in (1, 4, 7, 8, 16, 32, 64))
_10, _15, _100, _10000 = (np.uint64(factor) for factor in (10, 15, 100, 10000))


def decimals(text: Bytes, start: Ints, length: Ints) -> tuple[Floats, Bools]:
    """Return the numbers at `start`, and which of them are numbers: a sign, digits with one dot at most.

    Args:
        text: holds nothing but digits, signs and dots where a number is; WORD further bytes at both ends.
        start: where they start.
        length: how long they are; one that is longer than LONGEST is none.
    """
    length = np.where(length <= LONGEST, length, 0)
    value, digits, behind, dots = _joined(text, start + length, np.minimum(length, WORD))
    long_ = np.flatnonzero(length > WORD)
    if len(long_):
        head, more, head_behind, head_dots = _joined(text, start[long_] + length[long_] - WORD, length[long_] - WORD)
        value[long_] += head * _POWERS[digits[long_]]
        behind[long_] += np.where(head_dots > 0, head_behind + digits[long_], 0)
        digits[long_] += more
        dots[long_] += head_dots
    first = text[start]
    minus = first == _MINUS
    values = value / _POWERS[behind]
    np.negative(values, out=values, where=minus)
    good = (digits + dots + (minus | (first == _PLUS)) == length) & (digits > 0) & (dots <= 1)
    return values, good


def _joined(text: Bytes, end: Ints, length: Ints) -> tuple[Floats, Bytes, Bytes, Bytes]:
    """Return the value of all digits in up to eight bytes before `end`, their count, those behind a dot, the dots."""
    loads = np.ndarray(len(text) - WORD + 1, np.dtype("<u8"), text, strides=(1,))
    word = loads[end - WORD]
    kept = (WORD - length).astype(np.uint64) * _8
    word = np.where(length > 0, (word >> kept) << kept, 0)
    other = word ^ _DOTS
    dot = ~(((other & _LOWS) + _LOWS) | other | _LOWS)  # the high bit of each byte that is a dot
    dots = np.bitwise_count(dot)
    before = (dot >> _7) - _1  # the bytes before the dot; all where there is none
    behind = np.where(dots > 0, WORD - 1 - np.bitwise_count(before) // WORD, 0).astype(np.uint8)
    word = np.where(dots > 0, ((word & before) << _8) | (word & ~((dot << _1) - _1)), word)
    is_digit = (word >> _4) & _ONES  # 0x30 to 0x39, unlike signs (0x2B, 0x2D) and nothing (0)
    digits = word & (is_digit * _15)
    pairs = (digits * _10 + (digits >> _8)) & _PAIRS
    fours = (pairs * _100 + (pairs >> _16)) & _FOURS
    value = (fours * _10000 + (fours >> _32)) & _EIGHT
    return value.astype(np.float64), np.bitwise_count(is_digit), behind, dots
