"""Complaints: what the firmware says is wrong, and what follows: an end, a line of the job refused, or nothing."""

import re

from gcode.consequence import consequence
from gcode.dialect import Dialect
from gcode.errors import FirmwareHalted
from gcode.outgoing import RefusedLine
from gcode.replies import FirmwareError, Reply, Resend, Text, parse

SAID_BEFORE = 2.0
"""Seconds for which what the firmware has said may be the reason for its stopping."""

REASON_TIMEOUT = 1.0
"""Seconds to wait for the reason for which a firmware has halted."""

_ERROR_HEAD = re.compile(rb"\s*Error:\s*\d+\s*")


class Complaints:
    """Follows what the firmware says.

    Attributes:
        halted_until: how long the reason is waited for, of a firmware that has halted without one; None: it has not.
        refusal: to be told, unless a request to resend is next.
    """

    def __init__(self) -> None:
        self.halted_until: float | None = None
        self.refusal: RefusedLine | None = None
        self._halted = ""  # what it said as it halted
        self._said, self._said_at = "", 0.0  # the last text of the firmware's own, and when it came
        self._head = b""  # of an error that goes on in the next line

    def parse(self, line: bytes) -> Reply:
        """Parse a line; an error that was split (`Error:0`, then `: Extruder switched off. …`) is put together."""
        head, self._head = self._head, b""
        if head and line.lstrip().startswith(b":"):
            line = head + line.lstrip()
        elif _ERROR_HEAD.fullmatch(line):
            self._head = line.strip()
            return Text(line.decode())
        return parse(line)

    def settle(self, reply: Reply) -> RefusedLine | None:
        """Return the refusal that stands, now that it is known what came behind it."""
        refusal, self.refusal = self.refusal, None
        # a request behind an error: the line did not arrive well, in words that nobody knows
        return None if isinstance(reply, Resend) else refusal

    def note(self, reply: Reply, dialect: Dialect, line: tuple[bytes, int] | None, now: float) -> bytes | None:
        """Follow a reply.

        Args:
            reply: that has come.
            dialect: of the firmware.
            line: command and offset of the job's line that it answers; None where it answers none.
            now: the time.

        Returns:
            The command that asks for the reason, of a firmware that has halted without one.

        Raises:
            FirmwareHalted: it does nothing any more.
        """
        if self.halted_until is not None and isinstance(reply, FirmwareError):
            raise FirmwareHalted(f"the firmware stopped: {reply.text or self._halted}{dialect.errors.remedy}")
        follows = consequence(dialect, reply)
        if follows == "halt":
            return self._on_halt(reply, dialect, now)
        if follows == "refusal" and line is not None:
            self.refusal = RefusedLine(reply.line.strip(), *line)
        if isinstance(reply, FirmwareError | Text):
            self._said, self._said_at = reply.line.strip(), now
        return None

    def _on_halt(self, reply: Reply, dialect: Dialect, now: float) -> bytes | None:
        asked_by = dialect.errors.asked_by
        if isinstance(reply, FirmwareError) or asked_by is None:
            before = f" (before that: {self._said})" if self._said and now - self._said_at < SAID_BEFORE else ""
            text = reply.text if isinstance(reply, FirmwareError) else reply.line.strip()
            text = text or f"it says {reply.line.strip()!r} and does nothing until it is reset"
            raise FirmwareHalted(f"the firmware stopped: {text}{before}{dialect.errors.remedy}")
        if self.halted_until is not None:
            return None
        self._halted, self.halted_until = reply.line.strip(), now + REASON_TIMEOUT
        return asked_by

    def no_reason(self, dialect: Dialect) -> FirmwareHalted:
        """Return the end of the conversation with a firmware that has not told why it has halted."""
        return FirmwareHalted(f"the firmware stopped: {self._halted}{dialect.errors.remedy}")
