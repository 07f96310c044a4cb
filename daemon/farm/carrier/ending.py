"""Waiting for what nats-py does, with an end.

It swallows cancellations where it flushes, cancels whoever reads when a connection closes, and in places waits without
a limit. So what it does is a task of its own, that this process waits for and can leave.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

AGAIN = 0.5  # s until a task that has swallowed its cancellation is cancelled once more


async def in_time(work: Coroutine[Any, Any, T], seconds: float) -> T:
    """Return what comes of it.

    Raises:
        TimeoutError: it took longer.
        ConnectionError: it was cancelled from within, as when the connection is closed.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
            task.add_done_callback(_forget)
    if not task.done():
        raise TimeoutError(f"no answer within {seconds:g} s")
    if task.cancelled():
        raise ConnectionError("the connection was closed")
    return task.result()


async def for_ever(*works: Coroutine[Any, Any, None]) -> None:
    """Run them until cancelled, or until one raises; then all of them have ended."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            while not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=AGAIN)
            _forget(task)


def _forget(task: "asyncio.Future[Any]") -> None:
    if not task.cancelled():
        task.exception()
