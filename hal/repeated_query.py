"""RepeatedQuery: a command that is sent periodically, but never while the previous one is unanswered."""

import asyncio
from collections.abc import Callable

from gcode.outgoing import Ticket


class RepeatedQuery:
    """One such command, and the timer for the next time."""

    def __init__(self, command: bytes, send: Callable[[Ticket], None], interval: Callable[[], float | None]) -> None:
        """Prepare; nothing is sent yet.

        Args:
            command: to send.
            send: puts it on the wire.
            interval: returns the seconds to the next time; None: it is not sent again.
        """
        self._command = command
        self._send = send
        self._interval = interval
        self._loop = asyncio.get_running_loop()
        self._ticket: Ticket | None = None
        self._timer: asyncio.TimerHandle | None = None

    def query(self) -> None:
        """Send the command unless it is unanswered, and set the timer for the next time."""
        if self._ticket is None or self._ticket.done:
            self._ticket = Ticket(self._command)
            self._send(self._ticket)
        self.query_later()

    def query_later(self) -> None:
        """Set the timer again: the interval may have changed."""
        self.stop()
        interval = self._interval()
        if interval is not None:
            self._timer = self._loop.call_later(interval, self.query)

    @property
    def is_scheduled(self) -> bool:
        """The command will be sent again."""
        return self._timer is not None

    def stop(self) -> None:
        """Stop sending the command."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
