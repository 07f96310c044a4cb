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

    Every method raises ClientError or one of its kinds, see `daemon.client.errors`. What only asks is tried three
    times; what changes something only where it was certainly never sent.
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
        """Take note of the server; nothing is sent yet.

        Args:
            url: like http://printer.local:5000, with the path if it has one; without a scheme it is http.
            key: an API key.
            exchange: how requests get there, if not over the network.

        Raises:
            ClientError: the URL is none.
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
        """Let go of what is held; it comes back with the next request."""
        self._exchange.close()

    @property
    def url(self) -> str:
        """The server's address, without a slash at its end."""
        return self._caller.url

    @property
    def headers(self) -> dict[str, str]:
        """What shows the server who asks, for a request that is made otherwise."""
        return self._caller.headers

    async def version(self) -> Version:
        """Return which server it is."""
        return cast("Version", await self._caller.get("/api/version"))

    async def settings(self) -> dict[str, Any]:
        """Return the settings, as far as the key may see them."""
        return cast("dict[str, Any]", await self._caller.get("/api/settings"))

    async def get(self, path: str) -> Any:
        """Return what an address of the API answers that has no method here."""
        return await self._caller.get(path)

    async def fetch(self, path: str) -> bytes:
        """Return the bytes of what is at an address and no JSON."""
        return await self._caller.fetch(path)

    async def post(self, path: str, data: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Any:
        """Send JSON to an address of the API that has no method here; return the answer."""
        return await self._caller.post(path, data, headers=headers)

    async def patch(self, path: str, data: Mapping[str, Any]) -> Any:
        """Send JSON that changes a part of what is at an address of the API; return the answer."""
        return await self._caller.patch(path, data)

    async def delete(self, path: str) -> None:
        """Delete what is at an address of the API that has no method here."""
        await self._caller.delete(path)

    def push(
        self, *, throttle: int | None = None, subscription: Mapping[str, Any] | None = None
    ) -> AsyncIterator[Message]:
        """Return an iterator over what the server tells by itself; it connects again where the line is lost.

        After each connection come `connected` and `history`, so nothing need be asked for that was missed.

        Args:
            throttle: one `current` every so many half seconds at most.
            subscription: which messages are wanted, in OctoPrint's form: {"state": {"logs": false}, "events": true}.

        Raises:
            ClientError: while iterating: no connection from the beginning, or the server refuses.
        """
        return Push(self._caller, throttle, subscription).messages()
