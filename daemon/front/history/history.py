"""History: the prints of the past, with what is known of each, kept also when their files are gone.

The core's record says what was printed and how it ended. A copy of it is kept here, so that people may look through it
without the core, which has a wire to serve. What is found besides (layers, filament, a picture) is found once, when
the print has ended.
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
from daemon.front.analysis.shelf import FileKey
from daemon.front.cache.cache import Cache
from daemon.front.history.filament import used
from daemon.front.history.question import HistoryQuery
from gcode.errors import NozzledError

BEFORE_ALL = -(2**62)
LOST = 2**40  # what the numbers of prints go down by whose record was lost: the next one counts from 1 again
BATCH = 50
FEW = 101  # prints that are made ready on the loop
AT_ONCE = 1000  # rows of one transaction
PATIENCE = 60.0  # s that a print which has just ended waits for what is known of its file
AGAIN = 5.0
OLDER = 10.0  # s between two looks for prints that were put in before all others
LARGEST_PICTURE = 256 * 1024
MOST_PICTURES = 2000

log = structlog.get_logger()


class History:
    """All prints, newest first."""

    def __init__(self, cache: Cache, core: RemoteCore, analyses: Analyses) -> None:
        self._cache = cache
        self._core = core
        self._analyses = analyses
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self._records: int | None = None  # of the core, when its ends were taken down last
        self._synced: tuple[object, ...] | None = None
        self._checked = False
        self._look_for_older = 0.0  # time of the loop
        self._task: asyncio.Task[None] | None = None
        self._syncing: asyncio.Task[None] | None = None  # for who asks

    def open(self) -> None:
        """Follow the core's record."""
        self._core.on_change(self._on_change)
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Follow it no longer."""
        for task in (self._task, self._syncing):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])

    def _on_change(self) -> None:
        if self._core.is_known and self._core.records != self._records:
            self._records = self._core.records
            self._wake.set()

    async def _run(self) -> None:
        waits_for = ""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self.sync()
                await self._find_details()
                waits_for = ""
            except NozzledError as error:
                if str(error) != waits_for:
                    log.warning("history.waits", reason=str(error), again_s=AGAIN)
                waits_for = str(error)
                asyncio.get_running_loop().call_later(AGAIN, self._wake.set)
            except Exception:
                log.exception("history.failed")

    # -- what the core knows ---------------------------------------------------------------------------------

    async def sync(self) -> None:
        """Take down what has happened; where the core is away, what is known has to do.

        Raises:
            StoreError: it cannot be kept.
        """
        job = self._core.jobs.summary
        state = (self._core.records, job.id, job.state)
        async with self._turn:
            older = await self._has_older()
            if state == self._synced and not job.active and not older:
                return
            await self._copy(await self._since())
            if job.active and job.id is not None and job.state is not None:  # the record has it by the last checkpoint
                await self._cache.change(_STATE, job.state.value, job.id, job.state.value)
            self._synced = state

    async def refresh(self, seconds: float) -> bool:
        """Take down what has happened, and wait for it so long: a record of years takes a while the first time.

        Returns whether all of it was taken down; where the core is away, what is known has to do.

        Raises:
            StoreError: it cannot be kept.
        """
        if self._syncing is None or self._syncing.done():
            self._syncing = asyncio.create_task(self.sync())
        syncing = self._syncing  # another request may begin the next one meanwhile
        done, _ = await asyncio.wait([syncing], timeout=seconds)
        if done:
            try:
                syncing.result()
            except StoreError:
                raise
            except NozzledError as error:  # the core is away, or of another version: what is known has to do
                log.info("history.old", reason=str(error))
        return bool(done)

    async def _since(self) -> int:
        """Return behind which number the core is to tell: what had not ended may have."""
        [known] = await self._cache.query(_KNOWN, -LOST // 2)
        if not self._checked:
            if await self._is_another_record(known["newest"], known["began"]):
                log.warning("history.record_lost", consequence="earlier prints are kept, and get other numbers")
                await self._cache.keep(_shift(known["lowest"]))
                self._checked = True
                return BEFORE_ALL
            first = await self._core.jobs.recorded(BEFORE_ALL, 1)
            self._checked = True
            if first and (known["oldest"] is None or first[0].id < known["oldest"]):  # some were put in before
                return BEFORE_ALL
        if known["newest"] is None:
            return BEFORE_ALL
        unfinished = known["unfinished"]
        return int(known["newest"] if unfinished is None else unfinished - 1)

    async def _has_older(self) -> bool:
        """Tell whether an import has put prints in before all that are known; looked for now and then."""
        now = asyncio.get_running_loop().time()
        if now < self._look_for_older:
            return False
        self._look_for_older = now + OLDER
        [known] = await self._cache.query(_KNOWN, -LOST // 2)
        first = await self._core.jobs.recorded(BEFORE_ALL, 1)
        older = bool(first) and (known["oldest"] is None or first[0].id < known["oldest"])
        if older:
            self._checked = False  # the next copy begins before all
            self._wake.set()
        return older

    async def _is_another_record(self, newest: int | None, began: float | None) -> bool:
        if newest is None:
            return False
        same = await self._core.jobs.recorded(newest - 1, 1)
        return not same or same[0].id != newest or same[0].started != began

    async def _copy(self, since: int) -> None:
        waiting: list[PrintRecord] = []
        while rows := await self._core.jobs.recorded(since, 100):
            since = rows[-1].id
            waiting += rows
            if len(waiting) >= AT_ONCE:
                await self._write(waiting)
                waiting = []
        await self._write(waiting)

    async def _write(self, rows: list[PrintRecord]) -> None:
        if rows:
            await self._cache.keep_all(_COPY, await asyncio.to_thread(lambda: [_row(each) for each in rows]))

    # -- what is found besides ---------------------------------------------------------------------------------

    async def _find_details(self) -> None:
        """Look at what has ended, the newest first; of most prints of years nothing is known besides."""
        while ids := [[row["id"]] for row in await self._cache.query(_PLAIN, self._core.jobs.summary.id or 0, AT_ONCE)]:
            await self._cache.keep_all("UPDATE prints SET detailed = 1 WHERE id = ?", ids)
        while rows := await self._cache.query(_UNDETAILED, BATCH):
            found = [await self._details(row) for row in rows]
            await self._cache.keep(*(statement for statements in found for statement in statements))
        await self._cache.keep((_FORGET_PICTURES, (MOST_PICTURES,)))

    async def _details(self, row: sqlite3.Row) -> list[tuple[str, Sequence[Any]]]:
        key = FileKey(row["path"], row["size"], row["mtime_ns"] // 10**9)
        found: Findings | None = None
        with suppress(NozzledError):
            just_now = row["id"] == self._core.jobs.summary.id and row["began"]
            found = await (self._analyses.wait(key, PATIENCE) if just_now else self._analyses.stored(key))
        wished = await self._cache.query("SELECT * FROM queue_prints WHERE key = ?", row["key"])
        values: dict[str, Any] = dict.fromkeys(("layers", "layers_done", "filament", "mm", "g", "material", "picture"))
        statements: list[tuple[str, Sequence[Any]]] = []
        if found is not None and row["began"]:
            values |= _of_findings(found, row["offset"], complete=row["state"] == "completed")
            picture = found.thumbnail
            if picture is not None and len(picture) <= LARGEST_PICTURE:
                values["picture"] = hashlib.sha1(picture, usedforsecurity=False).hexdigest()
                statements.append(("INSERT OR IGNORE INTO pictures VALUES (?, ?)", (values["picture"], picture)))
        if wished:
            values["material"] = wished[0]["material"] or values["material"]
        entry, notes = (wished[0]["entry"], wished[0]["notes"]) if wished else (None, "")
        return [*statements, (_DETAIL, (*values.values(), entry, notes, row["id"]))]

    # -- what people ask -------------------------------------------------------------------------------------

    async def jobs(self, asked: HistoryQuery, limit: int, before: int | None = None) -> list[dict[str, Any]]:
        """Return prints, newest first, at most so many; `before` the one of this number. Raises StoreError."""
        where, values = asked.where(before)
        rows = await self._cache.query(f"SELECT {_TOLD} FROM prints{where} ORDER BY id DESC LIMIT ?", *values, limit)  # noqa: S608 - of fixed parts
        if len(rows) <= FEW:
            return [_as_json(row) for row in rows]
        return await asyncio.to_thread(lambda: [_as_json(row) for row in rows])

    async def table(self, asked: HistoryQuery, limit: int, before: int | None = None) -> list[sqlite3.Row]:
        """Return rows for a spreadsheet, in the order of COLUMNS, as `jobs` does; raises StoreError."""
        where, values = asked.where(before)
        return await self._cache.query(f"SELECT {_CELLS} FROM prints{where} ORDER BY id DESC LIMIT ?", *values, limit)  # noqa: S608 - of fixed parts

    async def job(self, number: int) -> dict[str, Any]:
        """Return one print; raises NoSuchPrint."""
        rows = await self._cache.query(f"SELECT {_TOLD} FROM prints WHERE id = ?", number)  # noqa: S608 - of fixed parts
        if not rows:
            raise NoSuchPrint(f"there is no print {number} in the history")
        return _as_json(rows[0])

    async def last(self) -> tuple[dict[str, Any], int] | None:
        """Return the newest print, and when its file had been changed (ns); None: there is none. Raises StoreError."""
        rows = await self._cache.query(f"SELECT {_TOLD}, mtime_ns FROM prints ORDER BY id DESC LIMIT 1")  # noqa: S608 - of fixed parts
        return (_as_json(rows[0]), rows[0]["mtime_ns"]) if rows else None

    async def picture(self, number: int) -> bytes:
        """Return the picture of a print, as PNG; raises NoSuchPrint."""
        rows = await self._cache.query(_PICTURE, number)
        if not rows:
            raise NoSuchPrint(f"there is no picture of print {number}")
        return bytes(rows[0]["png"])

    async def totals(self, asked: HistoryQuery, by: str) -> list[dict[str, Any]]:
        """Return sums by one of BY, and behind them those of all."""
        where, values = asked.where()
        grouped = f"SELECT {by} AS name, {_SUMS} FROM prints{where} GROUP BY {by} ORDER BY {by}"  # noqa: S608 - of BY
        rows = [dict(row) for row in await self._cache.query(grouped, *values)]
        return [*rows, _sum(rows)]

    async def annotate(self, number: int, notes: str | None, energy: float | None) -> None:
        """Write down what somebody knows of a print; None: that is left as it is."""
        await self.job(number)
        await self._cache.keep((_NOTE, (notes, energy, number)))


def _shift(lowest: int) -> tuple[str, Sequence[Any]]:
    """Return what gives the prints of a record that was lost numbers below all that there are."""
    down = LOST * (1 - min(0, lowest // LOST))
    return _SHIFT, (down, -LOST // 2)


def _row(job: PrintRecord) -> dict[str, Any]:
    return dict(zip(_COLUMNS, _VALUES(job), strict=True))


def _of_findings(found: Findings, offset: int, *, complete: bool) -> dict[str, Any]:
    """Return what was used of what the file plans, by the place of the last line that the printer has acknowledged."""
    plan = found.plan()
    layers = len(plan.layers) or None
    tools = used(found, offset, complete=complete)
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


_SHOWN = {
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
"""What is told of a print, and the columns that it is in."""

_TOLD = ", ".join(_SHOWN.values())


def _as_json(row: sqlite3.Row) -> dict[str, Any]:
    told = dict(zip(_SHOWN, row, strict=False))  # there may be more in the row
    told["began"] = bool(told["began"])
    told["filament"] = json.loads(told["filament"]) if told["filament"] else []
    if (told["key"] or "").startswith("queue "):
        told["key"] = None
    if told["thumbnail"]:
        told["thumbnail"] = f"/api/history/{told['id']}/thumbnail"
    return told


def _sum(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the sum of sums; what none of them knows is None."""
    summed: dict[str, Any] = {"name": None}
    for name in _SUMMED:
        known = [row[name] for row in rows if row[name] is not None]
        summed[name] = sum(known) if known or name in _COUNTED else None
    return summed


