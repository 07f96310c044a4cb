"""The end of a worker process: waited for, but not without a limit."""

import asyncio

import pytest

from daemon.front import one_answer
from daemon.front.one_answer import KILL_TIMEOUT


class HangingProcess:
    """A killed process that cannot end, as it waits for a disk."""

    async def wait(self):
        await asyncio.Event().wait()


@pytest.mark.parametrize("cancellations", [0, 1, 2])
async def test_a_process_that_cannot_end_is_given_up(cancellations):
    loop = asyncio.get_running_loop()
    start = loop.time()
    waiting = asyncio.ensure_future(one_answer._await_end(HangingProcess()))
    for _ in range(cancellations):
        await asyncio.sleep(0.1)
        waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled() == (cancellations > 0)
    assert loop.time() - start == pytest.approx(KILL_TIMEOUT)
    assert asyncio.all_tasks() == {asyncio.current_task()}
