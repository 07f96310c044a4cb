"""Ending what may hang."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

CLOSING = 0.7  # s; after heaters off, which may take 3 of the 5 s that a stop may take

log = structlog.get_logger()


async def in_time(close: Callable[[], Awaitable[None]]) -> None:
    """End something that may hang on a disk or a client, without hanging with it."""
    try:
        async with asyncio.timeout(CLOSING):
            await close()
    except TimeoutError:
        log.warning("service.hangs", part=close.__qualname__, seconds=CLOSING)
