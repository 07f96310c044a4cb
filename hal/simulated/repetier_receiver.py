"""Repetier's receiving side: line numbers modulo 65536, checksums optional, lines after a bad one skipped.

It follows the source (gcode.cpp of 1.0.4: readFromSerial, parseAscii, checkAndPushCommand) and recorded dialogues
(repetier-1.0.4-lines.txt). Damage that hides the `*` goes unnoticed: `(` and `%` begin a comment, as `;` does.
"""

import re

from gcode.framing import checksum
from hal.simulated.config import FirmwareConfig
from hal.simulated.receiver import LineRefusal, ReceivedLine, Receiver, SkippedLine

_NUMBERS = 1 << 16  # different line numbers
_REPEATS = 40  # a number less than this far behind the last one is that of a repeated line
_MAX_SKIPPED = 15  # wrong lines that are skipped after a resend request until the request is repeated

_COMMENT = re.compile(rb"[(%\0]")
_TEXT = re.compile(
    rb"[Mm](?:20|23|28|29|30|32|36|117|118|531)(?!\d)"
)  # their text ends at a `*`, which is not a checksum
_ONE_WORD = re.compile(r"([Mm](?:23|28|29|30|32|36|118)(?!\d)\s*\S*)")  # the firmware reads one word of their text
_NUMBER = re.compile(rb"[Nn]\s*(-?\d+)")
_LEADING_NUMBERS = re.compile(r"(?:\s*[Nn]\s*-?\d*)+\s*")


class RepetierReceiver(Receiver):
    """The receive buffer, and Repetier's verdict on each line in it."""

    def __init__(self, config: FirmwareConfig) -> None:
        super().__init__(config)
        self._in_comment = False
        self._skips_left: int | None = None  # wrong lines still to be skipped; None: no resend request is open

    @property
    def is_incomplete(self) -> bool:
        """A line is incomplete, or a requested line has not come."""
        return bool(self._partial) or self._skips_left is not None

    def note_request(self) -> None:
        """Note that a resend request was sent."""
        self._partial = b""
        self._skips_left = _MAX_SKIPPED

    def take(self) -> ReceivedLine | LineRefusal | SkippedLine | None:
        """Return the verdict on the next line in the buffer; None: no line is complete."""
        while self._buffer:
            if self._append(end := self._buffer.find(b"\n")):
                return LineRefusal("too long")
            if end < 0:
                return None
            line, self._partial, self._in_comment = self._partial, b"", False
            if line and (verdict := self._verdict(line)):
                return verdict
        return None

    def _append(self, end: int) -> bool:
        """Move bytes up to the line's end from the buffer; tell whether the line is too long, and was cut."""
        piece = bytes(self._buffer if end < 0 else self._buffer[:end])
        code, comment, _ = piece.partition(b";")
        room = self._rules.max_line - len(self._partial)
        if not self._in_comment and len(code) >= room:
            del self._buffer[:room]
            self._partial = b""
            return True
        del self._buffer[: len(self._buffer) if end < 0 else end + 1]
        if not self._in_comment:
            self._partial += code
            self._in_comment = bool(comment) and end < 0
        return False

    def _verdict(self, line: bytes) -> ReceivedLine | LineRefusal | SkippedLine | None:
        code = _COMMENT.split(line, maxsplit=1)[0]
        text = _TEXT.search(code)
        head = code[: text.end()] if text else code
        body, star, digits = head.partition(b"*")
        numbers = _NUMBER.findall(body)
        if numbers:
            self.last_seen = int(numbers[-1])
        if star and int(match[0] if (match := re.match(rb"\s*\d+", digits)) else 0) % 256 != checksum(body):
            return LineRefusal("checksum mismatch", checksum(body))
        command = (body if text is None else code.partition(b"*")[0]).decode("ascii", "replace")
        return self._verify_number(bool(numbers), _LEADING_NUMBERS.sub("", command, count=1).strip())

    def _verify_number(self, numbered: bool, command: str) -> ReceivedLine | LineRefusal | SkippedLine:
        number = self.last_seen if numbered else None
        if command.upper().startswith("M110"):
            self.last_number, self._skips_left = self.last_seen, None
            return ReceivedLine(number, command)
        if number is not None and (number - self.last_number - 1) % _NUMBERS:
            return self._wrong_number(number)
        if number is not None:
            self.last_number = number
        self._skips_left = None
        return ReceivedLine(number, one_word[1] if (one_word := _ONE_WORD.match(command)) else command)

    def _wrong_number(self, number: int) -> LineRefusal | SkippedLine:
        if (self.last_number - number) % _NUMBERS < _REPEATS:
            return SkippedLine(number)
        if self._skips_left is None:
            return LineRefusal("Line Number is not Last Line Number+1", number=number)
        self._skips_left = self._skips_left - 1 or None
        return SkippedLine(number)
