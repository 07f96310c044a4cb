"""A client of the push messages without a socket, of any speed."""

import asyncio
import json
from contextlib import asynccontextmanager

from support.http import api


class Listener:
    """A subscriber that records its messages."""

    def __init__(self, server, client="192.0.2.9"):
        self.server = server
        self.messages = []
        self.closed = False
        self.gate = asyncio.Event()  # while it is not set, nothing is read
        self.gate.set()
        self.subscriber = server.application.settings["hub"].join(self._send, self._close, client)

    async def _send(self, texts):
        await self.gate.wait()
        self.messages += [json.loads(text) for text in texts]

    def _close(self):
        self.closed = True

    def say(self, **message):
        self.subscriber.receive(json.dumps(message))

    async def login(self, **key):
        """Authenticate, and wait for the history."""
        user = (await self.server.post("/api/login", {"passive": True}, **key)).json
        self.say(auth=f"{user['name']}:{user['session']}")
        await asyncio.sleep(0.1)
        return user

    def kinds(self):
        return [next(iter(message)) for message in self.messages]

    def of(self, kind):
        return [message[kind] for message in self.messages if kind in message]

    def events(self, name=None):
        events = self.of("event")
        if name:
            return [each["payload"] for each in events if each["type"] == name]
        return [each["type"] for each in events]

    def clear(self):
        self.messages.clear()

    def prints(self):
        """Return the names of events about prints."""
        return [name for name in self.events() if name.startswith("Print") and name != "PrinterStateChanged"]


@asynccontextmanager
async def listening(folder, address="sim", **sections):
    """Run the service with a listener that has logged in; yields both."""
    async with api(folder, address, **sections) as server:
        listener = Listener(server)
        await listener.login()
        yield server, listener
