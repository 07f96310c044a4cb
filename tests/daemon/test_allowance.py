import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.bridge.allowance import MAX_DEBT_S, MAX_TURN_DELAY, SHARE, Allowance, await_charged
from daemon.core.front_process import CHECK_INTERVAL, MAX_SILENT


@given(st.lists(st.tuples(st.floats(0, MAX_DEBT_S), st.floats(0, 2)), max_size=30))
def test_a_front_that_is_served_only_after_its_delays_keeps_to_its_share(steps):
    allowance, now, spent = Allowance(share=0.1, saved=0.02), 1000.0, 0.0
    for seconds, pause in steps:
        now += pause + allowance.spend(0.0, now)
        spent += seconds
        now += seconds + allowance.spend(seconds, now + seconds)
        assert spent <= 0.1 * (now - 1000.0) + 0.02 + 1e-6


def test_a_clock_set_back_gives_no_extra_time():
    allowance = Allowance(share=0.1, saved=0.02)
    allowance.spend(0.02, 1000.0)
    assert allowance.spend(0.0, 10.0) == 0
    assert allowance.spend(0.01, 5.0) == pytest.approx(0.1)


async def test_each_step_of_an_awaited_task_is_counted():
    loop = asyncio.get_running_loop()
    spent = []

    def spend(seconds):
        spent.append(seconds)
        return 0.0

    async def work():
        loop.advance(0.3)
        await asyncio.sleep(5)
        loop.advance(0.2)
        return "done"

    assert await await_charged(work(), spend) == "done"
    assert spent == pytest.approx([0.3, 0.2])


async def test_a_task_that_spent_too_much_rests_before_it_continues():
    loop = asyncio.get_running_loop()

    async def work():
        for _ in range(10):
            await asyncio.sleep(0)

    began = loop.time()
    await await_charged(work(), lambda _: 7.0)
    assert loop.time() - began == pytest.approx(10 * MAX_TURN_DELAY)


async def test_errors_and_cancellations_reach_the_awaited_task():
    caught = []

    async def fails():
        await asyncio.sleep(1)
        raise KeyError("why")

    async def hangs():
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            caught.append("cancelled")
            raise

    async def hears():
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(1, future.set_exception, ValueError("told"))
        try:
            await future
        except ValueError as error:
            return str(error)

    with pytest.raises(KeyError, match="why"):
        await await_charged(fails(), lambda _: 0.0)
    assert await await_charged(hears(), lambda _: 0.0) == "told"
    task = asyncio.ensure_future(asyncio.wait_for(await_charged(hangs(), lambda _: 0.0), 3))
    with pytest.raises(TimeoutError):
        await task
    assert caught == ["cancelled"]


def test_a_process_busy_for_long_is_heard_before_it_counts_as_hung():
    allowance = Allowance()
    assert allowance.spend(5.0, 1000.0) == pytest.approx(MAX_DEBT_S / SHARE)
    assert MAX_DEBT_S / SHARE < MAX_SILENT * CHECK_INTERVAL / 2


@pytest.mark.parametrize(("pause", "waits"), [(0.0, 0.0), (0.1, 0.1), (7.0, MAX_TURN_DELAY)])
async def test_after_each_turn_the_work_waits_as_long_as_it_has_to_but_not_longer_than_a_quarter_of_a_second(
    pause, waits
):
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def work():
        for _ in range(4):
            await asyncio.sleep(0)

    await await_charged(work(), lambda _: pause)
    assert loop.time() - began == pytest.approx(4 * waits)
