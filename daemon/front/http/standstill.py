"""Standstill: whether this process has stood still lately: stopped, swapped out, or without a processor for seconds."""

import asyncio

BEAT = 1.0  # s between two looks at the clock
LONG = 5.0  # s without one are a standstill
LATELY = 5.0  # s after it in which requests may be of the time before


class Standstill:
    """Looks at the clock from time to time."""

    def __init__(self) -> None:
        """Begin."""
        self._loop = asyncio.get_running_loop()
        self._ended = -LATELY
        self._looked = self._loop.time()
        self._next = self._loop.call_later(BEAT, self._look)

    def _look(self) -> None:
        self._note(self._loop.time())
        self._next = self._loop.call_later(BEAT, self._look)

    def _note(self, now: float) -> None:
        if now - self._looked > LONG:
            self._ended = now
        self._looked = now

    def was_lately(self) -> bool:
        """Tell whether what comes now may have waited all the while."""
        now = self._loop.time()
        self._note(now)
        return now - self._ended < LATELY

    def close(self) -> None:
        """End."""
        self._next.cancel()
