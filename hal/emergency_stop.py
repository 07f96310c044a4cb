"""EmergencyStop: M112 said until the firmware has heard it, or it is plain that it does not.

It has worked when the firmware says that it halted, or boots. Until then the line stays open, whatever has become of
the conversation on it.
"""

import asyncio
from collections.abc import Callable, Collection

from gcode.framing import frame
from gcode.replies import Start, parse

REPEAT = (0.1, 0.3)  # seconds; what was flushed with a torn line before it is gone for good
CONFIRM = 3.0  # seconds; a board boots in less

_LONGEST = 500  # bytes of a line that are looked at
_HALTED = "halted"  # what it says in so many firmwares that it is believed of any


class EmergencyStop:
    """One stop, from its first word to the answer. Nothing here waits."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        write: Callable[[bytes], None],
        ended: Callable[[str, str], None],
        confirmed_by: Collection[str] = (),
    ) -> None:
        """Prepare.

        Args:
            loop: whose timers say it again.
            write: puts bytes on the line at once.
            ended: called once, with severity and text for the user.
            confirmed_by: pieces of lines, in lower case, by which this firmware says that it has stopped.
        """
        self._loop = loop
        self._write = write
        self._ended = ended
        self._confirmed_by = (*confirmed_by, _HALTED)
        self._heard = b""  # the line that is not complete
        self._timers: list[asyncio.TimerHandle] = []

    def begin(self, number: int) -> None:
        """Say it, without a number and with this one: a firmware that counts lines may refuse either."""
        self._stop_timers()
        self._write(b"M112\n" + frame(number, b"M112"))
        # after an overrun the first one ends a torn line, at which Marlin flushes its buffer
        self._timers = [self._loop.call_later(delay, self._write, b"M112\n") for delay in REPEAT]
        self._timers.append(self._loop.call_later(CONFIRM, self.give_up))

    def receive(self, data: bytes) -> None:
        """Take what the printer says, in pieces of any size."""
        *lines, rest = (self._heard + data).split(b"\n")
        self._heard = rest[-_LONGEST:]
        if any(self._confirms(line[:_LONGEST]) for line in (*lines, rest)):
            self._end("info", "the printer has stopped")

    def _confirms(self, line: bytes) -> bool:
        text = line.decode("utf-8", "replace").lower()
        return any(piece in text for piece in self._confirmed_by) or isinstance(parse(line.strip(b"\r\0")), Start)

    def give_up(self) -> None:
        """Wait no longer for the answer."""
        self._end("error", "the printer did not confirm the emergency stop: CUT ITS POWER if it moves or heats")

    def _end(self, severity: str, text: str) -> None:
        self._stop_timers()
        self._ended(severity, text)

    def _stop_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
