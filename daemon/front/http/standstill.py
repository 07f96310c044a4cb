"""Standstill: notices when this process did not run for seconds, because it was stopped, swapped out or starved."""

import asyncio

CHECK_INTERVAL = 1.0  # s between two looks at the clock
THRESHOLD_S = 5.0  # this long without a look is a standstill
RECENT_S = 5.0  # for this long after a standstill, requests from before it may still arrive


class Standstill:
    """Looks at the clock regularly, and remembers when the last gap ended."""

    def __init__(self) -> None:
        """Begin."""
        self._loop = asyncio.get_running_loop()
        self._ended_at = -RECENT_S
        self._looked_at = self._loop.time()
        self._timer = self._loop.call_later(CHECK_INTERVAL, self._look)

    def _look(self) -> None:
        self._note(self._loop.time())
        self._timer = self._loop.call_later(CHECK_INTERVAL, self._look)

    def _note(self, now: float) -> None:
        if now - self._looked_at > THRESHOLD_S:
            self._ended_at = now
        self._looked_at = now

    def was_recent(self) -> bool:
        """Tell whether a request that arrives now may have been sent before a standstill."""
        now = self._loop.time()
        self._note(now)
        return now - self._ended_at < RECENT_S

    def close(self) -> None:
        """End."""
        self._timer.cancel()
