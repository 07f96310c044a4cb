"""WatchedLoop: an event loop that knows when it woke up, and how long it has been busy at a stretch.

Both come from the selector, for two looks at the clock a turn (0.1 µs each): the wire's delays are measured where
they arise, by no timer that could miss them.
"""

import asyncio
import selectors


class Watch:
    """What the loop knows of itself.

    Attributes:
        woke_at: when the events that are handled now became known, in loop time; 0 before the first.
        longest: the longest time, in s, that the loop was busy without looking for events.
    """

    __slots__ = ("longest", "woke_at")

    def __init__(self) -> None:
        self.woke_at = 0.0
        self.longest = 0.0

    def take_longest(self) -> float:
        """Return `longest` and begin anew."""
        longest, self.longest = self.longest, 0.0
        return longest


class WatchedLoop(asyncio.SelectorEventLoop):
    """An asyncio loop that measures its own stalls; see `watch`."""

    def __init__(self) -> None:
        self.watch = Watch()
        super().__init__(_WatchedSelector(self, self.watch))


class _WatchedSelector(selectors.DefaultSelector):
    def __init__(self, loop: asyncio.AbstractEventLoop, watch: Watch) -> None:
        super().__init__()
        self._now = loop.time
        self._watch = watch

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for events; what lies between two waits is a stretch of work."""
        watch = self._watch
        if watch.woke_at and (busy := self._now() - watch.woke_at) > watch.longest:
            watch.longest = busy
        ready = super().select(timeout)
        watch.woke_at = self._now()
        return ready
