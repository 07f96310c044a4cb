"""MeatPack: packs two characters into a byte if both are among the fifteen most frequent ones of G-code.

The low half of a byte holds the first character, the high half the second; 15 means that the character follows as a
byte of its own. Two bytes 0xFF and a third are an order. Without blanks, E takes the place of the blank in the table.
A line of odd length ends in two line feeds, of which the second is dropped.

Sources: Marlin's `feature/meatpack.h` for firmware, `doc/specifications.md` of libbgcode for files.
"""

import re
from enum import IntEnum

from gcode.errors import CommandError

CHARACTERS = b"0123456789. \nGX"
"""The characters with the codes 0 to 14."""

_LITERAL = 15  # the code of a character that follows as a byte of its own
_BLANK = 11  # the code of the blank, or of E if blanks are left out
_LINE_FEED = 12
_SIGNAL = 0xFF


class PackOrder(IntEnum):
    """The byte after two signal bytes."""

    PACK = 251
    UNPACK = 250
    RESET = 249
    QUERY = 248
    NO_BLANKS = 247
    BLANKS = 246


def order_bytes(what: PackOrder) -> bytes:
    """Return the bytes of an order."""
    return bytes([_SIGNAL, _SIGNAL, what])


def _characters(*, blanks: bool) -> bytes:
    return CHARACTERS if blanks else CHARACTERS.replace(b" ", b"E")


def _pairs(*, blanks: bool) -> list[bytes]:
    """Return the characters of each byte; empty for a byte that announces a literal."""
    characters = _characters(blanks=blanks)
    pairs = []
    for byte in range(256):
        low, high = byte & 15, byte >> 4
        if _LITERAL in (low, high):
            pairs.append(b"")
        else:
            pairs.append(b"\n" if low == _LINE_FEED else bytes([characters[low], characters[high]]))
    return pairs


_PAIRS = {blanks: _pairs(blanks=blanks) for blanks in (True, False)}
_PACKED = bytes(byte for byte in range(256) if byte & 15 != _LITERAL and byte >> 4 != _LITERAL)
_RUN = re.compile(b"[" + re.escape(_PACKED) + b"]+")


class Decoder:
    """Unpacks the bytes given to `feed`, in pieces of any size.

    Attributes:
        unpacks: the next bytes are packed; false before the first order.
        blanks: the table has the blank; otherwise it has E in that place.
    """

    def __init__(self) -> None:
        self.unpacks = False
        self.blanks = True
        self._signals = 0  # signal bytes in a row, at most two
        self._rest_of_pair: list[bytes] = []  # rest of a pair: b"" stands for a literal

    def feed(self, data: bytes) -> bytes:
        """Return the text of the next bytes."""
        out = bytearray()
        at = 0
        while at < len(data):
            if self._signals or self._rest_of_pair:
                self._step(data[at], out)
                at += 1
            elif self.unpacks:
                run = _RUN.match(data, at)
                if run is not None:
                    out += b"".join(map(_PAIRS[self.blanks].__getitem__, run[0]))
                    at = run.end()
                else:
                    self._step(data[at], out)
                    at += 1
            else:
                end = data.find(_SIGNAL, at)
                end = len(data) if end < 0 else end
                out += data[at:end]
                at = end
                if at < len(data):
                    self._signals = 1
                    at += 1
        return bytes(out)

    def finish(self) -> None:
        """Check that the bytes end properly.

        Raises:
            CommandError: they end in the middle of a pair or an order.
        """
        if self._signals or self._rest_of_pair:
            raise CommandError("packed G-code (MeatPack) ends in the middle of a character")

    def _step(self, byte: int, out: bytearray) -> None:
        if self._signals == 2:  # noqa: PLR2004 - both of them
            self._signals = 0
            self._obey(byte)
        elif byte == _SIGNAL:
            self._signals += 1
        elif self._signals:
            self._signals = 0
            self._take(_SIGNAL, out)
            self._take(byte, out)
        else:
            self._take(byte, out)

    def _obey(self, byte: int) -> None:
        if byte in (PackOrder.PACK, PackOrder.UNPACK, PackOrder.RESET):
            self.unpacks = byte == PackOrder.PACK
        elif byte in (PackOrder.NO_BLANKS, PackOrder.BLANKS):
            self.blanks = byte == PackOrder.BLANKS

    def _take(self, byte: int, out: bytearray) -> None:
        if self._rest_of_pair:
            out.append(byte)
            self._rest_of_pair.pop(0)
            if self._rest_of_pair and self._rest_of_pair[0]:
                out += self._rest_of_pair.pop()
        elif not self.unpacks:
            out.append(byte)
        elif pair := _PAIRS[self.blanks][byte]:
            out += pair
        else:
            self._take_literals(byte & 15, byte >> 4, out)

    def _take_literals(self, low: int, high: int, out: bytearray) -> None:
        """Take a byte that announces a literal: one or both of its characters follow unpacked."""
        characters = _characters(blanks=self.blanks)
        if low == _LITERAL:
            self._rest_of_pair = [b"", b"" if high == _LITERAL else characters[high : high + 1]]
        else:
            out += characters[low : low + 1]
            self._rest_of_pair = [b""] if low != _LINE_FEED else []


_DIGITS = bytes(b"0123456789abcdef"[CHARACTERS.find(each)] if each in CHARACTERS else ord("f") for each in range(256))
"""The code of each character as a hexadecimal digit."""


def pack(text: bytes) -> bytes:
    """Pack lines of ASCII that end in a line feed, with blanks. This runs for each line of a print.

    The first character of a pair is the low digit, so the hexadecimal digits are read backwards, and so are the bytes.
    """
    if len(text) & 1:
        text += b"\n"
    digits = text.translate(_DIGITS)
    packed = bytearray.fromhex(digits.decode()[::-1])
    packed.reverse()
    at = len(digits)
    while (at := digits.rfind(b"f", 0, at)) >= 0:
        packed.insert((at >> 1) + 1, text[at])
    return bytes(packed)


def count_literals(text: bytes) -> int:
    """Return how many characters `pack` writes as a byte of their own, in addition to their half byte."""
    return len(text.translate(None, CHARACTERS))
