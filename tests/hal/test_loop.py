import asyncio
import time

import pytest

from hal.loop import LoopWatch, WatchedLoop


def test_a_stall_is_seen_once():
    async def main(loop):
        await asyncio.sleep(0.001)
        loop.watch.take_longest()
        time.sleep(0.03)  # noqa: ASYNC251 - the stall to be detected
        await asyncio.sleep(0.001)
        return loop.watch.take_longest(), loop.watch.take_longest(), loop.watch.woke_at, loop.time()

    with asyncio.Runner(loop_factory=WatchedLoop) as runner:
        stalled, after, woke_at, now = runner.run(main(runner.get_loop()))
    assert stalled >= 0.03
    assert after < 0.03
    assert 0 < woke_at <= now


def test_stalls_are_counted_by_length_except_short_ones():
    watch = LoopWatch()
    for busy in (0.004, 0.009, 0.012, 0.02, 0.3, 60.0):
        if busy > watch.threshold:  # as the loop asks, once a turn
            watch.note(busy)
    assert watch.stalls == [2, 0, 0, 0, 1, 0, 0, 0, 1]
    assert watch.stall_time == pytest.approx(60.332)
    assert watch.take_longest() == 60.0
    watch.note(0.006)
    assert watch.take_longest() == 0.006
    assert sum(watch.stalls) == 4
