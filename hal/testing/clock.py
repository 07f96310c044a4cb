"""Clock: the time of the printer under test, and its event loop."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from hal.loop import WatchedLoop
from hal.simulated.clock import VirtualClockLoop

T = TypeVar("T")

TIMEOUT = 30.0
"""Seconds that `until` waits by default."""


async def until(condition: Callable[[], object], timeout: float = TIMEOUT) -> None:  # noqa: ASYNC109 - callers choose the timeout
    """Wait until `condition` returns a true value.

    Raises:
        TimeoutError: it did not within `timeout` seconds.
    """
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110 - a condition has no events
            await asyncio.sleep(0.005)


class Clock:
    """An event loop that runs only during `run`.

    For a simulated printer its time is virtual: it jumps to the next timer, and stands still between two runs.

    Attributes:
        virtual: the time is virtual.
    """

    def __init__(self, *, virtual: bool) -> None:
        self.virtual = virtual
        self._runner = asyncio.Runner(loop_factory=VirtualClockLoop if virtual else WatchedLoop)

    @property
    def now(self) -> float:
        """Seconds on the loop's clock, from an arbitrary start."""
        return self._runner.get_loop().time()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, for tests that are not coroutines themselves."""
        return self._runner.run(work)

    async def sleep(self, seconds: float) -> None:
        """Let seconds pass for the printer."""
        await asyncio.sleep(seconds)

    async def until(self, condition: Callable[[], object], timeout: float = TIMEOUT) -> None:  # noqa: ASYNC109 - callers choose the timeout
        """Wait until `condition` returns a true value.

        Raises:
            TimeoutError: it did not within `timeout` seconds.
        """
        await until(condition, timeout)

    def close(self) -> None:
        """End the loop and its remaining tasks."""
        self._runner.close()
