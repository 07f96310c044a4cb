"""Flood: a printer that never stops talking is read in portions, so that it costs a bounded share of the processor.

A board on native USB sends as fast as it is read, some 50,000 lines a second. What is not read waits in the board,
which stops talking; nothing is lost. A UART cannot send that much, and is never held up.
"""

import asyncio
from collections.abc import Callable

LARGE = 40
"""Bytes of a piece from which on it is looked at: an `ok` costs nothing here, a packet of USB has 64."""

PORTION = 500
"""Lines in large pieces that are taken within PERIOD."""

PERIOD = 0.1
"""Seconds for a portion."""


class Flood:
    """Counts the lines of one transport."""

    def __init__(self, hold: Callable[[], None], go_on: Callable[[], None]) -> None:
        """Prepare; `hold` stops the reading, `go_on` begins it again."""
        self._hold = hold
        self._go_on = go_on
        self._loop = asyncio.get_running_loop()
        self._began = 0.0
        self._lines = 0
        self._timer: asyncio.TimerHandle | None = None

    def note(self, data: bytes) -> None:
        """Take note of a large piece."""
        now = self._loop.time()
        if now - self._began >= PERIOD:
            self._began, self._lines = now, 0
        self._lines += data.count(b"\n")
        if self._lines > PORTION and self._timer is None:
            self._hold()
            self._timer = self._loop.call_later(PERIOD, self._end)

    def _end(self) -> None:
        self._timer = None
        self._began, self._lines = self._loop.time(), 0
        self._go_on()

    def stop(self) -> None:
        """Forget it: the line is closed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
