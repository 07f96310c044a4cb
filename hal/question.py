"""RepeatedQuestion: a command that is asked again and again, but never while the last one is unanswered."""

import asyncio
from collections.abc import Callable

from gcode.outgoing import Ticket


class RepeatedQuestion:
    """One such command, and the timer for the next time."""

    def __init__(self, command: bytes, send: Callable[[Ticket], None], interval: Callable[[], float | None]) -> None:
        """Prepare; nothing is asked yet.

        Args:
            command: what to ask.
            send: puts it on the wire.
            interval: seconds to the next time; None: it is not to be asked.
        """
        self._command = command
        self._send = send
        self._interval = interval
        self._loop = asyncio.get_running_loop()
        self._asked: Ticket | None = None
        self._timer: asyncio.TimerHandle | None = None

    def ask(self) -> None:
        """Send the command unless it is unanswered, and set the timer for the next time."""
        if self._asked is None or self._asked.done:
            self._asked = Ticket(self._command)
            self._send(self._asked)
        self.ask_later()

    def ask_later(self) -> None:
        """Set the timer anew: the interval may have changed."""
        self.stop()
        interval = self._interval()
        if interval is not None:
            self._timer = self._loop.call_later(interval, self.ask)

    @property
    def scheduled(self) -> bool:
        """It will be asked again."""
        return self._timer is not None

    def stop(self) -> None:
        """Ask no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
