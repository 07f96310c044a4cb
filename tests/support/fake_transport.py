"""A transport that a test is the other end of."""

import asyncio
import re
from collections.abc import Callable


class FakeTransport:
    """A transport whose other end is the test: it keeps what is written, and answers by a function of it."""

    address = "fake"
    baudrate = None

    def __init__(self, answer: Callable[[bytes], bytes] = lambda _line: b"ok\n", delay: float = 0.001) -> None:
        self.answer = answer
        self.delay = delay
        self.written = bytearray()
        self.calls: list[str] = []
        self.opening: asyncio.Future[None] | None = None  # set it, and `open` waits for it
        self.on_data = self.on_lost = None

    async def open(self, on_data, on_lost):
        self.calls.append("open")
        if self.opening is not None:
            await self.opening
        self.on_data, self.on_lost = on_data, on_lost

    def write(self, data):
        assert "close" not in self.calls, f"written behind the end: {data!r}"
        self.written += data
        for line in data.split(b"\n"):
            if line and (said := self.answer(line)):
                asyncio.get_running_loop().call_later(self.delay, self.say, said)

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
        """What was written, without numbers and checksums."""
        lines = bytes(self.written).decode("utf-8", "replace").split("\n")
        return [re.sub(r"^N\d+ |\*\d+$", "", line) for line in lines if line]
