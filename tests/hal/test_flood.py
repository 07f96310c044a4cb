"""A printer that never stops talking costs a bounded share of the processor and of the memory, and is still heard."""

import asyncio
import os
from contextlib import suppress

import pytest

from hal.flood import PERIOD, PORTION, Flood
from hal.serial_port import SerialTransport
from hal.tcp_port import TcpTransport

FOR = 0.7  # s


class Held:
    """What a transport does about a flood."""

    def __init__(self):
        self.calls = []

    def hold(self):
        self.calls.append("hold")

    def go_on(self):
        self.calls.append("go on")


async def test_a_portion_is_taken_and_the_rest_waits():
    held = Held()
    flood = Flood(held.hold, held.go_on)
    for _ in range(4):
        flood.note(b"x\n" * (PORTION // 4))
    assert held.calls == []
    flood.note(b"x\n" * 1000)
    flood.note(b"x\n" * 1000)
    assert held.calls == ["hold"]
    await asyncio.sleep(PERIOD)
    assert held.calls == ["hold", "go on"]
    flood.note(b"x\n" * PORTION)
    assert held.calls == ["hold", "go on"], "the time begins anew"


async def test_a_line_that_is_closed_is_not_read_again():
    held = Held()
    flood = Flood(held.hold, held.go_on)
    flood.note(b"x\n" * 1000)
    flood.stop()
    await asyncio.sleep(1)
    assert held.calls == ["hold"]


async def test_few_long_lines_are_no_flood():
    held = Held()
    flood = Flood(held.hold, held.go_on)
    for _ in range(100):
        flood.note(b"x" * 4095 + b"\n")
        await asyncio.sleep(0.001)
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
MOST = 2.5 * PORTION / PERIOD
"""Lines a second: a portion, what one more read brings, and a loaded machine."""


@pytest.mark.real_time
async def test_a_serial_line_is_read_in_portions_and_nothing_is_lost():
    master, slave = os.openpty()
    listener, transport, loop = Listener(), SerialTransport(os.ttyname(slave)), asyncio.get_running_loop()
    try:
        await transport.open(listener.heard, listener.lost)
        os.set_blocking(master, False)
        written, began = 0, loop.time()
        while loop.time() - began < FOR:
            with suppress(BlockingIOError):
                written += os.write(master, TALK)
            await asyncio.sleep(0.002)
        assert 0 < listener.lines < MOST * (loop.time() - began)
        async with asyncio.timeout(20):
            while listener.bytes < written:  # noqa: ASYNC110 - as one who looks
                await asyncio.sleep(0.01)
    finally:
        transport.close()
        os.close(master)
        os.close(slave)


@pytest.mark.real_time
async def test_a_line_over_the_network_is_read_in_portions():
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
        await asyncio.sleep(FOR)
        assert 0 < listener.lines < MOST * (loop.time() - began)
        assert listener.longest <= 4096
    finally:
        transport.close()
        server.close()
