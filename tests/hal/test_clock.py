import asyncio
import os
import socket
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal.simulated import clock
from support.waiting import TIMEOUT

pytestmark = pytest.mark.threads


async def test_two_thousand_seconds_pass_at_once():
    began, real = asyncio.get_running_loop().time(), time.monotonic()
    for _ in range(2000):
        await asyncio.sleep(1)
    assert asyncio.get_running_loop().time() - began == pytest.approx(2000)
    assert time.monotonic() - real < TIMEOUT


async def test_timers_fire_in_order_at_their_times():
    loop = asyncio.get_running_loop()
    began, fired = loop.time(), []
    for delay in (3.0, 1.0, 2.0):
        loop.call_later(delay, lambda: fired.append(round(loop.time() - began, 6)))
    await asyncio.sleep(5)
    assert fired == [1.0, 2.0, 3.0]


async def test_a_thread_job_does_not_time_out():
    assert await asyncio.wait_for(asyncio.to_thread(_blocking, 0.05), timeout=1) == "done"


async def test_a_thread_job_that_takes_too_long_does_time_out():
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.to_thread(_blocking, 0.3), timeout=0.02)


def _blocking(seconds):
    time.sleep(seconds)
    return "done"


async def test_a_failing_thread_job_lets_the_clock_jump_again():
    with pytest.raises(ZeroDivisionError):
        await asyncio.to_thread(lambda: 1 / 0)
    real = time.monotonic()
    await asyncio.sleep(3600)
    assert time.monotonic() - real < TIMEOUT


async def test_a_cancelled_thread_job_lets_the_clock_jump_again():
    job = asyncio.get_running_loop().run_in_executor(None, _blocking, 0.01)
    job.cancel()
    await asyncio.sleep(0)
    real = time.monotonic()
    await asyncio.sleep(3600)
    assert time.monotonic() - real < TIMEOUT


async def test_a_subprocess_does_not_time_out():
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import time; time.sleep(0.1); print('here')", stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), timeout=TIMEOUT)
    assert out == b"here\n"
    await asyncio.sleep(3600)  # in no time again: the process has gone


async def test_a_subprocess_without_pipes_does_not_time_out():
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(0.1)")
    assert await asyncio.wait_for(process.wait(), timeout=TIMEOUT) == 0


async def test_sockets_run_in_real_time():
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)  # noqa: FBT003 (the signature is the socket module's)
        writer = asyncio.to_thread(lambda: (time.sleep(0.05), theirs.send(b"x")))
        received, _ = await asyncio.gather(asyncio.wait_for(loop.sock_recv(ours, 1), timeout=TIMEOUT), writer)
    assert received == b"x"


async def test_timers_still_fire_while_a_descriptor_is_registered():
    loop = asyncio.get_running_loop()
    read, write = os.pipe()
    loop.add_reader(read, lambda: None)
    began, real = loop.time(), time.monotonic()
    await asyncio.sleep(0.05)
    loop.remove_reader(read)
    os.close(read)
    os.close(write)
    assert loop.time() - began >= 0.05 - 1e-9
    assert time.monotonic() - real >= 0.045


def test_a_loop_that_can_never_continue_raises():
    async def wait_for_nothing():
        await asyncio.Event().wait()

    with pytest.raises(clock.DeadlockError, match="never happen"):
        clock.run(wait_for_nothing())


async def test_invisible_work_is_awaited_in_real_time():
    loop = asyncio.get_running_loop()
    real = time.monotonic()
    with loop.real_time():
        await asyncio.sleep(0.03)
    assert time.monotonic() - real >= 0.025


def test_run_returns_the_result():
    async def answer():
        await asyncio.sleep(1e6)
        return 42

    assert clock.run(answer()) == 42


@pytest.mark.real_time
async def test_the_marker_gives_a_real_loop():
    assert not isinstance(asyncio.get_running_loop(), clock.VirtualClockLoop)


@given(st.lists(st.floats(0, 1e5), min_size=1, max_size=20))
async def test_no_timer_fires_early_or_late(delays):
    loop = asyncio.get_running_loop()
    began, fired = loop.time(), []

    async def sleep(delay):
        await asyncio.sleep(delay)
        fired.append((delay, loop.time() - began))

    await asyncio.gather(*map(sleep, delays))
    assert len(fired) == len(delays)
    for delay, at in fired:
        assert at == pytest.approx(delay, abs=1e-6)


def test_a_pace_holds_the_clock_back():
    began = time.monotonic()
    clock.run(asyncio.sleep(3.0), pace=100.0)
    assert time.monotonic() - began >= 0.02  # 30 ms, less what is not worth waiting for
