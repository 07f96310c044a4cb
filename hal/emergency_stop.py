"""EmergencyStop: M112 said until the firmware has heard it, or it is plain that it does not.

It has worked when the firmware says that it halted, or boots. Until then the line stays open, whatever has become of
the conversation on it.
"""

import asyncio
from collections.abc import Callable

from gcode.framing import frame

REPEAT = (0.1, 0.3)  # seconds; what was flushed with a torn line before it is gone for good
CONFIRM = 3.0  # seconds; a board boots in less

_CONFIRMS = (b"halted", b"start", b"up and running")  # the last one is RepRapFirmware, which has booted
_LONGEST = max(map(len, _CONFIRMS))


class EmergencyStop:
    """One stop, from its first word to the answer. Nothing here waits."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        write: Callable[[bytes], None],
        ended: Callable[[str, str], None],
    ) -> None:
        """Prepare.

        Args:
            loop: whose timers say it again.
            write: puts bytes on the line at once.
            ended: called once, with severity and text for the user.
        """
        self._loop = loop
        self._write = write
        self._ended = ended
        self._heard = b""  # the end of what came since
        self._timers: list[asyncio.TimerHandle] = []

    def begin(self, number: int) -> None:
        """Say it, without a number and with this one: a firmware that counts lines may refuse either."""
        self._write(b"M112\n" + frame(number, b"M112"))
        # after an overrun the first one ends a torn line, at which Marlin flushes its buffer
        self._timers = [self._loop.call_later(delay, self._write, b"M112\n") for delay in REPEAT]
        self._timers.append(self._loop.call_later(CONFIRM, self.give_up))

    def receive(self, data: bytes) -> None:
        """Take what the printer says."""
        heard = self._heard + data  # a word may arrive in two pieces
        self._heard = heard[-_LONGEST:]
        if any(word in heard for word in _CONFIRMS):
            self._end("info", "the printer has stopped")

    def give_up(self) -> None:
        """Wait no longer for the answer."""
        self._end("error", "the printer did not confirm the emergency stop: CUT ITS POWER if it moves or heats")

    def _end(self, severity: str, text: str) -> None:
        for timer in self._timers:
            timer.cancel()
        self._ended(severity, text)
