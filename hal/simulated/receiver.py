"""The receiving side of a firmware: bytes → lines whose number and checksum were verified.

It follows Marlin's queue.cpp, get_serial_commands: a receive buffer that loses what does not fit, lines cut at 95
characters, the number verified before the checksum. Where other firmwares differ, their `Speech` says so.
"""

import re
from typing import NamedTuple

from gcode.framing import checksum
from gcode.frozen import frozen
from hal.simulated.config import FirmwareConfig

_PLAIN_LINE = re.compile(rb"N(\d+) ?([^ *;\0\d][^*;\0]*)\*(\d+)")  # the usual form of a line with number and checksum
_NUMBER = re.compile(rb"N\s*([+-]?\d*)\s*")
_LEADING_INTEGER = re.compile(rb"\s*([+-]?\d+)")
_ESCAPE = re.compile(rb"\\(.?)")
_PARENTHESES = re.compile(rb"\([^)]*\)")
_LINE_ENDS = bytes.maketrans(b"\r", b"\n")
_HIGH = bytes(range(128, 256))
_NO_TEXT = bytes(each for each in range(256) if not 0x20 <= each < 0x7F)  # noqa: PLR2004 - ASCII's printable range


class ReceivedLine(NamedTuple):
    """A line to be executed; `number` is the one in the line; None: the line has none.

    A `quiet` line comes from the SD card or the firmware itself, and gets no `ok`.
    """

    number: int | None
    command: str
    quiet: bool = False


@frozen
class LineRefusal:
    """A refused line; `checksum` is the right one, `number` the one in the line."""

    reason: str
    checksum: int = 0
    number: int = 0


@frozen
class SkippedLine:
    """A line that is answered and not executed: it was accepted before, or it follows a refused line (Repetier)."""

    number: int


