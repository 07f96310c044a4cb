"""Calls of nats-py with a time limit.

nats-py swallows cancellations while it flushes, cancels the task of its reader when a connection closes, and sometimes
waits without a limit. So each call runs in a task of its own, which the caller can abandon.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

RECANCEL_INTERVAL = 0.5  # between cancellations of a task that swallows them


async def run_in_time(work: Coroutine[Any, Any, T], seconds: float) -> T:
    """Run `work`, and return its result.

    Raises:
        TimeoutError: it took longer than `seconds`.
        ConnectionError: nats-py cancelled it, as it does when the connection closes.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
            task.add_done_callback(_silence)
    if not task.done():
        raise TimeoutError(f"no answer within {seconds:g} s")
    if task.cancelled():
        raise ConnectionError("the connection was closed")
    return task.result()


async def run_for_ever(*works: Coroutine[Any, Any, None]) -> None:
    """Run coroutines until cancelled, or until one ends or raises; then end all of them, and return or raise."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            while not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=RECANCEL_INTERVAL)
            _silence(task)


def _silence(task: "asyncio.Future[Any]") -> None:
    """Read the exception of a task that nobody awaits, so that asyncio does not log it."""
    if not task.cancelled():
        task.exception()
