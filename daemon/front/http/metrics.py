"""/metrics: the numbers, for Prometheus."""

import asyncio
from typing import TYPE_CHECKING, Any

from daemon.front.access import hosts
from daemon.front.access.scopes import Identity, Scope
from daemon.front.history.question import HistoryQuery
from daemon.front.http.base import ApiHandler
from daemon.front.http.identity import given_key
from daemon.front.metrics.samples import Scraped, look, samples
from gcode.errors import NozzledError

if TYPE_CHECKING:
    from daemon.front.front import Front

PATIENCE = 2.0  # s for the core, which has a wire to serve, and for the disk
FRESH = 0.9  # s for which an answer is good for others, too: no number of scrapers costs more than one


class MetricsHandler(ApiHandler):
    """/metrics."""

    def _identify(self) -> Identity | None:
        """Let in who has a key, and without one whoever comes from a network that is configured."""
        config = self.service.config
        named = hosts.is_ours(self.request.host, hosts.own_names(config.http.hostnames))
        open_to_it = named and not self._is_from_elsewhere() and hosts.is_within(self.client, config.metrics.open_to)
        if open_to_it and not given_key(self.request):
            return Identity("metrics", Scope.READ)
        return super()._identify()

    def _is_from_elsewhere(self) -> bool:
        """Tell whether this comes by a proxy that nobody has named: its own address says nothing of who asks."""
        headers = self.request.headers
        trusted = hosts.is_proxy(self.request.remote_ip or "", self.service.config.http.trusted_proxies)
        return not trusted and ("X-Forwarded-For" in headers or "Forwarded" in headers)

    async def get(self) -> None:
        """Tell them."""
        from daemon.front.metrics.exposition import exposition  # noqa: PLC0415 - 2 MB, for those who are scraped

        known = await self.settings.setdefault("metrics", Lately(self.service, self.settings)).scrape()
        text, kind = exposition(samples(self.service, known), self.request.headers.get("Accept", ""))
        self.set_header("Content-Type", kind)
        self.write(text)


class Lately:
    """What has to be asked for, asked at most once a second."""

    def __init__(self, service: "Front", settings: dict[str, Any]) -> None:
        self._service = service
        self._settings = settings
        self._asking: asyncio.Task[Scraped] | None = None
        self._asked = 0.0

    async def scrape(self) -> Scraped:
        """Return it; several who ask at once are answered by one look."""
        now = asyncio.get_running_loop().time()
        if self._asking is None or (self._asking.done() and now - self._asked >= FRESH):
            self._asking, self._asked = asyncio.create_task(self._ask()), now
        return await asyncio.shield(self._asking)

    async def _ask(self) -> Scraped:
        core, totals, machine = await asyncio.gather(self._core(), self._totals(), self._machine())
        settings = self._settings
        return Scraped(core, totals, machine, settings["began"], settings["answers"], settings["hub"].count)

    async def _core(self) -> Any:
        return await _or_none(self._service.connection.core_tally())

    async def _totals(self) -> Any:
        rows = await _or_none(self._service.history.totals(HistoryQuery(), "state"))
        return rows[-1] if rows else None

    async def _machine(self) -> Any:
        return await _or_none(asyncio.to_thread(look, self._service)) or {}


async def _or_none(asked: Any) -> Any:
    """Return an answer; None: there is none in time, and the others are told without it."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await asked
    except (NozzledError, OSError, TimeoutError):
        return None
