"""RepetierModel: the receiving end of the line protocol as in Repetier 1.0, small enough to read in one go.

By its source (`gcode.cpp`): a line is acknowledged when it has been read, and executed before the next one is. Numbers
are compared modulo 65536, a line that it has already is skipped, a resend request is repeated every 200 ms, and a
checksum is optional.
"""

import re
from collections import deque

from support.marlin import xor_of

_COMMENT = re.compile(rb"[;(%\0]")
_NUMBER = re.compile(rb"N(-?\d+)")
_TEXT = re.compile(rb"M(?:117|118)(?!\d)")
_TIMEOUT = 0.2
_SKIPPED_LINES = 14
_REPEATS = 40


class RepetierModel:
    """A firmware for `support.poor_connection.PoorConnection`, which sets `now`."""

    def __init__(self, last: int = 0, rx_size: int = 128) -> None:
        self.accepted: list[bytes] = []
        self.numbers: list[int | None] = []
        self.lines: list[bytes] = []
        self.checked: list[bool] = []  # whether a line had a checksum
        self.out = bytearray()
        self.last = last
        self.lost = 0
        self.now = 0.0
        self.requests = 0
        self._rx_size = rx_size
        self._rx: deque[int] = deque()
        self._line = bytearray()
        self._running: bytes | None = None
        self._heard = 0.0
        self._lines_to_skip = -1  # 0 and more: a resend request is open

    @property
    def busy(self) -> bool:
        return self._running is not None

    @property
    def waiting(self) -> bool:
        """There are unread bytes, or a resend request will be repeated."""
        return bool(self._rx or self._line) or self._lines_to_skip >= 0

    def arrive(self, data: bytes) -> None:
        room = self._rx_size - len(self._rx)
        self._rx += data[:room]
        self.lost += max(0, len(data) - room)

    def read(self) -> None:
        while self._rx and self._running is None:
            self._heard = self.now
            byte = self._rx.popleft()
            if byte not in b"\r\n":
                self._line.append(byte)
                continue
            line, self._line = bytes(self._line), bytearray()
            if line:
                self._take(line)
        if self._running is None and self.waiting and self.now - self._heard > _TIMEOUT:
            self._ask()

    def execute_one(self) -> None:
        command, self._running = self._running or b"", None
        self._heard = self.now
        if command.startswith(b"M118 "):
            self.out += command[5:].split()[0] + b"\r\n" if command[5:].split() else b"\r\n"
        elif command.startswith(b"M105"):
            self.report()
        elif command.startswith(b"M114"):
            self.out += b"X:0.00 Y:0.00 Z:0.000 E:0.0000\r\n"
        elif not command.startswith((b"G1 ", b"M400", b"M84", b"M117", b"M118")):
            self.out += b"Unknown command:" + command + b"\r\n"
        self.read()

    def report(self) -> None:
        self.out += b"T:200.00 /200 B:60.00 /60 B@:0 @:0\r\n"

    def say_busy(self) -> None:
        self.out += b"busy:processing\r\n"

    def _ask(self) -> None:
        self.requests += 1
        self._line.clear()
        self._lines_to_skip = _SKIPPED_LINES
        self._heard = self.now
        self.out += b"\r\nResend:%d\r\nok\r\n" % (self.last + 1)

    def _take(self, line: bytes) -> None:
        shown = _COMMENT.split(line, maxsplit=1)[0]
        text = _TEXT.search(shown)
        body, star, claimed = (shown[: text.end()] if text else shown).partition(b"*")
        digits = re.match(rb"\s*\d+", claimed)
        if star and int(digits[0] if digits else 0) % 256 != xor_of(body):
            self.out += b"Error:Wrong checksum\r\n"
            self._ask()
            return
        numbers = _NUMBER.findall(body)
        number = int(numbers[-1]) if numbers else None
        if number is not None and (number - self.last - 1) % 65536:
            self._wrong_number(number)
            return
        if number is not None:
            self.last = number
        command = re.sub(rb"^(?:\s*N-?\d*)+\s*", b"", shown.partition(b"*")[0] if text else body)
        self._lines_to_skip = -1
        self.out += b"ok %d\r\n" % self.last
        self._running = command
        self.accepted.append(command)
        self.numbers.append(number)
        self.lines.append(line)
        self.checked.append(bool(star) and text is None)

    def _wrong_number(self, number: int) -> None:
        if (self.last - number) % 65536 < _REPEATS or self._lines_to_skip >= 0:
            self._lines_to_skip -= (self.last - number) % 65536 >= _REPEATS
            self.out += b"skip %d\r\nok\r\n" % number
            return
        self.out += b"Error:expected line %d got %d\r\n" % (self.last + 1, number)
        self._ask()
