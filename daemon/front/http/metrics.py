"""/metrics: metrics for Prometheus."""

import asyncio
from typing import TYPE_CHECKING, Any

from daemon.front.access import hosts
from daemon.front.access.scopes import Identity, Scope
from daemon.front.history.query import HistoryQuery
from daemon.front.http.base import ApiHandler
from daemon.front.http.identity import request_key
from daemon.front.metrics.samples import Scrape, machine_state, samples
from gcode.errors import NozzledError

if TYPE_CHECKING:
    from daemon.front.front import Front

TIMEOUT = 2.0  # s for the core and for the disk
MAX_AGE_S = 0.9  # one scrape serves all clients for this long, so a hundred of them cost no more than one


class MetricsHandler(ApiHandler):
    """/metrics."""

    def _identify(self) -> Identity | None:
        """Identify by key; clients in a network of `metrics.open_to` need none."""
        config = self.service.config
        is_our_name = hosts.is_ours(self.request.host, hosts.own_host_names(config.http.hostnames))
        is_client_known = not self._is_from_unknown_proxy()
        is_open = is_our_name and is_client_known and hosts.is_within(self.client, config.metrics.open_to)
        if is_open and not request_key(self.request):
            return Identity("metrics", Scope.READ)
        return super()._identify()

    def _is_from_unknown_proxy(self) -> bool:
        """Tell whether an unconfigured proxy forwarded this request: then the sender's address is not the client's."""
        headers = self.request.headers
        trusted = hosts.is_proxy(self.request.remote_ip or "", self.service.config.http.trusted_proxies)
        return not trusted and ("X-Forwarded-For" in headers or "Forwarded" in headers)

    async def get(self) -> None:
        """Show the metrics."""
        from daemon.front.metrics.exposition import exposition  # noqa: PLC0415 - 2 MB, only needed if scraped

        scrape = await self.settings.setdefault("metrics", CachedScrape(self.service, self.settings)).scrape()
        text, kind = exposition(samples(self.service, scrape), self.request.headers.get("Accept", ""))
        self.set_header("Content-Type", kind)
        self.write(text)


class CachedScrape:
    """The values that core, database and machine are asked for, at most once in MAX_AGE_S."""

    def __init__(self, service: "Front", settings: dict[str, Any]) -> None:
        self._service = service
        self._settings = settings
        self._task: asyncio.Task[Scrape] | None = None
        self._started_at = 0.0  # by the loop's clock

    async def scrape(self) -> Scrape:
        """Return the values; simultaneous calls share one scrape."""
        now = asyncio.get_running_loop().time()
        if self._task is None or (self._task.done() and now - self._started_at >= MAX_AGE_S):
            self._task, self._started_at = asyncio.create_task(self._ask()), now
        return await asyncio.shield(self._task)

    async def _ask(self) -> Scrape:
        core, totals, machine = await asyncio.gather(self._core(), self._totals(), self._machine())
        settings = self._settings
        return Scrape(core, totals, machine, settings["began"], settings["answers"], settings["hub"].count)

    async def _core(self) -> Any:
        return await _or_none(self._service.connection.core_tally())

    async def _totals(self) -> Any:
        rows = await _or_none(self._service.history.totals(HistoryQuery(), "state"))
        return rows[-1] if rows else None

    async def _machine(self) -> Any:
        return await _or_none(asyncio.to_thread(machine_state, self._service)) or {}


async def _or_none(value: Any) -> Any:
    """Await a value; None: it failed or took too long, which must not hide the other values."""
    try:
        async with asyncio.timeout(TIMEOUT):
            return await value
    except (NozzledError, OSError, TimeoutError):
        return None
