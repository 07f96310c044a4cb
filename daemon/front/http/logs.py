"""/api/logs and /plugin/logging/logs: the service's own log, for keys of scope admin."""

import asyncio
from contextlib import aclosing
from typing import Any

from tornado.iostream import StreamClosedError

from daemon.front import own_log
from daemon.front.access.scopes import Scope
from daemon.front.http.base import ApiHandler
from daemon.http.errors import Refused

UNREADABLE = "the service's user cannot read its own log: `journalctl -u 'nozzled*'` shows it"
STALLED = 60.0  # s; who has not read a block by then has gone away


class LogsHandler(ApiHandler):
    """/api/logs."""

    reads = Scope.ADMIN

    async def get(self) -> None:
        """List the log, where it can be read: in a file, or in a journal that this user may read."""
        found = await own_log.find(self.service.wall)
        free, total = await self.service.files.free_space()
        files = [] if found is None else [self._entry(found)]
        reason = {"reason": UNREADABLE} if found is None else {}
        self.write({"files": files, "free": free, "total": total, **reason})

    def _entry(self, found: own_log.OwnLog) -> dict[str, Any]:
        return {
            "name": own_log.NAME,
            "date": found.date,
            "size": found.size,
            "refs": {
                "resource": self.url(f"/plugin/logging/logs/{own_log.NAME}"),
                "download": self.url(f"/downloads/logs/{own_log.NAME}"),
            },
        }


class LogHandler(ApiHandler):
    """/downloads/logs/<name>."""

    reads = Scope.ADMIN

    async def get(self, name: str) -> None:
        """Send the log."""
        found = await own_log.find(self.service.wall) if name == own_log.NAME else None
        if found is None:
            raise Refused(404, "there is no such log, or it cannot be read: `journalctl -u 'nozzled*'` shows it")
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.set_header("Content-Disposition", f'attachment; filename="{own_log.NAME}"')
        if self.request.method == "HEAD":
            return
        try:
            async with aclosing(found.read()) as blocks:  # type: ignore[type-var]  # a generator, both of them
                async for block in blocks:
                    self.write(block)
                    async with asyncio.timeout(STALLED):
                        await self.flush()
        except StreamClosedError:
            return
        except TimeoutError:
            self.detach().close()
