"""ErrorTracker: what follows from an error of the firmware: the end, a refused line of the job, or nothing."""

import re

from gcode.consequence import consequence
from gcode.dialect import Dialect
from gcode.errors import FirmwareHalted
from gcode.outgoing import RefusedLine
from gcode.replies import FirmwareError, Reply, Resend, Text, parse

REASON_AGE_S = 2.0
"""Seconds for which a text of the firmware may be the reason for a halt that follows it."""

REASON_TIMEOUT = 1.0
"""Seconds to wait for the reason after asking a halted firmware for it."""

_ERROR_HEAD = re.compile(rb"\s*Error:\s*\d+\s*")


class ErrorTracker:
    """Follows the replies for errors, and for the reason of a halt.

    Attributes:
        reason_due: when the wait for the reason of a halt ends; None: no reason is awaited.
        refusal: a refused line of the job, which is reported unless a resend request comes next.
    """

    def __init__(self) -> None:
        self.reason_due: float | None = None
        self.refusal: RefusedLine | None = None
        self._halt = ""  # the line by which the firmware halted
        self._text, self._text_at = "", 0.0  # its last text or error, and when it came
        self._head = b""  # of an error that continues in the next line

    def parse(self, line: bytes) -> Reply:
        """Parse a line; join an error that was split in two (`Error:0`, then `: Extruder switched off. …`)."""
        head, self._head = self._head, b""
        if head and line.lstrip().startswith(b":"):
            line = head + line.lstrip()
        elif _ERROR_HEAD.fullmatch(line):
            self._head = line.strip()
            return Text(line.decode())
        return parse(line)

    def settle(self, reply: Reply) -> RefusedLine | None:
        """Return the refusal noted last, unless this reply shows that it was no refusal."""
        refusal, self.refusal = self.refusal, None
        # an unknown error before a resend request was this firmware's text for a damaged line
        return None if isinstance(reply, Resend) else refusal

    def note(self, reply: Reply, dialect: Dialect, line: tuple[bytes, int] | None, now: float) -> bytes | None:
        """Follow a reply.

        Args:
            reply: the reply that has come.
            dialect: of the firmware.
            line: command and offset of the job's line that the reply answers; None: it answers none.
            now: the time.

        Returns:
            The command that asks for the reason, if the firmware has halted without giving one.

        Raises:
            FirmwareHalted: the firmware obeys nothing until it is reset or revived.
        """
        if self.reason_due is not None and isinstance(reply, FirmwareError):
            raise FirmwareHalted(f"the firmware has halted: {reply.text or self._halt}{dialect.errors.remedy}")
        follows = consequence(dialect, reply)
        if follows == "halt":
            return self._on_halt(reply, dialect, now)
        if follows == "refusal" and line is not None:
            self.refusal = RefusedLine(reply.line.strip(), *line)
        if isinstance(reply, FirmwareError | Text):
            self._text, self._text_at = reply.line.strip(), now
        return None

    def _on_halt(self, reply: Reply, dialect: Dialect, now: float) -> bytes | None:
        query = dialect.errors.reason_query
        if isinstance(reply, FirmwareError) or query is None:
            before = f" (before that: {self._text})" if self._text and now - self._text_at < REASON_AGE_S else ""
            text = reply.text if isinstance(reply, FirmwareError) else reply.line.strip()
            text = text or f"it says {reply.line.strip()!r} and does nothing until it is reset"
            raise FirmwareHalted(f"the firmware has halted: {text}{before}{dialect.errors.remedy}")
        if self.reason_due is not None:
            return None
        self._halt, self.reason_due = reply.line.strip(), now + REASON_TIMEOUT
        return query

    def error_without_reason(self, dialect: Dialect) -> FirmwareHalted:
        """Return the error that ends the conversation with a firmware that did not say why it halted."""
        return FirmwareHalted(f"the firmware has halted: {self._halt}{dialect.errors.remedy}")
