"""The companion `notify` beside the service in memory: push without a socket, a fake Internet."""

import asyncio
import json
from contextlib import asynccontextmanager

from daemon.client.exchange import HttpAnswer
from daemon.companions.notify.companion import Notify
from daemon.companions.notify.config import NotifyConfig, SpoolmanConfig
from support.client import in_memory
from support.companions import HubMessages, companion_key, running
from support.http import NOW

HOOK = "https://hook.example/nozzled"
KEY = "0123456789abcdef0123456789abcdef"
TARGETS = f"hook webhook:{HOOK} {KEY}\n"


class FakeInternet:
    """A webhook that records its requests, and Spoolman.

    Attributes:
        deliveries: the notifications that the webhook has answered with 200.
        outcomes: of the next requests to the webhook: a status, "hangs" or "away".
    """

    def __init__(self, spoolman=None):
        self.spoolman = spoolman
        self.deliveries = []
        self.headers = []
        self.bodies = []
        self.outcomes = []

    async def send(self, request):
        if not request.url.startswith(HOOK):
            return await self.spoolman.send(request)
        outcome = self.outcomes.pop(0) if self.outcomes else 200
        if outcome == "hangs":
            await asyncio.Event().wait()
        if outcome == "away":
            raise ConnectionResetError("Connection reset by peer")
        self.headers.append(dict(request.headers))
        self.bodies.append(request.body)
        if outcome == 200:
            self.deliveries.append(json.loads(request.body))
        return HttpAnswer(outcome, {}, b"ok")

    def close(self):
        pass

    def kinds(self):
        return [each["kind"] for each in self.deliveries]


class NotifyBeside(HubMessages, Notify):
    """The companion beside a service in memory."""


@asynccontextmanager
async def notifying(server, internet, *, targets=TARGETS, spoolman="", **config):
    """Run the companion beside a service."""
    folder = server.service.folder / "companions/notify"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "targets").write_text(targets)
    (folder / "targets").chmod(0o600)
    key = companion_key(server, "notify")
    companion = NotifyBeside(
        in_memory(server, key),
        folder,
        notify=NotifyConfig(**config),
        spoolman=SpoolmanConfig(url=spoolman, every_s=20),
        environ={},
        wall=lambda: NOW,
        outside=internet,
    )
    companion.server, companion.key = server, key
    async with running(companion, start=1):
        yield companion
