"""History: all prints, with details that remain when their files are deleted.

The core's record says what was printed and how it ended. The history is a copy of it that users can search without
burdening the core. Details (layers, filament, a thumbnail) are added once, after a print has ended.

The copy is incremental: it continues after the last finished print that it has. Three cases need more:

- prints that had not ended at the last copy are copied again;
- an import may have put prints before all others (negative numbers): then everything is copied again;
- if the core's record was lost, its numbers start from 1 again. The prints of the lost record are moved down by a
  multiple of RENUMBER_STEP, below all numbers of the new one and of records that were lost before.
"""

import asyncio
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import Any

import structlog

from daemon.bridge.remote import RemoteCore
from daemon.bridge.words import PrintRecord
from daemon.errors import NoSuchPrint, StoreError
from daemon.front.analysis.findings import Findings
from daemon.front.analysis.service import Analyses
from daemon.front.analysis.store import FileKey
from daemon.front.cache.cache import Cache
from daemon.front.history.filament import usage
from daemon.front.history.query import HistoryQuery
from daemon.front.wake_loop import work_when_woken
from gcode.errors import NozzledError

BEFORE_ALL = -(2**62)
RENUMBER_STEP = 2**40  # the numbers of a lost record's prints are lowered by a multiple of it
BATCH = 50  # prints that get their details in one transaction
MAX_ON_LOOP = 101  # prints that are converted to JSON on the loop; more go to a thread
MAX_ROWS = 1000  # in one transaction
ANALYSIS_TIMEOUT = 60.0  # s to wait for the analysis of a file whose print has just ended
OLDER_INTERVAL = 10.0  # s between two checks for imported prints
MAX_PICTURE = 256 * 1024  # bytes
MAX_PICTURES = 2000

log = structlog.get_logger()


