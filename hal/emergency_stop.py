"""EmergencyStop: sends M112 several times, and finds out whether the firmware has stopped.

The firmware confirms the stop, or the board boots. The port stays open until then, at most for CONFIRM_TIMEOUT,
even though the conversation has ended. A stop that is requested again gets that time again, but only once: a user who
keeps pressing the button must not put off the warning that the printer did not confirm.
"""

import asyncio
from collections.abc import Callable

from gcode.consequence import confirms_stop
from gcode.dialect import UNKNOWN, Dialect
from gcode.framing import frame
from gcode.replies import parse
from hal.printer import Severity

REPEAT_DELAYS_S = (0.1, 0.3)  # until M112 is sent again: the first may be flushed with a torn line before it
CONFIRM_TIMEOUT = 3.0  # for the confirmation; a board boots in less

_MAX_REPLY = 500  # bytes that are parsed of each line


class EmergencyStop:
    """One stop, from the first M112 to its confirmation. Nothing here blocks."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        write: Callable[[bytes], None],
        on_end: Callable[[Severity, str], None],
        dialect: Dialect = UNKNOWN,
        decoder_reset: bytes = b"",
    ) -> None:
        """Prepare.

        Args:
            loop: for the timers.
            write: puts bytes on the wire at once.
            on_end: called once, with severity and text for the user.
            dialect: of the firmware, if it is known. The confirmation of any firmware counts.
            decoder_reset: the bytes to send before M112 if the firmware may be waiting for packed ones.
        """
        self._loop = loop
        self._write = write
        self._on_end = on_end
        self._silent = dialect.silent_stop
        # EMERGENCY_PARSER takes the order to the decoder for the beginning of a line, so a line feed comes before M112
        self._stop = (decoder_reset + b"\n" if decoder_reset else b"") + b"M112\n"
        self._partial = b""  # the incomplete line
        self._give_up_by: float | None = None  # the loop's time, however often the stop is sent again
        self._timers: list[asyncio.TimerHandle] = []

    def begin(self, number: int) -> None:
        """Send M112 without a line number, and again with this one: a firmware may refuse either."""
        self._stop_timers()
        self._write(self._stop + frame(number, b"M112"))
        # after an overrun, the first M112 ends a torn line, and Marlin then flushes its buffer
        self._timers = [self._loop.call_later(delay, self._write, self._stop) for delay in REPEAT_DELAYS_S]
        now = self._loop.time()
        if self._give_up_by is None:
            self._give_up_by = now + 2 * CONFIRM_TIMEOUT
        self._timers.append(self._loop.call_at(min(now + CONFIRM_TIMEOUT, self._give_up_by), self.give_up))

    def receive(self, data: bytes) -> None:
        """Take bytes from the printer."""
        *lines, partial = (self._partial + data).split(b"\n")
        self._partial = partial[-_MAX_REPLY:]
        if any(self._confirms(line[:_MAX_REPLY]) for line in (*lines, partial)):
            self._end("info", "the printer has stopped")

    def _confirms(self, line: bytes) -> bool:
        return confirms_stop(UNKNOWN, parse(line.strip(b"\r\0")))

    def give_up(self) -> None:
        """Stop waiting for the confirmation, and tell the user."""
        reason = (
            "this firmware never confirms an emergency stop" if self._silent else "the printer did not confirm the stop"
        )
        self._end("error", f"{reason}: CUT THE PRINTER'S POWER if it moves or heats")

    def _end(self, severity: Severity, text: str) -> None:
        self._stop_timers()
        self._on_end(severity, text)

    def _stop_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
