"""The firmware's MeatPack decoder and the receive buffer before it, byte by byte, with their weaknesses.

It follows Marlin's `feature/meatpack.cpp` (MeatPack::handle_rx_char and what it calls, bugfix-2.1.x) and
Prusa-Firmware's `meatpack.cpp` (3.13). The two differ in how they report their state, and in what a reset forgets. The
code is independent of the host's codec. The receive buffer holds the bytes as they came. A flush leaves the decoder in
its state, perhaps in the middle of a character.
"""

from collections.abc import Callable

from hal.simulated.config import FirmwareConfig
from hal.simulated.receiver import LineRefusal, ReceivedLine, Receiver, SkippedLine

_SIGNAL = 0xFF
_LITERAL = 0xF  # a nibble: the character comes as it is
_BLANK = 11
_NEWLINE, _RETURN = 10, 13
_HIGHEST = 0x7F  # of the characters that Prusa-Firmware reads
_ENABLE, _DISABLE, _RESET, _QUERY, _NO_SPACES, _SPACES = 0xFB, 0xFA, 0xF9, 0xF8, 0xF7, 0xF6


class Unpacker:
    """A decoder; it is off after power-on."""

    def __init__(self, say: Callable[[str], None], *, prusa: bool) -> None:
        """Prepare.

        Args:
            say: called with each report of the state.
            prusa: as in Prusa-Firmware, a reset restores the table too, and reports begin with a blank.
        """
        self._say = say
        self._prusa = prusa
        self._table = bytearray(b"0123456789. \nGX\0")
        self._active = self._no_spaces = False
        self._order_next = False
        self._signals = 0
        self._literals = 0  # characters that will come as they are
        self._second = 0  # the character, already decoded, that follows the first of these

    def take(self, byte: int) -> bytes:
        """Return the characters that one byte completes: none to four."""
        if byte == _SIGNAL:
            if self._signals:
                self._order_next = True
                self._signals = 0
            else:
                self._signals = 1
            return b""
        if self._order_next:
            self._execute(byte)
            self._order_next = False
            return b""
        before = b""
        if self._signals:
            before = self._decode(_SIGNAL)
            self._signals = 0
        return before + self._decode(byte)

    def _decode(self, byte: int) -> bytes:
        if not self._active:
            return bytes((byte,))
        if self._literals:
            self._literals -= 1
            second, self._second = self._second, 0
            return bytes((byte, second)) if second else bytes((byte,))
        low, high = byte & 0xF, byte >> 4
        if low == _LITERAL:
            self._literals += 1
            if high == _LITERAL:
                self._literals += 1
            else:
                self._second = self._table[high]
            return b""
        first = self._table[low]
        if first == _NEWLINE:
            return b"\n"  # the high half is ignored
        if high == _LITERAL:
            self._literals += 1
            return bytes((first,))
        return bytes((first, self._table[high]))

    def _execute(self, order: int) -> None:
        if order == _ENABLE:
            self._active = True
        elif order == _DISABLE:
            self._active = False
        elif order == _RESET:
            self._reset()
        elif order in (_NO_SPACES, _SPACES):
            self._no_spaces = order == _NO_SPACES
            self._table[_BLANK] = ord("E" if self._no_spaces else " ")
        self._report()

    def _reset(self) -> None:
        self._active = self._no_spaces = False
        self._second = self._signals = self._literals = 0
        if self._prusa:
            self._table[_BLANK] = ord(" ")

    def _report(self) -> None:
        state = f"[MP] PV01 {'ON' if self._active else 'OFF'} {'NSP' if self._no_spaces else 'ESP'}"
        self._say(f" {state}" if self._prusa else state)


class PackedReceiver(Receiver):
    """A receive buffer with a decoder after it."""

    def __init__(self, config: FirmwareConfig, say: Callable[[str], None]) -> None:
        super().__init__(config)
        self._raw = bytearray()
        self._unpacker = Unpacker(say, prusa=config.speech.lines.seven_bits)

    @property
    def room(self) -> int:
        """Return how many bytes the receive buffer can still take."""
        return self._config.rx_buffer - len(self._raw)

    @property
    def has_bytes(self) -> bool:
        """There are bytes in the buffer."""
        return bool(self._raw or self._buffer)

    @property
    def line_count(self) -> int:
        """Return the number of complete decoded lines; packed ones cannot be counted."""
        return self._buffer.count(b"\n")

    def store(self, data: bytes) -> int:
        """Take bytes from the wire; return how many were lost because the buffer is full."""
        lost = max(0, len(data) - self.room)
        self._raw += data[: len(data) - lost]
        return lost

    def flush(self) -> None:
        """Lose the buffer's content, with flow control only part of it; the decoder is not reset.

        Marlin reads until no character comes (queue.cpp, gcode_line_error), so it stops at a byte that completes none.
        Then it flushes the serial port, which has an effect on an AVR's UART only: over native USB the rest stays.
        """
        self._buffer.clear()
        self._partial = b""
        if self._config.flow_control:
            while self._raw and self._unpacker.take(self._raw.pop(0)):
                pass
        else:
            self._raw.clear()

    def take(self) -> ReceivedLine | LineRefusal | SkippedLine | None:
        """Return the verdict on the next line; None: no line is complete."""
        while True:
            taken = 0
            for byte in self._raw:
                taken += 1
                if self._append(self._unpacker.take(byte)):
                    break
            del self._raw[:taken]
            verdict = super().take()
            if verdict is not None or not self._raw:
                return verdict

    def _append(self, characters: bytes) -> bool:
        """Append characters to the decoded text; tell whether a line has ended."""
        for each in characters:
            if each == _RETURN and self._rules.cr_ends_line:
                self._buffer.append(_NEWLINE)
            elif each != _RETURN and not (self._rules.seven_bits and each > _HIGHEST):
                self._buffer.append(each)
        return b"\n" in self._buffer