class History:
    """All prints, newest first."""

    def __init__(self, cache: Cache, core: RemoteCore, analyses: Analyses) -> None:
        self._cache = cache
        self._core = core
        self._analyses = analyses
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._seen_records: int | None = None  # the latest `Core.records`, a counter of changes
        self._copied_state: tuple[object, ...] | None = None  # the `_core_state` of the last copy
        self._is_checked = False  # the copy belongs to the core's record, and lacks none of its older prints
        self._next_older_check = 0.0  # by the loop's clock
        self._task: asyncio.Task[None] | None = None
        self._sync_task: asyncio.Task[None] | None = None  # of `refresh`

    def open(self) -> None:
        """Follow the core's record."""
        self._core.on_change(self._on_change)
        self._task = asyncio.create_task(
            work_when_woken(self._wake, self._update, waits_event="history.waits", failed_event="history.failed")
        )

    async def close(self) -> None:
        """Stop following it."""
        for task in (self._task, self._sync_task):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])

    def _on_change(self) -> None:
        if self._core.is_known and self._core.records != self._seen_records:
            self._seen_records = self._core.records
            self._wake.set()

    async def _update(self) -> None:
        await self.sync()
        await self._add_details()

    # -- copying the core's record ---------------------------------------------------------------------------

    async def sync(self) -> None:
        """Copy new prints from the core's record.

        Raises:
            StoreError: the database cannot be written.
            CoreAway: the core does not answer.
        """
        job, state = self._core.jobs.summary, self._core_state()
        async with self._lock:
            older = await self._has_older()
            if state == self._copied_state and not job.active and not older:
                return
            await self._copy(await self._find_copy_start())
            if job.active and job.id is not None and job.state is not None:  # the record has only the last checkpoint
                await self._cache.change(_STATE, job.state.value, job.id, job.state.value)
            self._copied_state = state

    def _core_state(self) -> tuple[object, ...]:
        """Return values that change whenever the copy becomes outdated."""
        job = self._core.jobs.summary
        return self._core.records, job.id, job.state

    async def refresh(self, seconds: float) -> bool:
        """Copy new prints, and wait for at most this many seconds: the first copy of years of prints takes longer.

        Simultaneous requests share one copy.

        Returns whether the copy is complete; True if the core is away.

        Raises:
            StoreError: the database cannot be written.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        joins_running_copy = self._sync_task is not None and not self._sync_task.done()
        is_complete = await self._share_sync(deadline)
        if is_complete and joins_running_copy and self._core_state() != self._copied_state:
            # the running copy began before the last change
            is_complete = await self._share_sync(deadline)
        return is_complete

    async def _share_sync(self, deadline: float) -> bool:
        """Await the running copy, or a new one; return whether it ended before the deadline, by the loop's clock."""
        if self._sync_task is None or self._sync_task.done():
            self._sync_task = asyncio.create_task(self.sync())
        sync_task = self._sync_task  # another request may begin the next copy in the meantime
        done, _ = await asyncio.wait([sync_task], timeout=deadline - asyncio.get_running_loop().time())
        if done:
            try:
                sync_task.result()
            except StoreError:
                raise
            except NozzledError as error:  # the core is away, or of another version
                log.info("history.old", reason=str(error))
        return bool(done)

    async def _find_copy_start(self) -> int:
        """Return the number of the print after which to copy; unfinished prints are copied again."""
        [copied] = await self._cache.query(_COPIED, -RENUMBER_STEP // 2)
        if not self._is_checked:
            if await self._is_another_record(copied["newest"], copied["newest_started"]):
                log.warning("history.record_lost", consequence="earlier prints are kept, and get other numbers")
                await self._cache.keep(_shift(copied["lowest"]))
                self._is_checked = True
                return BEFORE_ALL
            first = await self._core.jobs.print_records(BEFORE_ALL, 1)
            self._is_checked = True
            if first and (copied["oldest"] is None or first[0].id < copied["oldest"]):  # some were imported
                return BEFORE_ALL
        if copied["newest"] is None:
            return BEFORE_ALL
        unfinished = copied["unfinished"]
        return int(copied["newest"] if unfinished is None else unfinished - 1)

    async def _has_older(self) -> bool:
        """Tell whether an import has added prints before all others; look at most every OLDER_INTERVAL."""
        now = asyncio.get_running_loop().time()
        if now < self._next_older_check:
            return False
        self._next_older_check = now + OLDER_INTERVAL
        [copied] = await self._cache.query(_COPIED, -RENUMBER_STEP // 2)
        first = await self._core.jobs.print_records(BEFORE_ALL, 1)
        older = bool(first) and (copied["oldest"] is None or first[0].id < copied["oldest"])
        if older:
            self._is_checked = False  # the next copy begins at the first print
            self._wake.set()
        return older

    async def _is_another_record(self, newest: int | None, started: float | None) -> bool:
        if newest is None:
            return False
        records = await self._core.jobs.print_records(newest - 1, 1)
        return not records or records[0].id != newest or records[0].started != started

    async def _copy(self, since: int) -> None:
        waiting: list[PrintRecord] = []
        while rows := await self._core.jobs.print_records(since, 100):
            since = rows[-1].id
            waiting += rows
            if len(waiting) >= MAX_ROWS:
                await self._write(waiting)
                waiting = []
        await self._write(waiting)

    async def _write(self, rows: list[PrintRecord]) -> None:
        if rows:
            await self._cache.change_many(_COPY, await asyncio.to_thread(lambda: [_row(each) for each in rows]))

    # -- details -------------------------------------------------------------------------------------------------

    async def _add_details(self) -> None:
        """Add details to ended prints, the newest first; skip prints with neither an analysis nor a queue entry."""
        while ids := [
            [row["id"]] for row in await self._cache.query(_PLAIN, self._core.jobs.summary.id or 0, MAX_ROWS)
        ]:
            await self._cache.change_many("UPDATE prints SET detailed = 1 WHERE id = ?", ids)
        while rows := await self._cache.query(_UNDETAILED, BATCH):
            details = [await self._details(row) for row in rows]
            await self._cache.keep(*(statement for statements in details for statement in statements))
        await self._cache.keep((_FORGET_PICTURES, (MAX_PICTURES, MAX_PICTURES)))

    async def _details(self, row: sqlite3.Row) -> list[tuple[str, Sequence[Any]]]:
        key = FileKey(row["path"], row["size"], row["mtime_ns"] // 10**9)
        findings: Findings | None = None
        with suppress(NozzledError):
            has_just_ended = row["id"] == self._core.jobs.summary.id and row["began"]
            findings = await (
                self._analyses.wait(key, ANALYSIS_TIMEOUT) if has_just_ended else self._analyses.find(key)
            )
        queued = await self._cache.query("SELECT * FROM queue_prints WHERE key = ?", row["key"])
        values: dict[str, Any] = dict.fromkeys(("layers", "layers_done", "filament", "mm", "g", "material", "picture"))
        statements: list[tuple[str, Sequence[Any]]] = []
        if findings is not None and row["began"]:
            values |= _of_findings(findings, row["offset"], complete=row["state"] == "completed")
            picture = findings.thumbnail
            if picture is not None and len(picture) <= MAX_PICTURE:
                values["picture"] = hashlib.sha1(picture, usedforsecurity=False).hexdigest()
                statements.append(("INSERT OR IGNORE INTO pictures VALUES (?, ?)", (values["picture"], picture)))
        if queued:
            values["material"] = queued[0]["material"] or values["material"]
        entry, notes = (queued[0]["entry"], queued[0]["notes"]) if queued else (None, "")
        return [*statements, (_DETAIL, (*values.values(), entry, notes, row["id"]))]

    # -- queries ---------------------------------------------------------------------------------------------

    async def jobs(self, query: HistoryQuery, limit: int, before: int | None = None) -> list[dict[str, Any]]:
        """Return at most `limit` prints, newest first, with numbers below `before`. Raises StoreError."""
        where, values = query.where(before)
        select = f"SELECT {_FIELDS} FROM prints{where} ORDER BY id DESC LIMIT ?"  # noqa: S608 - of fixed parts
        rows = await self._cache.query(select, *values, limit)
        if len(rows) <= MAX_ON_LOOP:
            return [_as_json(row) for row in rows]
        return await asyncio.to_thread(lambda: [_as_json(row) for row in rows])

    async def table(self, query: HistoryQuery, limit: int, before: int | None = None) -> list[sqlite3.Row]:
        """Return rows for a spreadsheet, with the columns of COLUMNS; otherwise like `jobs`."""
        where, values = query.where(before)
        return await self._cache.query(f"SELECT {_CELLS} FROM prints{where} ORDER BY id DESC LIMIT ?", *values, limit)  # noqa: S608 - of fixed parts

    async def job(self, number: int) -> dict[str, Any]:
        """Return one print; raises NoSuchPrint."""
        rows = await self._cache.query(f"SELECT {_FIELDS} FROM prints WHERE id = ?", number)  # noqa: S608 - of fixed parts
        if not rows:
            raise NoSuchPrint(f"there is no print {number} in the history")
        return _as_json(rows[0])

    async def last(self) -> tuple[dict[str, Any], int] | None:
        """Return the newest print, and its file's mtime in ns; None: there is none. Raises StoreError."""
        rows = await self._cache.query(f"SELECT {_FIELDS}, mtime_ns FROM prints ORDER BY id DESC LIMIT 1")  # noqa: S608 - of fixed parts
        return (_as_json(rows[0]), rows[0]["mtime_ns"]) if rows else None

    async def picture(self, number: int) -> bytes:
        """Return the thumbnail of a print, as PNG; raises NoSuchPrint."""
        rows = await self._cache.query(_PICTURE, number)
        if not rows:
            raise NoSuchPrint(f"print {number} has no thumbnail")
        return bytes(rows[0]["png"])

    async def totals(self, query: HistoryQuery, by: str) -> list[dict[str, Any]]:
        """Return totals grouped by one of BY, followed by those of all prints."""
        where, values = query.where()
        grouped = f"SELECT {by} AS name, {_SUMS} FROM prints{where} GROUP BY {by} ORDER BY {by}"  # noqa: S608 - of BY
        rows = [dict(row) for row in await self._cache.query(grouped, *values)]
        return [*rows, _sum(rows)]

    async def annotate(self, number: int, notes: str | None, energy: float | None) -> None:
        """Store a user's notes, and the energy in Wh; None: unchanged."""
        await self.job(number)
        await self._cache.keep((_NOTE, (notes, energy, number)))


def _shift(lowest: int) -> tuple[str, Sequence[Any]]:
    """Return the statement that moves the prints of a lost record below all others."""
    down = RENUMBER_STEP * (1 - min(0, lowest // RENUMBER_STEP))
    return _SHIFT, (down, -RENUMBER_STEP // 2)


def _row(job: PrintRecord) -> dict[str, Any]:
    return dict(zip(_COLUMNS, _VALUES(job), strict=True))


def _of_findings(findings: Findings, offset: int, *, complete: bool) -> dict[str, Any]:
    """Return layers and filament of a print, up to the last acknowledged line."""
    plan = findings.plan()
    layers = len(plan.layers) or None
    tools = usage(findings, offset, complete=complete)
    weights = [each["weight"] for each in tools if each["weight"] is not None]
    materials = [each["material"] for each in tools if each["material"]]
    return {
        "layers": layers,
        "layers_done": layers if complete or layers is None else plan.layer_at(offset),
        "filament": json.dumps(tools),
        "mm": sum(each["length"] for each in tools),
        "g": sum(weights) if weights else None,
        "material": " + ".join(dict.fromkeys(materials)) or None,
    }


_JSON_FIELDS = {
    "id": "id",
    "name": "name",
    "path": "path",
    "state": "state",
    "started": "started",
    "ended": "ended",
    "printTime": "print_time",
    "reason": "reason",
    "began": "began",
    "key": "key",
    "user": "user",
    "printer": "printer",
    "size": "size",
    "lines": "lines",
    "offset": "offset",
    "resends": "resends",
    "layers": "layers",
    "layersDone": "layers_done",
    "filament": "filament",
    "filamentLength": "filament_mm",
    "filamentWeight": "filament_g",
    "material": "material",
    "energy": "energy",
    "notes": "notes",
    "entry": "entry",
    "thumbnail": "picture",
}
"""JSON field of a print → its column."""

_FIELDS = ", ".join(_JSON_FIELDS.values())


def _as_json(row: sqlite3.Row) -> dict[str, Any]:
    fields = dict(zip(_JSON_FIELDS, row, strict=False))  # the row may have more columns
    fields["began"] = bool(fields["began"])
    try:
        fields["filament"] = json.loads(fields["filament"]) if fields["filament"] else []
    except ValueError:  # one damaged row must not hide the others
        fields["filament"] = []
    if (fields["key"] or "").startswith("queue "):
        fields["key"] = None  # the queue's own, of no use to clients
    if fields["thumbnail"]:
        fields["thumbnail"] = f"/api/history/{fields['id']}/thumbnail"
    return fields


def _sum(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the sum of totals; None for a column without values."""
    summed: dict[str, Any] = {"name": None}
    for name in _SUMMED:
        values = [row[name] for row in rows if row[name] is not None]
        summed[name] = sum(values) if values or name in _COUNTED else None
    return summed


def _text(name: str) -> str:
    """Return the SQL for a text column, quoted so that a spreadsheet does not read a file's name as a formula."""
    return f"iif(substr({name}, 1, 1) IN ('=', '+', '-', '@', char(9), char(13)), char(39), '') || {name}"


def _date(name: str) -> str:
    return f"strftime('%Y-%m-%d %H:%M:%S', {name}, 'unixepoch', 'localtime')"


COLUMNS = {
    "id": "id",
    "name": _text("name"),
    "path": _text("path"),
    "state": "state",
    "started": _date("started"),
    "ended": _date("ended"),
    "printTime": "round(print_time, 2)",
    "reason": _text("reason"),
    "user": _text("user"),
    "printer": _text("printer"),
    "material": _text("material"),
    "filamentLength": "round(filament_mm, 2)",
    "filamentWeight": "round(filament_g, 2)",
    "layers": "layers",
    "layersDone": "layers_done",
    "energy": "round(energy, 2)",
    "lines": "lines",
    "offset": "offset",
    "resends": "resends",
    "notes": _text("notes"),
}
"""Column of a table → its SQL; dates are in local time."""

_CELLS = ", ".join(COLUMNS.values())

BY = ("month", "material", "state", "printer", "path")
"""Columns by which totals can be grouped."""

_COUNTED = ("prints", "completed", "failed", "cancelled", "interrupted")
_SUMMED = (*_COUNTED, "printTime", "filamentLength", "filamentWeight", "energy")
_SUMS = ", ".join(
    [
        "count(*) AS prints",
        *(f"count(*) FILTER (WHERE state = '{state}') AS {state}" for state in _COUNTED[1:]),
        "sum(print_time) AS printTime",
        "sum(filament_mm) AS filamentLength",
        "sum(filament_g) AS filamentWeight",
        "sum(energy) AS energy",
    ]
)
_COPIED = """
    SELECT (SELECT min(id) FROM prints WHERE id > bound) AS oldest,
        (SELECT max(id) FROM prints WHERE id > bound) AS newest, (SELECT min(id) FROM prints) AS lowest,
        (SELECT started FROM prints WHERE id = (SELECT max(id) FROM prints WHERE id > bound)) AS newest_started,
        (SELECT min(id) FROM prints WHERE ended IS NULL AND id > bound) AS unfinished
    FROM (SELECT ? AS bound)
"""
_SHIFT = "UPDATE prints SET id = id - ? WHERE id > ?"
_COLUMNS = (
    "id", "path", "name", "size", "mtime_ns", "state", "started", "ended", "print_time", "reason", "user", "printer",
    "lines", "offset", "key", "began", "resends",
)  # fmt: skip
_VALUES = attrgetter(*_COLUMNS)
_COPY = f"""
    INSERT INTO prints ({", ".join(_COLUMNS)}, month)
    VALUES ({", ".join(f":{name}" for name in _COLUMNS)}, strftime('%Y-%m', :started, 'unixepoch', 'localtime'))
    ON CONFLICT (id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[1:])}
"""  # noqa: S608 - of _COLUMNS
_UNDETAILED = """
    SELECT id, path, size, mtime_ns, state, offset, key, began FROM prints
    WHERE detailed = 0 AND ended IS NOT NULL ORDER BY id DESC LIMIT ?
"""
_PLAIN = """
    SELECT id FROM prints WHERE detailed = 0 AND ended IS NOT NULL AND id != ?
    AND NOT EXISTS (
        SELECT 1 FROM analyses AS found
        WHERE found.path = prints.path AND found.size = prints.size AND found.date = prints.mtime_ns / 1000000000
    )
    AND (key IS NULL OR key NOT IN (SELECT key FROM queue_prints)) LIMIT ?
"""
_DETAIL = """
    UPDATE prints SET detailed = 1, layers = ?, layers_done = ?, filament = ?, filament_mm = ?, filament_g = ?,
        material = ?, picture = ?, entry = ?, notes = CASE notes WHEN '' THEN ? ELSE notes END
    WHERE id = ?
"""
_FORGET_PICTURES = """
    DELETE FROM pictures WHERE (SELECT count(*) FROM pictures) > ?
    AND hash NOT IN (SELECT picture FROM prints WHERE picture IS NOT NULL ORDER BY id DESC LIMIT ?)
"""
_PICTURE = "SELECT png FROM pictures WHERE hash = (SELECT picture FROM prints WHERE id = ?)"
_STATE = "UPDATE prints SET state = ? WHERE id = ? AND ended IS NULL AND state != ?"
_NOTE = "UPDATE prints SET notes = coalesce(?, notes), energy = coalesce(?, energy) WHERE id = ?"
