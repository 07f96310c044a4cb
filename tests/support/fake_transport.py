"""A transport for tests of the driver, without a firmware."""

import asyncio
import re
from collections.abc import Callable
from contextlib import asynccontextmanager

from hal.driver import LinePrinter, LinkSettings


class FakeTransport:
    """A transport that records written data, and answers each line by a function."""

    address = "fake"
    baudrate = None

    def __init__(self, answer: Callable[[bytes], bytes] = lambda _line: b"ok\n", delay: float = 0.001) -> None:
        self.answer = answer
        self.delay = delay
        self.written = bytearray()
        self.calls: list[str] = []
        self.opening: asyncio.Future[None] | None = None  # `open` awaits it
        self.on_data = self.on_lost = None

    async def open(self, on_data, on_lost):
        self.calls.append("open")
        if self.opening is not None:
            await self.opening
        self.on_data, self.on_lost = on_data, on_lost

    def write(self, data):
        assert "close" not in self.calls, f"written after close: {data!r}"
        self.written += data
        for line in data.split(b"\n"):
            if line and (reply := self.answer(line)):
                asyncio.get_running_loop().call_later(self.delay, self.say, reply)

    def say(self, data):
        if "close" not in self.calls:
            self.on_data(data)

    def reset(self):
        self.calls.append("reset")

    def close(self):
        if "close" not in self.calls:
            self.calls.append("close")

    @property
    def commands(self) -> list[str]:
        """The commands written, without numbers and checksums."""
        lines = bytes(self.written).decode("utf-8", "replace").split("\n")
        return [re.sub(r"^N\d+ |\*\d+$", "", line) for line in lines if line]


@asynccontextmanager
async def connected(transport, **settings):
    """Open a printer on a transport; `events` has its published events."""
    printer = LinePrinter(transport, LinkSettings(**settings))
    printer.events = []
    printer.subscribe(printer.events.append)
    await printer.open()
    await asyncio.sleep(0.1)  # the first temperature report
    try:
        yield printer
    finally:
        await printer.close()
