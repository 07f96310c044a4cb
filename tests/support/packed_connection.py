"""A poor connection with packed lines: the firmware unpacks, and damage does not stop at line ends.

The decoder is that of the simulated printer, written from the firmwares' sources, not the host's.
"""

import random

from gcode.compact import compactor
from gcode.framing import number_of, without_number
from gcode.link import HostLink
from gcode.meatpack import PackOrder, order_bytes
from gcode.packing import text_on_wire
from hal.simulated.emergency import EmergencyParser
from hal.simulated.meatpack import Unpacker
from support.marlin import MarlinModel
from support.poor_connection import Damage, PoorConnection, alter

_NEWLINE, _RETURN, _HIGHEST = 10, 13, 127
_MAX_COMMAND = 95

compact = compactor("")


class PackedMarlin(MarlinModel):
    """A MarlinModel with a decoder behind its receive buffer, and EMERGENCY_PARSER before it."""

    def __init__(self, *, prusa: bool = False, usb: bool = False, **options) -> None:
        super().__init__(**options)
        self.seen_at_once: list[str] = []  # what EMERGENCY_PARSER has found
        self._prusa = prusa
        self._usb = usb
        self._unpacker = Unpacker(self._say, prusa=prusa)
        self._parser = EmergencyParser()

    def _say(self, text: str) -> None:
        self.out += text.encode() + b"\n"

    def arrive(self, data: bytes) -> None:
        self.seen_at_once += self._parser.feed(data)
        super().arrive(data)

    def read(self) -> None:
        while self._rx and len(self._queue) < self._size:
            for character in self._unpacker.take(self._rx.popleft()):
                if character not in (_NEWLINE, _RETURN):
                    if character <= _HIGHEST or not self._prusa:
                        self._line.append(character)
                    continue
                line, self._line = bytes(self._line[:_MAX_COMMAND]).strip(b" "), bytearray()
                if line and not self._take(line):
                    self.flush()
                    break

    def flush(self) -> None:
        """Lose the unread bytes; over USB only up to a byte that completes no character."""
        self.flushed += len(self._rx)
        while self._usb and self._rx and self._unpacker.take(self._rx.popleft()):
            pass
        if not self._usb:
            self._rx.clear()

    def forget_orders(self) -> None:
        """Stop unpacking, as after a reset that the host has not noticed."""
        self._unpacker = Unpacker(self._say, prusa=self._prusa)


class PackedConnection(PoorConnection):
    """A HostLink that packs and a firmware that unpacks, at the two ends of a poor connection."""

    def __init__(
        self, link: HostLink, model: PackedMarlin, rates: dict[str, float], chances: random.Random,
        damage: Damage = alter,
    ) -> None:  # fmt: skip
        super().__init__(link, model, rates, chances, damage)
        for byte in order_bytes(PackOrder.PACK):  # as negotiated
            model.arrive(bytes((byte,)))
        model.read()
        model.out.clear()
        link.pack()

    def _send(self, data: bytes) -> None:
        for line in text_on_wire(data).splitlines(keepends=True):
            self._note(line)
        while data:
            size = self._chances.randrange(1, 40)
            piece, data = data[:size], data[size:]
            for sent in self._damage(piece):
                pause = 0.03 * self._chances.random() if self._happens("delay") else 0.0
                at = self._chances.randrange(len(sent)) if pause and sent else len(sent)
                self._wire.append((self.now, sent[:at]))
                self._wire.append((self.now + pause, sent[at:]))

    def _note(self, line: bytes) -> None:
        number = number_of(line)
        if number is None or number == 99_999_999:
            return
        command = without_number(line).rpartition(b"*")[0]
        if command == b"M105" and self.sent.get(number, b"").startswith((b"M117 ", b"M118 ")):
            self.left_out[number] = self.sent.pop(number)
        assert self.sent.setdefault(number, command) == command, "a number means one command, always"
