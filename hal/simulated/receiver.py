"""The receiving side of a firmware: bytes → lines whose number and checksum were verified.

As Marlin does it (queue.cpp, get_serial_commands): a receive buffer that loses what does not fit, lines cut at
95 characters, the number verified before the checksum.
"""

import re
from dataclasses import dataclass

from gcode.framing import checksum
from hal.simulated.config import FirmwareConfig

MAX_LINE = 95  # MAX_CMD_SIZE 96, less the NUL at its end

_NUMBER = re.compile(rb"N\s*([+-]?\d*)\s*")
_LEADING_INTEGER = re.compile(rb"\s*([+-]?\d+)")
_LINE_ENDS = bytes.maketrans(b"\r", b"\n")


@dataclass(frozen=True, slots=True)
class Line:
    """A line to be executed; `number` as it stands in the line, None where there is none."""

    number: int | None
    command: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line to be sent again."""

    reason: str


class Receiver:
    """The receive buffer and what takes lines out of it."""

    def __init__(self, config: FirmwareConfig) -> None:
        self._config = config
        self._buffer = bytearray()
        self._begun = b""  # of a line whose end is not there yet
        self.last_number = 0

    @property
    def room(self) -> int:
        """Return how many bytes the receive buffer can still take."""
        return self._config.rx_buffer - len(self._buffer)

    @property
    def waiting(self) -> int:
        """Return how many complete lines wait in the buffer."""
        return self._buffer.count(b"\n")

    def store(self, data: bytes) -> int:
        """Take bytes from the wire; return how many were lost because the buffer is full."""
        room = self.room
        self._buffer += data[:room].translate(_LINE_ENDS)
        return max(0, len(data) - room)

    def flush(self) -> None:
        """Lose what is in the buffer."""
        self._buffer.clear()
        self._begun = b""

    def take(self) -> Line | Refusal | None:
        """Return what the next line in the buffer says, None when none is complete."""
        while (end := self._buffer.find(b"\n")) >= 0:
            raw = self._begun + self._buffer[:end]
            del self._buffer[: end + 1]
            self._begun = b""
            line = bytes(raw[: MAX_LINE + 1].partition(b";")[0][:MAX_LINE])
            if line and (verdict := self._verify(line.partition(b"\0")[0].lstrip(b" "))):
                return verdict
        # The firmware reads byte by byte: the beginning of a line does not stay in the buffer.
        self._begun = (self._begun + self._buffer)[: MAX_LINE + 1]
        self._buffer.clear()
        return None

    def _verify(self, line: bytes) -> Line | Refusal | None:
        if not line.startswith(b"N"):
            return Line(None, _without_checksum(line))
        number = self._number(line)
        own = b"M110" in line
        if number != self.last_number + 1 and not own:
            if self._config.marlin21 and self.last_number - 1 <= number <= self.last_number:
                return None
            return Refusal("Line Number is not Last Line Number+1")
        body, star, digits = line.rpartition(b"*")
        if not star:
            return Refusal("No Checksum with line number")
        if _integer(digits) != checksum(body):
            return Refusal("checksum mismatch")
        self.last_number = number
        return _numbered(line)

    def _number(self, line: bytes) -> int:
        """Return the number that counts: in `N0 M110 N50` it is the second one."""
        command = line.find(b"M110")
        second = line.find(b"N", command) if command >= 0 else -1
        return _integer(line[max(second, 0) + 1 :])


def _integer(text: bytes) -> int:
    match = _LEADING_INTEGER.match(text)
    return int(match[1]) if match else 0


def _numbered(line: bytes) -> Line:
    match = _NUMBER.match(line)
    rest = line[match.end() :] if match else b""
    return Line(_integer(line[1:]), _without_checksum(rest))


def _without_checksum(line: bytes) -> str:
    command, star, _ = line.partition(b"*")
    if star and not command.strip():  # Marlin finds no command before the star and shows it as unknown
        command = line
    return command.rstrip(b" ").decode("ascii", "replace")
