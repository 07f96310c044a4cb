"""Closes what may hang, within a limit of time."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

CLOSE_TIMEOUT = 0.7  # s; systemd waits 5 s for the end of the front, and 10 s for that of the core

log = structlog.get_logger()


async def close_in_time(close: Callable[[], Awaitable[None]]) -> None:
    """Close something that may hang on a disk or a client; give up after CLOSE_TIMEOUT seconds."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await close()
    except TimeoutError:
        log.warning("service.hangs", part=close.__qualname__, seconds=CLOSE_TIMEOUT)
