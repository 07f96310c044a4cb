"""The shipped Python client, whose requests go straight into the application in memory."""

from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from daemon import app
from daemon.client import OctoPrintClient
from daemon.client.body import FormBody
from daemon.client.exchange import HttpAnswer, Request
from daemon.front.http.server import listen
from support.both import Service
from support.http import KEY, NOW, Api, config

URL = "http://printer.local:5000"


class InMemoryExchange:
    """An exchange without a socket; records its requests."""

    def __init__(self, server: Api):
        self.sent: list[Request] = []
        self._server = server

    async def send(self, request: Request) -> HttpAnswer:
        self.sent.append(request)
        body = request.body or b""
        if isinstance(body, FormBody):
            body = [piece async for piece in body.pieces()]
        path = request.url.removeprefix(URL)
        response = await self._server.request(request.method, path, body, headers=dict(request.headers), key=None)
        return HttpAnswer(response.status, {k.lower(): v for k, v in response.headers.get_all()}, response.body)

    def close(self) -> None:
        pass


def in_memory(server: Api, key: str = KEY) -> OctoPrintClient:
    """Return a client of this service."""
    return OctoPrintClient(URL, key, exchange=InMemoryExchange(server))


@asynccontextmanager
async def listening(
    folder: Path, address: str = "sim", *, switched_on: Collection[str] = (), **sections: dict[str, Any]
) -> AsyncIterator[tuple[Service, str]]:
    """Run the service on a free port of this machine; yields it and its URL."""
    settings = config(folder, address, **{"http": {"port": 0}, **sections})
    async with AsyncExitStack() as stack:
        both = await app.start(stack, settings, {"NOZZLED_API_KEY": KEY}, lambda: NOW, switched_on=switched_on)
        listener = listen(both.front)
        stack.push_async_callback(listener.close)
        yield Service(both), listener.url.rstrip("/")