class Receiver:
    """The receive buffer, and the verdict on each line in it."""

    def __init__(self, config: FirmwareConfig) -> None:
        self._config = config
        self._rules = config.speech.lines
        self._buffer = bytearray()
        self._partial = b""  # the beginning of an incomplete line
        self._line_ends = bytes.maketrans(self._rules.line_end_bytes, b"\n" * len(self._rules.line_end_bytes))
        self.last_number = 0  # of the last accepted line
        self.last_seen = 0  # the number in the last line, accepted or not (Repetier)

    @property
    def room(self) -> int:
        """Return how many bytes the receive buffer can still take."""
        return self._config.rx_buffer - len(self._buffer)

    @property
    def has_bytes(self) -> bool:
        """There are bytes in the buffer."""
        return bool(self._buffer)

    @property
    def line_count(self) -> int:
        """Return the number of complete lines in the buffer."""
        return self._buffer.count(b"\n")

    @property
    def is_incomplete(self) -> bool:
        """A line has begun and not ended."""
        return bool(self._partial)

    def note_request(self) -> None:
        """Note that a resend request was sent."""

    def forget_partial(self) -> None:
        """Lose the incomplete line."""
        self._partial = b""

    def store(self, data: bytes) -> int:
        """Take bytes from the wire; return how many were lost because the buffer is full."""
        lost = max(0, len(data) - self.room)
        if lost:
            data = data[: self.room]
        if b"\r" in data:
            data = data.translate(_LINE_ENDS) if self._rules.cr_ends_line else data.replace(b"\r", b"")
        if self._rules.line_end_bytes:
            data = data.translate(self._line_ends)
        if self._rules.seven_bits:
            data = data.translate(None, _HIGH)
        self._buffer += data
        return lost

    def flush(self) -> None:
        """Lose the buffer's content."""
        self._buffer.clear()
        self._partial = b""

    def take(self) -> ReceivedLine | LineRefusal | SkippedLine | None:
        """Return the verdict on the next line in the buffer; None: no line is complete."""
        max_line = self._rules.max_line
        while (end := self._end()) >= 0:
            raw = self._partial + self._buffer[:end]
            del self._buffer[: end + 1]
            self._partial = b""
            if plain_line := self._plain_line(raw):
                return plain_line
            raw = _ESCAPE.sub(rb"\1", raw) if self._rules.strips_backslashes and b"\\" in raw else raw
            line = bytes(raw[: max_line + 1].partition(b";")[0][:max_line])
            if (line or self._rules.answers_blank_lines) and (verdict := self._verify(self._strip(line))):
                return verdict
        if self._buffer:
            # the firmware reads byte by byte, so an incomplete line does not stay in the buffer
            self._partial = (self._partial + self._buffer)[: max_line + 1]
            self._buffer.clear()
        return None

    def _end(self) -> int:
        """Return where the next line in the buffer ends; -1: it is incomplete."""
        end = self._buffer.find(b"\n")
        if not self._rules.splits_long_lines:
            return end
        room = self._rules.max_line - len(self._partial)
        if b";" in self._partial or 0 <= end <= room or len(self._buffer) <= room or b";" in self._buffer[:room]:
            return end
        self._buffer.insert(room, 10)  # the line is split here
        return room

    def _plain_line(self, raw: bytes) -> ReceivedLine | None:
        """Return a line that is plainly the next one, as nearly all are; None: it needs the full check."""
        if len(raw) > self._rules.max_line or self._rules.numbers != "enforced" or b"\\" in raw:
            return None
        match = _PLAIN_LINE.fullmatch(raw)
        if match is None or b"M110" in raw:
            return None
        number, command, digits = match.groups()
        if int(number) != self.last_number + 1 or checksum(raw[: match.end(2)]) != int(digits):
            return None
        self.last_number += 1
        return ReceivedLine(self.last_number, command.rstrip(b" ").decode("ascii", "replace"))

    def _strip(self, line: bytes) -> bytes:
        """Return the line as the firmware interprets it."""
        if self._rules.lenient:
            line = _PARENTHESES.sub(b"", line).translate(None, _NO_TEXT)
        return line.partition(b"\0")[0].lstrip(b" ")

    def _verify(self, line: bytes) -> ReceivedLine | LineRefusal | SkippedLine | None:
        if self._rules.numbers == "enforced":
            numbered = b"N" in line if self._rules.number_anywhere else line.startswith(b"N")
            return self._verify_all(line) if numbered else self._verify_bare(line)
        return self._verify_checksum(line) if self._rules.numbers == "checked" else _unverified_line(line)

    def _verify_bare(self, line: bytes) -> ReceivedLine | LineRefusal:
        if self._rules.refuses_bare_checksum and b"*" in line:
            return LineRefusal("No Line Number with checksum")
        return ReceivedLine(None, _without_checksum(line))

    def _verify_all(self, line: bytes) -> ReceivedLine | LineRefusal | SkippedLine | None:
        number = self._number(line) if b"M110" in line else _integer(line[line.find(b"N") + 1 :])
        if number != self.last_number + 1 and b"M110" not in line:
            return self._wrong_number(number)
        body, star, digits = line.partition(b"*") if self._rules.checksum_at_first_star else line.rpartition(b"*")
        if not star:
            return LineRefusal("No Checksum with line number")
        if _integer(digits) != checksum(body):
            return LineRefusal("checksum mismatch", checksum(body))
        self.last_number = number
        return _numbered_line(line)

    def _wrong_number(self, number: int) -> LineRefusal | SkippedLine | None:
        if self._config.marlin21 and self.last_number - 1 <= number <= self.last_number:
            return None  # dropped without an answer (marlin-2.1-plain-lines.txt)
        if self._rules.repeat_answer and number <= self.last_number:
            return SkippedLine(number)
        return LineRefusal("Line Number is not Last Line Number+1", number=number)

    def _verify_checksum(self, line: bytes) -> ReceivedLine | LineRefusal:
        body, star, digits = line.rpartition(b"*")
        if star and _integer(digits) != checksum(body):
            return LineRefusal("checksum mismatch", checksum(body))
        if line.startswith(b"N"):
            self.last_number = self._number(line)
        return _unverified_line(line)

    def _number(self, line: bytes) -> int:
        """Return the line's number; in `N0 M110 N50` it is the second one."""
        if self._rules.number_anywhere:
            return _integer(line[line.find(b"N") + 1 :])
        command = line.find(b"M110")
        second = line.find(b"N", command) if command >= 0 else -1
        return _integer(line[max(second, 0) + 1 :])


def _unverified_line(line: bytes) -> ReceivedLine:
    return _numbered_line(line) if line.startswith(b"N") else ReceivedLine(None, _without_checksum(line))


def _integer(text: bytes) -> int:
    match = _LEADING_INTEGER.match(text)
    return int(match[1]) if match else 0


def _numbered_line(line: bytes) -> ReceivedLine:
    match = _NUMBER.match(line)
    text = line[match.end() :] if match else b""
    return ReceivedLine(_integer(line[1:]), _without_checksum(text))


def _without_checksum(line: bytes) -> str:
    command, star, _ = line.partition(b"*")
    if star and not command.strip():  # Marlin finds no command before the star, and reports the whole line as unknown
        command = line
    return command.rstrip(b" ").decode("ascii", "replace")
