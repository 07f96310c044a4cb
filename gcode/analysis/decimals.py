"""Reads decimal numbers in a text, thousands at a time: the eight bytes of each number are one integer.

Theory of operation. The last eight bytes of a number are loaded as a 64-bit integer, whose lowest byte is the first of
the eight. The dot is cut out, bytes other than digits become zero, and neighbours are joined: digits to pairs, pairs to
fours, fours to eight. A longer number gets a second load for its beginning.
"""

import numpy as np
from numpy.typing import NDArray

from gcode.analysis.arrays import Bools, Bytes, Floats, Ints

Words64 = NDArray[np.uint64]

MAX_SIZE = 15  # bytes of a number; a float holds that many digits exactly, so the result is that of `float`
WORD = 8  # bytes of a load; there have to be as many bytes before and after each number

_POWERS = 10.0 ** np.arange(256)  # indexed by a byte
_MINUS, _PLUS = b"-+"


def _all(byte: int) -> np.uint64:
    """Return a word of eight times the same byte."""
    return np.uint64(int.from_bytes(bytes([byte]) * WORD, "little"))


_ONES, _DOTS, _LOWS = _all(0x01), _all(ord(".")), _all(0x7F)
_1, _3, _4, _7, _15 = (np.uint64(number) for number in (1, 3, 4, 7, 15))
# By the length of a number: a mask for its bytes, which are the last ones of a load.
_NUMBER_MASKS = np.array([(1 << 64) - (1 << 8 * (WORD - length)) for length in range(WORD + 1)], np.uint64)
# Joins neighbours: the first one, times its weight, is added to the second.
_JOINS = tuple(
    (np.uint64((factor << bits) + 1), np.uint64(bits), np.uint64(mask))
    for factor, bits, mask in ((10, 8, 0x00FF00FF00FF00FF), (100, 16, 0x0000FFFF0000FFFF), (10000, 32, 0xFFFFFFFF))
)


def read_decimals(text: Bytes, start: Ints, length: Ints) -> tuple[Floats, Bools]:
    """Return the values at `start`, and which of them are numbers: an optional sign, then digits with at most one dot.

    Args:
        text: only digits, signs and dots within a number; WORD further bytes at both ends.
        start: of each number.
        length: of each number; one above MAX_SIZE counts as no number.
    """
    sizes = np.where(length <= MAX_SIZE, length, 0).astype(np.uint8)
    value, digits, decimals, dots = _join(text, start + sizes, np.minimum(sizes, np.uint8(WORD)))
    long_ = np.flatnonzero(sizes > WORD)
    if len(long_):
        leading = sizes[long_] - np.uint8(WORD)
        head, more, head_decimals, head_dots = _join(text, start[long_] + leading, leading)
        value[long_] += head * _POWERS[digits[long_]]
        decimals[long_] += (head_decimals + digits[long_]) * head_dots
        digits[long_] += more
        dots[long_] += head_dots
    first = text.take(start)
    minus = first == _MINUS
    values = value / _POWERS.take(decimals)
    np.negative(values, out=values, where=minus)
    is_number = (digits + dots + (minus | (first == _PLUS)) == sizes) & (digits > 0) & (dots <= 1)
    return values, is_number


def _join(text: Bytes, end: Ints, length: Bytes) -> tuple[Floats, Bytes, Bytes, Bytes]:
    """Return, for up to eight bytes before `end`: value and number of digits, digits after a dot, number of dots."""
    loads = np.ndarray(len(text) - WORD + 1, np.dtype("<u8"), text, strides=(1,))
    word = loads[end - WORD]
    word &= _NUMBER_MASKS.take(length)
    dot = _dot_bits(word)
    dots = np.bitwise_count(dot)
    before = (dot >> _7) - _1  # the bytes before the dot; all bytes if there is none
    decimals = WORD - (np.bitwise_count(before) >> 3) - dots
    after = ~((dot << _1) - _1)
    after &= word
    word &= before
    word <<= dots.astype(np.uint64) << _3
    word |= after
    is_digit = (word >> _4) & _ONES  # 0x30 to 0x39, unlike signs (0x2B, 0x2D) and nothing (0)
    digits = np.bitwise_count(is_digit)
    word &= is_digit * _15
    for factor, bits, mask in _JOINS:
        word *= factor
        word >>= bits
        word &= mask
    return word.astype(np.float64), digits, decimals, dots


def _dot_bits(word: Words64) -> Words64:
    """Return the high bit of each byte that is a dot: an exclusive or with a dot makes such a byte zero."""
    other = word ^ _DOTS
    dot = other & _LOWS
    dot += _LOWS
    dot |= other
    dot |= _LOWS
    return ~dot
