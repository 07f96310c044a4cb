"""Client of the farm's HTTP API, for the command line and for programs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from daemon.client.body import FormBody, ShowProgress
from daemon.client.caller import Caller
from daemon.client.exchange import Exchange, TornadoExchange

API = "/api/farm"
GRACE_S = 60.0  # in which the server must answer after the whole file has arrived
MIN_RATE = 50_000  # bytes/s; a slower upload times out


class FarmClient:
    """A client of one farm, with one key.

    Every method raises ClientError or one of its subclasses, see `daemon.client.errors`. A request that only reads is
    tried three times; one that changes something is repeated only if it was certainly never sent.
    """

    def __init__(self, url: str, key: str = "", *, exchange: Exchange | None = None) -> None:
        """Prepare; nothing is sent yet.

        Args:
            url: of the farm, such as http://farm.local:5050; without a scheme it is http.
            key: an API key of the farm.
            exchange: sends the requests; None: over the network.

        Raises:
            ClientError: the URL is not valid.
        """
        self._exchange = exchange or TornadoExchange()
        self._caller = Caller(url, key, self._exchange)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._exchange.close()

    @property
    def url(self) -> str:
        """The farm's URL, without a trailing slash."""
        return self._caller.url

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """GET a path below /api/farm; return the answer."""
        return await self._caller.get(API + path, query)

    async def post(self, path: str, data: Mapping[str, Any] | None = None) -> Any:
        """POST to a path below /api/farm; return the answer."""
        return await self._caller.post(API + path, data or {})

    async def patch(self, path: str, data: Mapping[str, Any]) -> Any:
        """PATCH a path below /api/farm; return the answer."""
        return await self._caller.patch(API + path, data)

    async def delete(self, path: str) -> None:
        """DELETE a path below /api/farm."""
        await self._caller.delete(API + path)

    async def submit(
        self, path: Path, fields: Mapping[str, str], key: str, progress: ShowProgress | None = None
    ) -> dict[str, Any]:
        """Submit a file as a job, and return the job; the same key never makes a second job.

        Args:
            path: of the file.
            fields: of the form: copies, material, group, …
            key: idempotency key.
            progress: called with the bytes sent and the bytes in all.

        Raises:
            OSError: the file cannot be read.
        """
        form = FormBody(dict(fields), path, path.name, progress)
        seconds = GRACE_S + form.length / MIN_RATE
        job: dict[str, Any] = await self._caller.send_form(f"{API}/jobs", form, seconds, {"Idempotency-Key": key})
        return job
