"""/api/job/keyed: the print that was requested with an idempotency key."""

from typing import Any

from daemon.front.http.base import ApiHandler
from daemon.front.http.idempotency import MAX_KEY_LENGTH
from daemon.http.errors import Refused

_DIGITS = 15


class KeyedPrintHandler(ApiHandler):
    """/api/job/keyed."""

    async def get(self) -> None:
        """Return the print of the key, the last job, and the job whose number the client sends as `behind`.

        A client sends the number of the job that was the last one at its previous request. If that job is missing from
        the answer, or has another date, the core's record has been replaced since.
        """
        key, behind = self.get_query_argument("key", ""), self.get_query_argument("behind", "")
        if not 0 < len(key) <= MAX_KEY_LENGTH:
            raise Refused(400, f"key must be an idempotency key, of 1 to {MAX_KEY_LENGTH} characters")
        if behind and not (behind.isascii() and behind.isdecimal() and len(behind) <= _DIGITS):
            raise Refused(400, "behind must be the number of a job")
        jobs = self.service.jobs
        keyed_print = await jobs.print_of_key(key)
        last = await jobs.history(1)
        earlier = await jobs.print_records(int(behind) - 1, 1) if behind else []
        answer: dict[str, Any] = {"print": None, "last": None, "behind": None}
        if keyed_print is not None:
            answer["print"] = {
                "id": keyed_print.job,
                "state": keyed_print.state,
                "reason": keyed_print.reason,
                "began": keyed_print.began,
                "ended": keyed_print.ended,
            }
        if last:
            answer["last"] = {"id": last[0].id, "started": last[0].started}
        if earlier and earlier[0].id == int(behind):
            answer["behind"] = {"id": earlier[0].id, "started": earlier[0].started}
        self.write(answer)
