"""The history: copies that have ended, as JSON, and as CSV for other programs."""

import csv
import io
from collections.abc import Mapping
from datetime import UTC, datetime

from daemon.farm.http.base import FarmHandler
from daemon.farm.http.views import copy_view
from daemon.farm.list.job_list import JobList
from daemon.farm.list.values import FINAL_STATES, FarmCopy
from daemon.http.errors import Refused

MAX_ROWS = 500  # copies in an answer
MAX_CSV_ROWS = 10_000

COLUMNS = ("job", "copy", "state", "printer", "begun", "ended", "seconds", "filament_mm", "reason")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a cell that begins with one of these characters for a formula."""


class FarmHistoryHandler(FarmHandler):
    """/api/farm/history."""

    async def get(self) -> None:
        """List copies that have ended, the newest first."""
        copies, names = await self.query(self.get_integer("limit", 100, 1, MAX_ROWS))
        self.answer({"copies": [copy_view(copy, self.farm.printers, names.get(copy.job, "")) for copy in copies]})

    async def query(self, limit: int) -> tuple[list[FarmCopy], dict[str, str]]:
        """Return the copies that the request's query selects, and the names of their jobs by id."""
        before = self.get_number("before", 4e9, 0, 4e9)
        state = self.get_query_argument("state", "")
        if state and state not in FINAL_STATES:
            raise Refused(400, f"state must be {', '.join(FINAL_STATES[:-1])} or {FINAL_STATES[-1]}")
        printer, name, before_copy = (self.get_short_text(each) for each in ("printer", "q", "before_copy"))

        def read(jobs: JobList) -> tuple[list[FarmCopy], dict[str, str]]:
            copies = jobs.history(limit, before, printer, state, name, before_copy)
            return copies, jobs.job_names({copy.job for copy in copies})

        return await self.ask(read)


class FarmHistoryTableHandler(FarmHistoryHandler):
    """/api/farm/history.csv."""

    async def get(self) -> None:
        """Answer with the history as a table."""
        copies, names = await self.query(self.get_integer("limit", MAX_CSV_ROWS, 1, MAX_CSV_ROWS))
        self.set_header("Content-Type", "text/csv; charset=utf-8")
        self.set_header("Content-Disposition", 'attachment; filename="history.csv"')
        self.write(render_csv(copies, names))


def render_csv(copies: list[FarmCopy], names: Mapping[str, str]) -> str:
    """Return copies as CSV."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for copy in copies:
        name, begun, ended = names.get(copy.job, copy.job), _date(copy.begun), _date(copy.ended)
        row = (name, copy.number, copy.state, copy.printer, begun, ended, round(copy.seconds), round(copy.filament_mm))
        writer.writerow([_cell(each) for each in (*row, copy.reason)])
    return out.getvalue()


def _date(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value
