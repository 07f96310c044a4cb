"""Flood: limits the share of the processor that reading costs, in case a printer never stops talking.

A board on native USB sends as fast as it is read, some 50,000 lines a second. What is not read waits in the board,
which then stops sending; nothing is lost. A UART is too slow for that, and is never delayed.
"""

import asyncio
from collections.abc import Callable
from time import thread_time  # noqa: TID251 - what a piece costs, not when it came; a busy machine is no flood

LARGE = 40
"""The smallest piece, in bytes, that is counted: an `ok` is smaller, and a packet of USB has 64 bytes."""

MAX_LINES = 500
"""Lines in large pieces that may be read within a period."""

MAX_COST_S = 0.015
"""Processor time that large pieces may cost within a period; a temperature report costs as much as eight texts."""

PERIOD = 0.1
"""Length of a period."""


class Flood:
    """Takes the large pieces of one transport, and counts their lines and their cost."""

    def __init__(
        self,
        take: Callable[[bytes], None],
        pause: Callable[[], None],
        resume: Callable[[], None],
        processor_time: Callable[[], float] = thread_time,
    ) -> None:
        """Prepare.

        Args:
            take: reads a piece.
            pause: stops reading.
            resume: starts reading again.
            processor_time: returns the processor seconds so far.
        """
        self._take = take
        self._pause = pause
        self._resume = resume
        self._processor_time = processor_time
        self._loop = asyncio.get_running_loop()
        self._began = 0.0
        self._lines = 0
        self._cost = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False

    def take(self, data: bytes) -> None:
        """Read a large piece, and count it."""
        now = self._loop.time()
        if now - self._began >= PERIOD:
            self._begin(now)
        began = self._processor_time()
        self._take(data)
        self._cost += self._processor_time() - began
        self._lines += data.count(b"\n")
        if (self._lines > MAX_LINES or self._cost > MAX_COST_S) and self._timer is None and not self._stopped:
            self._pause()
            # one piece may cost more than a period allows
            self._timer = self._loop.call_later(PERIOD * max(1.0, self._cost / MAX_COST_S), self._end)

    def _begin(self, now: float) -> None:
        self._began, self._lines, self._cost = now, 0, 0.0

    def _end(self) -> None:
        self._timer = None
        self._begin(self._loop.time())
        self._resume()

    def stop(self) -> None:
        """Never start reading again: the connection is closed."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
