"""The companion `notify` beside the service in memory: push without a socket, targets that are lists."""

import asyncio
import json
from contextlib import asynccontextmanager, suppress

from daemon.client.exchange import HttpAnswer
from daemon.client.push import Message
from daemon.companions.notify.companion import Notify
from daemon.companions.notify.config import NotifyConfig, SpoolmanConfig
from daemon.front.access.companion_keys import key_path
from support.client import in_memory
from support.http import NOW

HOOK = "https://hook.example/nozzled"
KEY = "0123456789abcdef0123456789abcdef"
TARGETS = f"hook webhook:{HOOK} {KEY}\n"


class Outside:
    """The Internet: a webhook that keeps what it is sent, and Spoolman.

    Attributes:
        letters: what came to the webhook, and was answered with 200.
        moods: what becomes of the next requests to the webhook: a status, "hangs" or "away".
    """

    def __init__(self, spoolman=None):
        self.spoolman = spoolman
        self.letters = []
        self.headers = []
        self.bodies = []
        self.moods = []

    async def send(self, request):
        if not request.url.startswith(HOOK):
            return await self.spoolman.send(request)
        mood = self.moods.pop(0) if self.moods else 200
        if mood == "hangs":
            await asyncio.Event().wait()
        if mood == "away":
            raise ConnectionResetError("Connection reset by peer")
        self.headers.append(dict(request.headers))
        self.bodies.append(request.body)
        if mood == 200:
            self.letters.append(json.loads(request.body))
        return HttpAnswer(mood, {}, b"ok")

    def close(self):
        pass

    def kinds(self):
        return [each["kind"] for each in self.letters]


class Beside(Notify):
    """The companion, whose push comes from the hub in memory."""

    server = None
    key = ""

    async def messages(self, subscription=None):
        heard = asyncio.Queue()

        async def send(texts):
            for text in texts:
                heard.put_nowait(json.loads(text))

        subscriber = self.server.application.settings["hub"].join(send, lambda: heard.put_nowait(None))
        user = (await self.server.post("/api/login", {"passive": True}, key=self.key)).json
        for said in ({"auth": f"{user['name']}:{user['session']}"}, {"subscribe": subscription}):
            subscriber.receive(json.dumps(said))
        try:
            while (message := await heard.get()) is not None:
                for kind, payload in message.items():
                    yield Message(kind, payload)
            await asyncio.Event().wait()
        finally:
            subscriber.end()


@asynccontextmanager
async def notifying(server, outside, *, targets=TARGETS, spoolman="", **config):
    """Run the companion beside a service."""
    folder = server.service.folder / "companions/notify"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "targets").write_text(targets)
    (folder / "targets").chmod(0o600)
    key = key_path(server.service.folder, "notify").read_text().strip()
    one = Beside(
        in_memory(server, key),
        folder,
        notify=NotifyConfig(**config),
        spoolman=SpoolmanConfig(url=spoolman, every_s=20),
        environ={},
        wall=lambda: NOW,
        outside=outside,
    )
    one.server, one.key = server, key
    task = asyncio.create_task(one.serve())
    await asyncio.sleep(1)
    try:
        yield one
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
