"""A printer that never stops sending costs a bounded share of CPU and memory, and is still understood."""

import asyncio
import os
from contextlib import suppress

import pytest

from hal.flood import MAX_COST_S, MAX_LINES, PERIOD, Flood
from hal.serial_port import SerialTransport
from hal.tcp_port import TcpTransport
from support.waiting import TIMEOUT

FLOOD_SECONDS = 0.7  # s


class FakePort:
    """The calls to a transport during a flood."""

    def __init__(self):
        self.calls = []
        self.taken = b""
        self.spent = 0.0
        self.cost = 0.0  # s a piece

    def take(self, data):
        self.taken += data
        self.spent += self.cost

    def hold(self):
        self.calls.append("hold")

    def resume(self):
        self.calls.append("resume")


async def test_a_portion_is_handled_and_the_rest_waits():
    held = FakePort()
    flood = Flood(held.take, held.hold, held.resume, lambda: held.spent)
    for _ in range(4):
        flood.take(b"x\n" * (MAX_LINES // 4))
    assert held.calls == []
    flood.take(b"x\n" * 1000)
    flood.take(b"x\n" * 1000)
    assert held.calls == ["hold"]
    await asyncio.sleep(PERIOD)
    assert held.calls == ["hold", "resume"]
    flood.take(b"x\n" * MAX_LINES)
    assert held.calls == ["hold", "resume"], "the time restarts"


async def test_a_closed_port_is_not_read_again():
    held = FakePort()
    flood = Flood(held.take, held.hold, held.resume, lambda: held.spent)
    flood.take(b"x\n" * 1000)
    flood.stop()
    await asyncio.sleep(1)
    assert held.calls == ["hold"]


async def test_a_few_long_lines_are_no_flood():
    held = FakePort()
    flood = Flood(held.take, held.hold, held.resume, lambda: held.spent)
    for _ in range(100):
        flood.take(b"x" * 4095 + b"\n")
        await asyncio.sleep(0.001)
    assert held.calls == []


async def test_a_portion_is_measured_by_its_cost():
    """A report of temperatures costs what eight texts do."""
    held = FakePort()
    flood = Flood(held.take, held.hold, held.resume, lambda: held.spent)
    held.cost = MAX_COST_S / 3
    for _ in range(3):
        flood.take(b"T:20.0 /0.0\n" * 4)
    assert held.calls == []
    flood.take(b"T:20.0 /0.0\n" * 4)
    assert held.calls == ["hold"]
    await asyncio.sleep(PERIOD * 1.5)
    assert held.calls == ["hold", "resume"]
    held.cost = 5 * MAX_COST_S
    flood.take(b"T:20.0 /0.0\n" * 80)
    await asyncio.sleep(PERIOD * 4.9)
    assert held.calls == ["hold", "resume", "hold"], "one that costs more is made up for by a longer time"
    await asyncio.sleep(PERIOD * 0.2)
    assert held.calls[-1] == "resume"
    assert held.taken.count(b"\n") == 4 * 4 + 80


async def test_slow_input_uses_up_no_portion():
    held = FakePort()
    flood = Flood(held.take, held.hold, held.resume, lambda: held.spent)
    held.cost = MAX_COST_S * 0.9
    for _ in range(10):
        flood.take(b"x" * 100 + b"\n")
        await asyncio.sleep(PERIOD)
    assert held.calls == []


async def test_a_port_closed_by_its_own_input_is_not_held():
    held = FakePort()
    flood = Flood(lambda _data: flood.stop(), held.hold, held.resume, lambda: held.spent)
    flood.take(b"x\n" * 1000)
    assert held.calls == []


class Listener:
    def __init__(self):
        self.lines = self.bytes = 0
        self.longest = 0

    def heard(self, data):
        self.lines += data.count(b"\n")
        self.bytes += len(data)
        self.longest = max(self.longest, len(data))

    def lost(self, error):
        pass


TALK = b"echo:the same again\n" * 50
MOST = 2.5 * MAX_LINES / PERIOD
"""Lines a second: a portion, what one more read brings, and a loaded machine."""


@pytest.mark.real_time
async def test_a_serial_line_is_read_in_portions_and_nothing_is_lost():
    master, slave = os.openpty()
    listener, transport, loop = Listener(), SerialTransport(os.ttyname(slave)), asyncio.get_running_loop()
    try:
        await transport.open(listener.heard, listener.lost)
        os.set_blocking(master, False)
        written, began = 0, loop.time()
        while loop.time() - began < FLOOD_SECONDS:
            with suppress(BlockingIOError):
                written += os.write(master, TALK)
            await asyncio.sleep(0.002)
        assert 0 < listener.lines < MOST * (loop.time() - began)
        async with asyncio.timeout(TIMEOUT):
            while listener.bytes < written:  # noqa: ASYNC110 - polls, as an observer does
                await asyncio.sleep(0.01)
    finally:
        transport.close()
        os.close(master)
        os.close(slave)


@pytest.mark.real_time
async def test_a_network_port_is_read_in_portions():
    listener, loop = Listener(), asyncio.get_running_loop()

    async def talk(_reader, writer):
        while not writer.is_closing():
            writer.write(TALK)
            await writer.drain()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    transport = TcpTransport("127.0.0.1", server.sockets[0].getsockname()[1])
    try:
        await transport.open(listener.heard, listener.lost)
        began = loop.time()
        await asyncio.sleep(FLOOD_SECONDS)
        assert 0 < listener.lines < MOST * (loop.time() - began)
        assert listener.longest <= 4096
    finally:
        transport.close()
        server.close()
