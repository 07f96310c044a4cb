"""Client of the farm's HTTP API, for the command line and for programs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from daemon.client.body import FormBody, Progress
from daemon.client.caller import Caller
from daemon.client.exchange import Exchange, TornadoExchange

API = "/api/farm"
GRACE = 60.0  # s in which a server takes a file in, once it has come
MIN_RATE = 50_000  # bytes/s that an upload is expected to make


class FarmClient:
    """One farm and one key.

    Every method raises ClientError or one of its kinds, see `daemon.client.errors`. What only asks is tried three
    times; what changes something only where it was certainly never sent.
    """

    def __init__(self, url: str, key: str = "", *, exchange: Exchange | None = None) -> None:
        """Take note of the server; nothing is sent yet.

        Args:
            url: like http://farm.local:5050; without a scheme it is http.
            key: of the farm's.
            exchange: how requests get there, if not over the network.

        Raises:
            ClientError: the URL is none.
        """
        self._exchange = exchange or TornadoExchange()
        self._caller = Caller(url, key, self._exchange)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._exchange.close()

    @property
    def url(self) -> str:
        """The server's address, without a slash at its end."""
        return self._caller.url

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """Return what is at an address below /api/farm."""
        return await self._caller.get(API + path, query)

    async def post(self, path: str, data: Mapping[str, Any] | None = None) -> Any:
        """Change something at an address below /api/farm; return the answer."""
        return await self._caller.post(API + path, data or {})

    async def patch(self, path: str, data: Mapping[str, Any]) -> Any:
        """Change a part of what is at an address below /api/farm; return the answer."""
        return await self._caller.patch(API + path, data)

    async def delete(self, path: str) -> None:
        """Delete, or cancel, what is at an address below /api/farm."""
        await self._caller.delete(API + path)

    async def submit(
        self, path: Path, wishes: Mapping[str, str], key: str, progress: Progress | None = None
    ) -> dict[str, Any]:
        """Give a file to the farm; return the job, the same one when asked again with the same key.

        Args:
            path: of the file.
            wishes: fields of the form: copies, material, group, …
            key: by which the farm knows this wish again.
            progress: called with bytes sent and bytes in all.

        Raises:
            OSError: the file cannot be read.
        """
        form = FormBody(dict(wishes), path, path.name, progress)
        seconds = GRACE + form.length / MIN_RATE
        job: dict[str, Any] = await self._caller.send_form(f"{API}/jobs", form, seconds, {"Idempotency-Key": key})
        return job