def _text(name: str) -> str:
    """Return a text as a spreadsheet takes it: never a formula, which a name of a file could be."""
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
"""What is in a table, and how it is made; dates are those of the clock on the wall."""

_CELLS = ", ".join(COLUMNS.values())

BY = ("month", "material", "state", "printer", "path")
"""What sums are made by."""

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
_KNOWN = """
    SELECT (SELECT min(id) FROM prints WHERE id > ?1) AS oldest,
        (SELECT max(id) FROM prints WHERE id > ?1) AS newest, (SELECT min(id) FROM prints) AS lowest,
        (SELECT started FROM prints WHERE id = (SELECT max(id) FROM prints WHERE id > ?1)) AS began,
        (SELECT min(id) FROM prints WHERE ended IS NULL AND id > ?1) AS unfinished
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
    DELETE FROM pictures WHERE (SELECT count(*) FROM pictures) > ?1
    AND hash NOT IN (SELECT picture FROM prints WHERE picture IS NOT NULL ORDER BY id DESC LIMIT ?1)
"""
_PICTURE = "SELECT png FROM pictures WHERE hash = (SELECT picture FROM prints WHERE id = ?)"
_STATE = "UPDATE prints SET state = ? WHERE id = ? AND ended IS NULL AND state != ?"
_NOTE = "UPDATE prints SET notes = coalesce(?, notes), energy = coalesce(?, energy) WHERE id = ?"
