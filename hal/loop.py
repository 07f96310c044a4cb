"""WatchedLoop: an event loop that knows when it woke up, and how long it has been busy at a stretch.

Both come from the selector, for two looks at the clock a turn (0.1 µs each): the wire's delays are measured where
they arise, by no timer that could miss them.
"""

import asyncio
import selectors


class WatchedLoop(asyncio.SelectorEventLoop):
    """An asyncio loop that measures its own stalls."""

    def __init__(self) -> None:
        self._watched = _WatchedSelector(self)
        super().__init__(self._watched)

    @property
    def woke_at(self) -> float:
        """When the events that are handled now became known, in loop time."""
        return self._watched.woke_at

    def longest_stall(self) -> float:
        """Return the longest time, in s, that the loop was busy without looking at the wire, and begin anew."""
        longest, self._watched.longest = self._watched.longest, 0.0
        return longest


class _WatchedSelector(selectors.DefaultSelector):
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self.woke_at = 0.0
        self.longest = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for events; what lies between two waits is a stretch of work."""
        busy = self._loop.time() - self.woke_at
        if busy > self.longest and self.woke_at:
            self.longest = busy
        ready = super().select(timeout)
        self.woke_at = self._loop.time()
        return ready
