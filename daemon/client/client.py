"""OctoPrintClient: the API of this daemon, and of OctoPrint, for Python programs."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Self, cast

from daemon.client.caller import Caller
from daemon.client.exchange import Exchange, TornadoExchange
from daemon.client.push import Message, Push
from daemon.client.resources import (
    CompanionsClient,
    ConnectionClient,
    FilesClient,
    HistoryClient,
    JobClient,
    PrinterClient,
    QueueClient,
    ResumeAtClient,
)
from daemon.client.shapes import Version


class OctoPrintClient:
    """One server and one key.

        async with OctoPrintClient("http://printer.local:5000", key) as printer:
            await printer.files.upload(Path("cube.gcode"), select=True)
            await printer.job.start()
            async for message in printer.push():
                ...

    Every method raises ClientError or a subclass, see `daemon.client.errors`. Requests that only read are tried three
    times; others are retried only if they were certainly never sent.
    """

    job: JobClient
    queue: QueueClient
    history: HistoryClient
    resume_at: ResumeAtClient
    files: FilesClient
    printer: PrinterClient
    connection: ConnectionClient
    companions: CompanionsClient

    def __init__(self, url: str, key: str = "", *, exchange: Exchange | None = None) -> None:
        """Prepare; nothing is sent yet.

        Args:
            url: like http://printer.local:5000, with its path if it has one; the default scheme is http.
            key: an API key.
            exchange: replaces the network, for tests.

        Raises:
            ClientError: the URL is wrong, or the key cannot be sent.
        """
        self._exchange = exchange or TornadoExchange()
        self._caller = Caller(url, key, self._exchange)
        self.job = JobClient(self._caller)
        self.history = HistoryClient(self._caller)
        self.resume_at = ResumeAtClient(self._caller)
        self.queue = QueueClient(self._caller)
        self.files = FilesClient(self._caller)
        self.printer = PrinterClient(self._caller)
        self.connection = ConnectionClient(self._caller)
        self.companions = CompanionsClient(self._caller)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the HTTP client; the next request opens it again."""
        self._exchange.close()

    @property
    def url(self) -> str:
        """The server's address, without a slash at its end."""
        return self._caller.url

    @property
    def headers(self) -> dict[str, str]:
        """The headers that authenticate the client, for requests made without this class."""
        return self._caller.headers

    async def version(self) -> Version:
        """Return name and version of the server."""
        return cast("Version", await self._caller.get("/api/version"))

    async def settings(self) -> dict[str, Any]:
        """Return the settings, as far as the key may see them."""
        return cast("dict[str, Any]", await self._caller.get("/api/settings"))

    async def get(self, path: str) -> Any:
        """Return the JSON at a path of the API that has no method here."""
        return await self._caller.get(path)

    async def fetch(self, path: str) -> bytes:
        """Return the bytes at a path, for content other than JSON."""
        return await self._caller.fetch(path)

    async def head(self, path: str) -> None:
        """Ask for a path without its content; raises NotFound if nothing is there."""
        await self._caller.head(path)

    async def post(self, path: str, data: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Any:
        """Send JSON to a path of the API that has no method here; return the answer."""
        return await self._caller.post(path, data, headers=headers)

    async def patch(self, path: str, data: Mapping[str, Any]) -> Any:
        """Send JSON that changes a part of a resource of the API; return the answer."""
        return await self._caller.patch(path, data)

    async def delete(self, path: str) -> None:
        """Delete a resource of the API that has no method here."""
        await self._caller.delete(path)

    def push(
        self, *, throttle: int | None = None, subscription: Mapping[str, Any] | None = None
    ) -> AsyncIterator[Message]:
        """Return an iterator over the server's push messages; it reconnects if the connection is lost.

        Each connection begins with `connected` and `history`, so nothing that was missed has to be requested.

        Args:
            throttle: minimum interval of `current` messages, in half seconds.
            subscription: the messages to receive, in OctoPrint's form: {"state": {"logs": false}, "events": true}.

        Raises:
            ClientError: while iterating: the first connection failed, or the server refuses.
        """
        return Push(self._caller, throttle, subscription).messages()
