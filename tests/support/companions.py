"""Companions beside the service in memory."""

import asyncio
from contextlib import asynccontextmanager, suppress

from daemon.client import Message
from daemon.front.access.companion_keys import key_path
from support.client import in_memory


@asynccontextmanager
async def beside(server, make, name):
    """Run what `make(client, folder)` returns, until the block ends."""
    folder = server.service.folder
    one = make(in_memory(server, key_path(folder, name).read_text().strip()), folder)
    one.messages = lambda subscription=None: events_of(server)
    task = asyncio.create_task(one.serve())
    try:
        yield one
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def events_of(server):
    """Yield what a socket would tell of events; in memory there is none."""
    told = asyncio.Queue()
    end = server.service.events.subscribe(told.put_nowait)
    try:
        while True:
            notice = await told.get()
            yield Message(notice.kind, {"type": notice.name, "payload": dict(notice.payload)})
    finally:
        end()


class FakeSwitch:
    """A switch in memory that can hang, lie and die."""

    def __init__(self, on=True):
        self.is_on = on
        self.told = []
        self.error = None
        self.stuck = self.hangs = False
        self.slow = 0.0  # s until it does what it is told; `slow_word` until it says how it is
        self.slow_word = 0.0
        self.late = 0.0  # s after which it does what it is told, also when nobody waits for its answer any more

    async def on(self):
        await self._take(on=True)

    async def off(self):
        await self._take(on=False)

    async def sense(self):
        await asyncio.sleep(self.slow_word)
        await self._take()
        return self.is_on

    async def close(self):
        pass

    async def _take(self, on=None):
        if on is not None and self.late:
            asyncio.get_running_loop().call_later(self.late, self._obey, on)
            await asyncio.sleep(self.late)
        if on is not None:
            await asyncio.sleep(self.slow)
        if on is not None and not self.late:
            self.told.append(on)
        if self.hangs:
            await asyncio.sleep(1e6)
        if self.error is not None:
            raise self.error
        if on is not None and not self.stuck:
            self.is_on = on

    def _obey(self, on):
        self.told.append(on)
        self.is_on = on
