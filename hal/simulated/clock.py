"""A virtual clock: an asyncio event loop on which waiting for timers costs no time.

When every task waits for a timer, the loop's time jumps to the earliest timer. While real work is pending (a job in a
thread, a process, a socket), the clock runs at real speed instead, so timeouts around real work keep their meaning.
With a `pace`, the loop also waits in real time while its clock is ahead of that pace.

The loop asks its selector to wait until the next timer is due. Instead of waiting, `_JumpingSelector` moves the
clock to that time, unless `VirtualClockLoop.has_real_work` is true.
"""

import asyncio
import contextlib
import selectors
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_START_S = 1000.0  # s; like a monotonic clock, it does not start at zero
_POLL_EVERY = 16  # turns of the loop between two polls for signals while there is no real work
_MIN_LEAD_S = 0.005  # s; a smaller lead is not waited for, because epoll waits for whole milliseconds


class DeadlockError(RuntimeError):
    """Nothing can ever happen on the loop: no callback is ready, no timer is set, and no real work is pending."""


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """An asyncio loop with virtual time.

    Running Python code takes no virtual time. Waiting takes real time while an executor job, a subprocess, a registered
    file descriptor or a `real_time()` block is pending, or while the clock is ahead of its pace; else it takes none.

    Args:
        pace: the maximum number of virtual seconds per real second; None: unlimited.

    Raises:
        DeadlockError: raised by the method that runs the loop if a real loop would hang for ever.
    """

    _ready: deque[asyncio.Handle]  # of the base class: the callbacks of this turn
    _scheduled: list[asyncio.TimerHandle]  # of the base class: a heap of timers
    turn: object = None  # a new object in each turn of the loop

    def __init__(self, pace: float | None = None) -> None:
        self._now = _START_S
        self._pace = pace
        self._real_work = 0  # executor jobs and `real_time` blocks
        self._processes: list[asyncio.SubprocessTransport] = []
        self._jumping = selector = _JumpingSelector(self)
        super().__init__(selector)
        self._began = self.real_clock()
        self._own_descriptors = len(selector.get_map())  # the pipe by which threads wake the loop

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now

    def real_clock(self) -> float:
        """Return the real monotonic time in seconds."""
        return super().time()

    @contextlib.contextmanager
    def real_time(self) -> Iterator[None]:
        """Run the clock at real speed in this block, for work that the loop cannot see, such as a bare thread."""
        self._real_work += 1
        try:
            yield
        finally:
            self._real_work -= 1

    def advance(self, seconds: float) -> None:
        """Move the clock forward. For the loop's selector."""
        self._now += seconds

    def skip_to(self, when: float) -> bool:
        """Move the clock forward to `when`, unless the loop has something to do by then; tell whether it was moved.

        With a pace, and while real work is pending, it is not moved. A caller uses this instead of a timer, because a
        turn of the loop would cost more than the caller's own work.
        """
        if self._ready or self._pace is not None or self.has_real_work(self._jumping.descriptors):
            return False
        if self._scheduled and self._scheduled[0].when() <= when:
            return False
        self._now = max(self._now, when)
        return True

    def lead_seconds(self) -> float:
        """Return how many real seconds the clock is ahead of its pace. For the loop's selector."""
        if self._pace is None:
            return 0.0
        return (self._now - _START_S) / self._pace - (self.real_clock() - self._began)

    def has_real_work(self, descriptors: int) -> bool:
        """Tell whether real work is pending. For the loop's selector."""
        if self._real_work or descriptors > self._own_descriptors:
            return True
        if not self._processes:
            return False
        self._processes = [each for each in self._processes if each.get_returncode() is None]
        return bool(self._processes)

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Run a function in a thread; the clock runs at real speed until it has ended."""
        future = super().run_in_executor(executor, func, *args)
        self._real_work += 1
        future.add_done_callback(self._executor_job_ended)
        return future

    def _executor_job_ended(self, _future: asyncio.Future[Any]) -> None:
        self._real_work -= 1

    async def shutdown_default_executor(self, *args: Any) -> None:
        """Wait for the executor's threads at real speed."""
        with self.real_time():
            await super().shutdown_default_executor(*args)

    async def subprocess_exec(self, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Start a program; the clock runs at real speed until it has ended."""
        return self._watch(await self._in_real_time(super().subprocess_exec(*args, **kwargs)))

    async def subprocess_shell(self, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Start a shell command; the clock runs at real speed until it has ended."""
        return self._watch(await self._in_real_time(super().subprocess_shell(*args, **kwargs)))

    async def _in_real_time(self, start: Coroutine[Any, Any, T]) -> T:
        with self.real_time():
            return await start

    def _watch(self, started: tuple[Any, Any]) -> tuple[Any, Any]:
        self._processes.append(started[0])
        return started


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for the loop by moving its clock, or in real time while real work is pending."""

    def __init__(self, loop: VirtualClockLoop) -> None:
        super().__init__()
        self._loop = loop
        self._turns = 0
        self.descriptors = 0

    def register(self, *args: Any, **kwargs: Any) -> selectors.SelectorKey:
        self.descriptors += 1
        return super().register(*args, **kwargs)

    def unregister(self, *args: Any, **kwargs: Any) -> selectors.SelectorKey:
        key = super().unregister(*args, **kwargs)
        self.descriptors -= 1
        return key

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._loop.turn = object()
        real = self._loop.has_real_work(self.descriptors)
        if real and (timeout is None or timeout > 0):
            return self._wait(timeout)
        self._turns += 1
        if (real or timeout is None or not self._turns % _POLL_EVERY) and (ready := super().select(0)):
            return ready
        if timeout is None:
            raise DeadlockError("every task waits for something that can never happen")
        if timeout > 0:
            self._loop.advance(timeout)
            if (lead_seconds := self._loop.lead_seconds()) > _MIN_LEAD_S:
                return super().select(lead_seconds)
        return []

    def _wait(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        began = self._loop.real_clock()
        ready = super().select(timeout)
        if timeout is not None and not ready:
            self._loop.advance(timeout)  # not the measured time, so that the next timer is due exactly now
        else:
            self._loop.advance(self._loop.real_clock() - began)
        return ready


def run(main: Coroutine[Any, Any, T], pace: float | None = None) -> T:
    """Run a coroutine on a new virtual clock, as `asyncio.run` does on a real one; `pace` is VirtualClockLoop's."""
    with asyncio.Runner(loop_factory=lambda: VirtualClockLoop(pace)) as runner:
        return runner.run(main)
