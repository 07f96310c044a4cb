"""/api/job/keyed: what became of the print that was asked for with an idempotency key."""

from typing import Any

from daemon.front.http.base import ApiHandler
from daemon.front.http.idempotency import LONGEST
from daemon.http.errors import Refused

_DIGITS = 15


class KeyedPrintHandler(ApiHandler):
    """/api/job/keyed."""

    async def get(self) -> None:
        """Tell what the core knows of it; by an earlier job of the record one sees whether it is still that record."""
        key, behind = self.get_query_argument("key", ""), self.get_query_argument("behind", "")
        if not 0 < len(key) <= LONGEST:
            raise Refused(400, f"key must be an idempotency key, of 1 to {LONGEST} characters")
        if behind and not (behind.isascii() and behind.isdecimal() and len(behind) <= _DIGITS):
            raise Refused(400, "behind must be the number of a job")
        jobs = self.service.jobs
        begun = await jobs.of_key(key)
        last = await jobs.history(1)
        found = await jobs.recorded(int(behind) - 1, 1) if behind else []
        told: dict[str, Any] = {"print": None, "last": None, "behind": None}
        if begun is not None:
            told["print"] = {
                "id": begun.job,
                "state": begun.state,
                "reason": begun.reason,
                "began": begun.began,
                "ended": begun.ended,
            }
        if last:
            told["last"] = {"id": last[0].id, "started": last[0].started}
        if found and found[0].id == int(behind):
            told["behind"] = {"id": found[0].id, "started": found[0].started}
        self.write(told)
