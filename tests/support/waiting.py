"""How long tests wait for processes, sockets, disks and browsers, and how often they poll."""

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from hal.simulated.clock import VirtualClockLoop

T = TypeVar("T")

TIMEOUT = 90.0
"""A passing test waits no longer than necessary; on a slow machine, beside the rest of the suite, that can be long."""

VIRTUAL_TIMEOUT = 3600.0
POLL = 0.01  # s; the shortest
POLLS_PER_WAIT = 200  # polling makes a long wait longer by at most 1 / POLLS_PER_WAIT


def pause(since: float, shortest: float) -> float:
    """Return the seconds until the next poll: `shortest` at first, more in a wait of minutes.

    On the virtual clock only the polls of a wait cost anything.

    Args:
        since: loop time at which the wait began.
        shortest: in s.
    """
    return max(shortest, (asyncio.get_running_loop().time() - since) / POLLS_PER_WAIT)


async def until(condition: Callable[[], T], what: str = "the condition", seconds: float | None = None) -> T:
    """Wait on the loop's clock, which may be virtual, for a condition's first true value; return it."""
    loop = asyncio.get_running_loop()
    if seconds is None:
        seconds = VIRTUAL_TIMEOUT if isinstance(loop, VirtualClockLoop) else TIMEOUT
    began = loop.time()
    while not (value := condition()):
        assert loop.time() - began < seconds, f"waited {seconds:g} s for {what}, without success"
        await asyncio.sleep(pause(began, POLL))
    return value


@asynccontextmanager
async def meanwhile(*works):
    """Run coroutines during the block; an exception in one of them fails the test."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result
