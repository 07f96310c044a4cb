"""/api/history: the prints of the past, from the core's record."""

from typing import Any

from daemon.bridge.words import Printed
from daemon.front.http.base import ApiHandler
from daemon.front.http.errors import Refused

LIMIT = 50
MOST = 100


class HistoryHandler(ApiHandler):
    """/api/history."""

    async def get(self) -> None:
        """List the last prints, newest first."""
        text = self.get_query_argument("limit", str(LIMIT))
        if not (text.isascii() and text.isdecimal() and 1 <= int(text[:4]) <= MOST and len(text) <= len(str(MOST))):
            raise Refused(400, f"limit must be from 1 to {MOST}")
        self.write({"jobs": [_told(job) for job in await self.service.jobs.history(int(text))]})


def _told(job: Printed) -> dict[str, Any]:
    return {
        "id": job.id,
        "name": job.name,
        "path": job.path,
        "state": job.state,
        "started": job.started,
        "ended": job.ended,
        "printTime": job.print_time,
        "reason": job.reason,
    }
