"""A loop that works whenever an event wakes it, and tries again after an error; the queue and the history use it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog

from gcode.errors import NozzledError

RETRY_DELAY = 5.0  # s until failed work is tried again

log = structlog.get_logger()


async def work_when_woken(
    wake: asyncio.Event, work: Callable[[], Awaitable[None]], *, waits_event: str, failed_event: str
) -> NoReturn:
    """Call `work` whenever `wake` is set, until cancelled. An error that repeats itself is logged only once.

    Args:
        wake: cleared before each call, so that `work` sees every change.
        work: the work; after an error of any kind it is called again after RETRY_DELAY.
        waits_event: log event for an error that passes, such as a database that cannot be written.
        failed_event: log event for a bug.
    """
    last_error = ""
    retry: asyncio.TimerHandle | None = None
    while True:
        await wake.wait()
        wake.clear()
        if retry is not None:
            retry.cancel()  # otherwise each event would add another series of retries
        try:
            await work()
        except NozzledError as error:
            previous_error, last_error = last_error, str(error)
            if last_error != previous_error:
                log.warning(waits_event, reason=str(error), again_s=RETRY_DELAY)
        except Exception as error:
            previous_error, last_error = last_error, repr(error)
            if last_error != previous_error:
                log.exception(failed_event)
        else:
            last_error = ""
            continue
        retry = asyncio.get_running_loop().call_later(RETRY_DELAY, wake.set)
