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
STALL_TIMEOUT = 60.0  # s for a client to read a block


class LogsHandler(ApiHandler):
    """/api/logs."""

    read_scope = Scope.ADMIN

    async def get(self) -> None:
        """List the log, if the service can read it: a file, or a journal that its user may read."""
        log = await own_log.find(self.service.wall)
        free, total = await self.service.files.free_space()
        files = [] if log is None else [self._entry(log)]
        reason = {"reason": UNREADABLE} if log is None else {}
        self.write({"files": files, "free": free, "total": total, **reason})

    def _entry(self, log: own_log.OwnLog) -> dict[str, Any]:
        return {
            "name": own_log.NAME,
            "date": log.date,
            "size": log.size,
            "refs": {
                "resource": self.url(f"/plugin/logging/logs/{own_log.NAME}"),
                "download": self.url(f"/downloads/logs/{own_log.NAME}"),
            },
        }


class LogHandler(ApiHandler):
    """/downloads/logs/<name>."""

    read_scope = Scope.ADMIN

    async def get(self, name: str) -> None:
        """Send the log."""
        log = await own_log.find(self.service.wall) if name == own_log.NAME else None
        if log is None:
            raise Refused(404, "there is no such log, or it cannot be read: `journalctl -u 'nozzled*'` shows it")
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.set_header("Content-Disposition", f'attachment; filename="{own_log.NAME}"')
        if self.request.method == "HEAD":
            return
        try:
            async with aclosing(log.read()) as blocks:
                async for block in blocks:
                    self.write(block)
                    async with asyncio.timeout(STALL_TIMEOUT):
                        await self.flush()
        except StreamClosedError:
            return
        except TimeoutError:
            self.detach().close()
