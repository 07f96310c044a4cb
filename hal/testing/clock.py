"""Clock: the time of the printer under test, and the loop on which both live."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from hal.loop import WatchedLoop
from hal.simulated.clock import VirtualClockLoop

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds that `until` waits unless told otherwise."""


class Clock:
    """An event loop, run whenever somebody has something to do on it.

    With a simulated printer the time is virtual: waiting takes none, and nothing happens between two runs.

    Attributes:
        virtual: the time jumps.
    """

    def __init__(self, *, virtual: bool) -> None:
        self.virtual = virtual
        self._runner = asyncio.Runner(loop_factory=VirtualClockLoop if virtual else WatchedLoop)

    @property
    def now(self) -> float:
        """Seconds on the loop's clock; they begin anywhere."""
        return self._runner.get_loop().time()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end; for tests that are no coroutines themselves."""
        return self._runner.run(work)

    async def sleep(self, seconds: float) -> None:
        """Let seconds pass for the printer."""
        await asyncio.sleep(seconds)

    async def until(self, condition: Callable[[], object], timeout: float = PATIENCE) -> None:  # noqa: ASYNC109 - what it gives up after is what a caller chooses
        """Wait until `condition` returns something true.

        Raises:
            TimeoutError: it did not within `timeout` seconds.
        """
        async with asyncio.timeout(timeout):
            while not condition():  # noqa: ASYNC110 - what is waited for knows no events
                await asyncio.sleep(0.005)

    def close(self) -> None:
        """End the loop and what is left on it."""
        self._runner.close()
