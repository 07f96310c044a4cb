"""Flood: reads a printer in portions if it never stops talking, so that it costs a limited share of the processor.

A board on native USB sends as fast as it is read, some 50,000 lines a second. What is not read waits in the board,
which then stops sending; nothing is lost. A UART cannot send that much, and is never delayed.
"""

import asyncio
from collections.abc import Callable
from time import thread_time  # noqa: TID251 - what a piece costs, not when it came; a busy machine is no flood

LARGE = 40
"""Bytes from which on a piece is counted: an `ok` costs nothing here, and a packet of USB has 64 bytes."""

PORTION = 500
"""Lines in large pieces that may be read within PERIOD."""

COST = 0.015
"""Processor seconds that large pieces may cost within PERIOD; a temperature report costs as much as eight texts."""

PERIOD = 0.1
"""Seconds of a portion."""


class Flood:
    """Takes the large pieces of one transport, and counts what they hold and cost."""

    def __init__(
        self,
        take: Callable[[bytes], None],
        hold: Callable[[], None],
        resume: Callable[[], None],
        spent: Callable[[], float] = thread_time,
    ) -> None:
        """Prepare.

        Args:
            take: reads a piece.
            hold: stops reading.
            resume: starts reading again.
            spent: returns the processor seconds so far.
        """
        self._take = take
        self._hold = hold
        self._resume = resume
        self._spent = spent
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
        began = self._spent()
        self._take(data)
        self._cost += self._spent() - began
        self._lines += data.count(b"\n")
        if (self._lines > PORTION or self._cost > COST) and self._timer is None and not self._stopped:
            self._hold()
            # one piece may cost more than a portion
            self._timer = self._loop.call_later(PERIOD * max(1.0, self._cost / COST), self._end)

    def _begin(self, now: float) -> None:
        self._began, self._lines, self._cost = now, 0, 0.0

    def _end(self) -> None:
        self._timer = None
        self._begin(self._loop.time())
        self._resume()

    def stop(self) -> None:
        """Never start reading again: the line is closed."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
