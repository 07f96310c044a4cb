"""Standstill: notices when this process did not run for seconds, because it was stopped, swapped out or starved."""

import asyncio

BEAT = 1.0  # s between two looks at the clock
THRESHOLD = 5.0  # s without a look are a standstill
RECENT = 5.0  # s after a standstill in which requests from before it may still arrive


class Standstill:
    """Looks at the clock regularly, and remembers when the last gap ended."""

    def __init__(self) -> None:
        """Begin."""
        self._loop = asyncio.get_running_loop()
        self._ended = -RECENT
        self._looked = self._loop.time()
        self._next = self._loop.call_later(BEAT, self._look)

    def _look(self) -> None:
        self._note(self._loop.time())
        self._next = self._loop.call_later(BEAT, self._look)

    def _note(self, now: float) -> None:
        if now - self._looked > THRESHOLD:
            self._ended = now
        self._looked = now

    def was_recent(self) -> bool:
        """Tell whether a request that arrives now may have been sent before a standstill."""
        now = self._loop.time()
        self._note(now)
        return now - self._ended < RECENT

    def close(self) -> None:
        """End."""
        self._next.cancel()
