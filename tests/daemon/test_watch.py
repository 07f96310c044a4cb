import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.watch import INTERVAL, LoopWatch


def stall(seconds):
    """Hold the loop up: on the virtual clock code takes no time unless it says so."""
    asyncio.get_running_loop().advance(seconds)


async def stalled(*stalls):
    """Return what a watch says about stalls, one a second, each at the start of the watch's interval."""
    watch = LoopWatch()
    watch.start()
    for seconds in stalls:
        stall(seconds)
        await asyncio.sleep(1)
    return watch.stop()


async def test_a_loop_that_is_never_held_up_has_no_stall():
    assert await stalled(0.0, 0.0) == pytest.approx(0.0, abs=1e-6)


async def test_the_longest_of_several_stalls_counts():
    assert await stalled(0.3, 0.8, 0.5) == pytest.approx(0.8 - INTERVAL, abs=INTERVAL)


@given(seconds=st.floats(INTERVAL, 100.0))
async def test_a_stall_is_seen_less_at_most_one_interval_and_never_made_longer(seconds):
    assert seconds - INTERVAL - 1e-6 <= await stalled(seconds) <= seconds + 1e-6


async def test_a_short_stall_is_seen_where_a_timer_falls_into_it():
    watch = LoopWatch()
    watch.start()
    await asyncio.sleep(INTERVAL - 0.001)
    stall(0.005)
    await asyncio.sleep(1)
    assert watch.stop() == pytest.approx(0.004, abs=1e-6)


async def test_a_stall_that_goes_on_counts_already():
    watch = LoopWatch()
    watch.start()
    stall(2.0)
    assert watch.longest == pytest.approx(2.0 - INTERVAL)
    assert watch.stop() == pytest.approx(2.0 - INTERVAL)


async def test_after_stop_nothing_is_measured_and_no_timer_is_left():
    watch = LoopWatch()
    watch.start()
    assert watch.stop() == 0.0
    stall(5.0)
    await asyncio.sleep(1)
    assert watch.longest == watch.stop() == 0.0
    assert not asyncio.get_running_loop()._scheduled


async def test_each_start_begins_anew_with_one_timer():
    watch = LoopWatch()
    watch.start()
    stall(1.0)
    await asyncio.sleep(0.1)
    assert watch.longest > 0.9
    watch.start()
    watch.start()
    await asyncio.sleep(0.1)
    assert watch.longest == pytest.approx(0.0, abs=1e-6)
    assert len([timer for timer in asyncio.get_running_loop()._scheduled if not timer.cancelled()]) == 1
    watch.stop()
