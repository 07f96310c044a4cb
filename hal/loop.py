"""WatchedLoop: an event loop that serves the wire first, and measures when it woke up and how long it was busy.

A print wakes the host hundreds of times a second, nearly always for an `ok` on the one serial line. The selector itself
serves such a wake-up, without asyncio's handle, queue and context, which would be half of the host's cost. Everything
else goes through asyncio.

The selector also takes the measurements, with two readings of the clock per turn (0.1 µs each). So delays of the wire
are measured where they arise, and not by a timer that could miss them.
"""

import asyncio
import math
import os
import select
import selectors
from asyncio import Handle, TimerHandle
from bisect import bisect_left
from collections.abc import Callable
from contextvars import Context
from time import monotonic  # noqa: TID251 - the loop's own clock, without the two calls around it
from typing import Any, TypeVarTuple

_Ts = TypeVarTuple("_Ts")
_READABLE = select.EPOLLIN


STALL_S = 0.01  # s; a longer time without looking for events is a stall
STALL_CLASSES_S = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Upper bounds, in s, of the classes in which stalls are counted; the last class has none."""


class LoopWatch:
    """The loop's measurements of itself.

    Attributes:
        woke_at: when the events that are handled now became known, in loop time; 0 before the first.
        longest: the longest time, in s, that the loop was busy without looking for events.
        threshold: longer busy times, in s, are recorded by `note`; one comparison a turn serves `longest` and `stalls`.
        stalls: number of stalls in each class of STALL_CLASSES_S.
        stall_time: total time of all stalls, in s.
    """

    __slots__ = ("longest", "stall_time", "stalls", "threshold", "woke_at")

    def __init__(self) -> None:
        self.woke_at = 0.0
        self.longest = 0.0
        self.threshold = 0.0
        self.stalls = [0] * (len(STALL_CLASSES_S) + 1)
        self.stall_time = 0.0

    def note(self, busy: float) -> None:
        """Record a busy time that is longer than `threshold`."""
        self.longest = max(self.longest, busy)
        self.threshold = min(self.longest, STALL_S)
        if busy > STALL_S:
            self.stalls[bisect_left(STALL_CLASSES_S, busy)] += 1
            self.stall_time += busy

    def take_longest(self) -> float:
        """Return `longest`, and reset it."""
        longest, self.longest, self.threshold = self.longest, 0.0, 0.0
        return longest


class WatchedLoop(asyncio.SelectorEventLoop):
    """An asyncio loop that measures its own stalls (see `watch`) and has a fast path for wires."""

    def __init__(self) -> None:
        self.watch = LoopWatch()
        self._turns = _WatchedSelector(self, self.watch)
        super().__init__(self._turns)

    time = staticmethod(monotonic)
    """The loop's clock, without asyncio's call around it, because every line of a print needs it."""

    def add_wire(self, fd: int, readable: Callable[[], None]) -> None:
        """Call `readable` as `add_reader` does, but by the fast path; `remove_reader` ends it."""
        self.add_reader(fd, readable)
        self._turns.wires[fd] = readable

    def remove_reader(self, fd: Any) -> bool:
        """Do what asyncio's does, for the fast path too."""
        self._turns.wires.pop(fd, None)
        return super().remove_reader(fd)

    def call_soon(self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None) -> Handle:
        """Do what asyncio's does, and note that a callback was scheduled."""
        self._turns.scheduled = True
        return super().call_soon(callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> TimerHandle:
        """Do what asyncio's does, and note that a callback was scheduled; `call_later` calls this."""
        self._turns.scheduled = True
        return super().call_at(when, callback, *args, context=context)


class _WatchedSelector(selectors.EpollSelector):
    """A selector that serves wires itself, and returns to asyncio for anything else."""

    def __init__(self, loop: asyncio.AbstractEventLoop, watch: LoopWatch) -> None:
        super().__init__()
        self.wires: dict[int, Callable[[], None]] = {}
        self.scheduled = False  # a callback was scheduled since this was last cleared
        self._loop = loop
        self._now = monotonic
        self._watch = watch
        self._epoll = select.epoll.fromfd(os.dup(self.fileno()))  # the same set of descriptors, without the wrapper

    def close(self) -> None:
        """Close both descriptors."""
        self._epoll.close()
        super().close()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for events, and serve those of wires; the time between two waits is a busy time.

        This runs hundreds of times a second, so it is one function: a call costs as much as reading the clock.
        """
        watch, clock, wires = self._watch, self._now, self.wires
        now = clock()
        end = math.inf if timeout is None else now + timeout
        while True:
            if now - watch.woke_at > watch.threshold and watch.woke_at:
                watch.note(now - watch.woke_at)
            events = self._epoll.poll(timeout)
            watch.woke_at = clock()
            if len(events) != 1:
                return super().select(0) if events else []
            fd, what = events[0]
            if what != _READABLE or fd not in wires:
                return super().select(0)
            self.scheduled = False
            try:
                wires[fd]()
            except Exception as error:  # noqa: BLE001 - as asyncio does around each callback
                self._loop.call_exception_handler({"message": "a wire's reader failed", "exception": error})
            now = clock()
            if self.scheduled or now >= end:
                return []
            if timeout is not None:
                timeout = end - now
