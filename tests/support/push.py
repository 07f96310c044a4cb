"""A client of the push messages without a socket, that can be as slow as it likes."""

import asyncio
import json


class Listener:
    """What one subscriber was sent."""

    def __init__(self, server, client="192.0.2.9"):
        self.server = server
        self.messages = []
        self.closed = False
        self.gate = asyncio.Event()  # shut: it reads nothing
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
        found = self.of("event")
        return [each["payload"] for each in found if each["type"] == name] if name else [each["type"] for each in found]

    def clear(self):
        self.messages.clear()
