"""Work that is done when it is woken, and tried again after an error."""

import asyncio

import pytest

from daemon.errors import StoreError
from daemon.front.wake_loop import RETRY_DELAY, work_when_woken


@pytest.mark.parametrize("error", [StoreError("the disk is full"), ZeroDivisionError()])
async def test_events_during_an_error_do_not_multiply_the_retries(error):
    attempts = []

    async def work():
        attempts.append(asyncio.get_running_loop().time())
        raise error

    wake = asyncio.Event()
    working = asyncio.create_task(work_when_woken(wake, work, waits_event="test.waits", failed_event="test.failed"))
    for _ in range(20):
        wake.set()
        await asyncio.sleep(0.7)
    assert len(attempts) >= 20
    attempts.clear()
    await asyncio.sleep(10 * RETRY_DELAY)
    assert len(attempts) == 10
    working.cancel()
    await asyncio.wait([working])
