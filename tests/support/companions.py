"""Companions beside the service in memory."""

import asyncio
import json
from contextlib import asynccontextmanager, suppress

from daemon.client import Message
from daemon.front.access.companion_keys import key_path
from support.client import in_memory


@asynccontextmanager
async def beside(server, make, name):
    """Run what `make(client, folder)` returns, until the block ends."""
    folder = server.service.folder
    companion = make(in_memory(server, companion_key(server, name)), folder)
    companion.messages = lambda subscription=None: events_of(server)
    async with running(companion):
        yield companion


@asynccontextmanager
async def running(companion, start=0.0):
    """Run a companion during the block, which is entered `start` s later."""
    task = asyncio.create_task(companion.serve())
    if start:
        await asyncio.sleep(start)
    try:
        yield companion
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def companion_key(server, name):
    """Return the API key that the service has made for a companion."""
    return key_path(server.service.folder, name).read_text().strip()


async def events_of(server):
    """Yield the service's events as push messages, without a socket."""
    events = asyncio.Queue()
    unsubscribe = server.service.events.subscribe(events.put_nowait)
    try:
        while True:
            event = await events.get()
            yield Message(event.kind, {"type": event.name, "payload": dict(event.payload)})
    finally:
        unsubscribe()


class HubMessages:
    """A companion's push messages come from the hub in memory, not from a socket."""

    server = None
    key = ""

    async def messages(self, subscription=None):
        queue = asyncio.Queue()

        async def send(texts):
            for text in texts:
                queue.put_nowait(json.loads(text))

        subscriber = self.server.application.settings["hub"].join(send, lambda: queue.put_nowait(None))
        user = (await self.server.post("/api/login", {"passive": True}, key=self.key)).json
        for message in ({"auth": f"{user['name']}:{user['session']}"}, {"subscribe": subscription}):
            subscriber.receive(json.dumps(message))
        try:
            while (message := await queue.get()) is not None:
                for kind, payload in message.items():
                    yield Message(kind, payload)
            await asyncio.Event().wait()
        finally:
            subscriber.end()


class FakeSwitch:
    """A switch in memory that can be slow, hang, fail, or do nothing."""

    def __init__(self, on=True):
        self.is_on = on
        self.commands = []
        self.error = None
        self.stuck = self.hangs = False
        self.command_delay = 0.0  # s until it executes a command; a cancelled command is not executed
        self.sense_delay = 0.0  # s until it reports its state
        self.late = 0.0  # s until it executes a command, even a cancelled one

    async def on(self):
        await self._take(on=True)

    async def off(self):
        await self._take(on=False)

    async def sense(self):
        await asyncio.sleep(self.sense_delay)
        await self._take()
        return self.is_on

    async def close(self):
        pass

    async def _take(self, on=None):
        if on is not None and self.late:
            asyncio.get_running_loop().call_later(self.late, self._obey, on)
            await asyncio.sleep(self.late)
        if on is not None:
            await asyncio.sleep(self.command_delay)
        if on is not None and not self.late:
            self.commands.append(on)
        if self.hangs:
            await asyncio.sleep(1e6)
        if self.error is not None:
            raise self.error
        if on is not None and not self.stuck:
            self.is_on = on

    def _obey(self, on):
        self.commands.append(on)
        self.is_on = on
