"""MarlinModel: the receiving end of the line protocol as in Marlin 2.0, small enough to read in one go.

It has its own framing, so that a mistake of the project's cannot hide. It has a receive buffer of 128 bytes that drops
what does not fit, a line buffer of 96 bytes, a queue of 4 commands, and flushes the receive buffer at each error:
bytes that have already arrived after a damaged line are lost, later ones are not.
"""

import re
from collections import deque

_COMMAND = re.compile(rb"[GMT]\d")
_LINE_ENDS = b"\r\n"
_MAX_COMMAND = 95


def xor_of(data: bytes) -> int:
    value = 0
    for byte in data:
        value ^= byte
    return value


def valid(line: bytes) -> bool:
    """Tell whether the checksum fits, read as the firmware reads it: `*(` claims 0."""
    body, star, claimed = line.rpartition(b"*")
    return bool(star) and _leading_number(claimed) == xor_of(body)


class MarlinModel:
    """The firmware's end; tests move its clock and let it read and execute."""

    def __init__(
        self, *, advanced_ok: bool = False, silent_repeats: bool = False, rx_size: int = 128, queue: int = 4
    ) -> None:
        self.accepted: list[bytes] = []  # commands, in order
        self.numbers: list[int | None] = []
        self.lines: list[bytes] = []  # the lines of these commands
        self.executed_tails: list[bytes] = []  # commands without a number: the ends of lines whose beginning was lost
        self.out = bytearray()
        self.last = 0
        self.now = 0.0  # unused: it sends no resend request of its own accord
        self.lost = 0  # bytes that did not fit into the receive buffer
        self.flushed = 0  # bytes that were lost at an error
        self._advanced = advanced_ok
        self._silent_repeats = silent_repeats
        self._rx_size = rx_size
        self._rx: deque[int] = deque()
        self._line = bytearray()
        self._size = queue
        self._queue: deque[tuple[int | None, bytes]] = deque()

    @property
    def busy(self) -> bool:
        return bool(self._queue)

    @property
    def waiting(self) -> bool:
        """There are unread bytes in the receive buffer."""
        return bool(self._rx)

    def receive(self, data: bytes) -> None:
        """Receive bytes, and read each at once."""
        for byte in data:
            self.arrive(bytes((byte,)))
            self.read()

    def arrive(self, data: bytes) -> None:
        """Put bytes into the receive buffer, as the interrupt does while the firmware is busy."""
        room = self._rx_size - len(self._rx)
        self._rx += data[:room]
        self.lost += max(0, len(data) - room)

    def read(self) -> None:
        """Read from the receive buffer while the command queue has room."""
        while self._rx and len(self._queue) < self._size:
            byte = self._rx.popleft()
            if byte not in _LINE_ENDS:
                self._line.append(byte)
                continue
            line, self._line = bytes(self._line[:_MAX_COMMAND]).strip(b" "), bytearray()
            if line and not self._take(line):
                self.flushed += len(self._rx)
                self._rx.clear()

    def execute_one(self) -> None:
        if self._queue:
            self._answer(*self._queue.popleft())
            self.read()

    def report(self) -> None:
        """Send an automatic report (M155)."""
        self.out += b" T:200.00 /200.00 B:60.00 /60.00 @:64 B@:20\n"

    def say_busy(self) -> None:
        self.out += b"echo:busy: processing\n"

    def _answer(self, number: int | None, command: bytes) -> None:
        if command.startswith(b"M110 N"):
            self.last = _leading_number(command[6:])  # M110.cpp: once more, when it is executed
        if command.startswith(b"M118 "):
            self.out += command[5:] + b"\r\n"
        if not _COMMAND.match(command):
            self.out += b'echo:Unknown command: "' + command + b'"\n'
        if self._advanced and number is not None:
            self.out += b"ok N%d P15 B%d\n" % (number, self._size - len(self._queue))
        else:
            self.out += b"ok\n"

    def _take(self, line: bytes) -> bool:
        number = None
        body, star, claimed = line.rpartition(b"*")
        if line[:1] == b"N":
            number = _leading_number(line[1:])
            if self._silent_repeats and number in (self.last, self.last - 1) and number > 0:
                return True
            sets = line.find(b"M110 N")
            if sets >= 0:
                number = _leading_number(line[sets + 6 :])  # queue.cpp, get_serial_commands: the second N counts
            elif number != self.last + 1:
                return self._refuse(b"Line Number is not Last Line Number+1")
            if not star:
                return self._refuse(b"No Checksum with line number")
            if _leading_number(claimed) != xor_of(body):
                return self._refuse(b"checksum mismatch")
            self.last = number
        # The checksum is looked for from the end, the command ends at the first star (Marlin's parser.cpp): two
        # lines that an altered line feed has joined, and whose checksum fits by chance, execute as the first.
        text = line.split(b"*", 1)[0]
        command = text if number is None else text[1:].lstrip(b"-+0123456789").lstrip(b" ")
        if number is None and _COMMAND.match(command):
            self.executed_tails.append(line)
        self.accepted.append(command)
        self.numbers.append(number)
        self.lines.append(line)
        self._queue.append((number, command))
        return True

    def _refuse(self, why: bytes) -> bool:
        self.out += b"Error:%s, Last Line: %d\nResend: %d\nok\n" % (why, self.last, self.last + 1)
        return False


def _leading_number(digits: bytes) -> int:
    """Read a number as C's strtol does: blanks and a sign may precede, anything may follow; 0 if there is none."""
    match = re.match(rb"\s*([+-]?\d+)", digits)
    return int(match[1]) if match else 0
