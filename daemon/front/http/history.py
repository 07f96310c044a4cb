"""/api/history: the prints of the past: lists, sums, files for a spreadsheet, and printing one again."""

import asyncio
import json
import math
import stat
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from tornado.iostream import StreamClosedError

from daemon.bridge.words import JobState
from daemon.errors import NoSuchFile
from daemon.front.history.history import BY, COLUMNS
from daemon.front.history.question import HistoryQuery
from daemon.front.http.base import ApiHandler, is_true
from daemon.front.http.files import FilesHandler
from daemon.front.http.idempotency import wish
from daemon.front.http.queue import QueueingHandler
from daemon.front.queue.document import LONGEST_NOTES
from daemon.front.uploads.tree import TreeEntry
from daemon.http.errors import Refused

LIMIT = 50
MOST = 100
PATIENCE = 2.0  # s that an answer waits for what the core has to tell
PIECE = 1000  # prints of an export that are in memory at once
MOST_ENERGY = 1_000_000.0  # Wh
_STATES = frozenset(state.value for state in JobState)
_LONGEST = 300  # characters of a text that is looked for
_DIGITS = 15

_TYPES = {"csv": "text/csv", "json": "application/json"}
_COMMANDS: dict[str, tuple[str, ...]] = {"reprint": (), "note": (), "queue": ()}


class _Asking(ApiHandler):
    """Base of what looks through the history."""

    def question(self) -> HistoryQuery:
        """Return which prints are meant."""
        return HistoryQuery(
            states=self._states(),
            path=self._text("path"),
            text=self._text("q"),
            material=self._text("material"),
            since=self._date("from"),
            until=self._date("to"),
            key=self._text("key"),
        )

    def _states(self) -> tuple[str, ...]:
        given = tuple(filter(None, (self._text("state") or "").split(",")))
        if unknown := [each for each in given if each not in _STATES]:
            ends = ", ".join(state.value for state in JobState if state.ended)
            raise Refused(400, f"{unknown[0]} is not a state of a print; the ends of prints are {ends}")
        return given

    def _text(self, name: str) -> str | None:
        value = self.get_query_argument(name, "")
        if len(value) > _LONGEST:
            raise Refused(400, f"{name} may have {_LONGEST} characters")
        return value or None

    def _date(self, name: str) -> float | None:
        text = self.get_query_argument(name, "")
        try:
            value = float(text) if text else None
        except ValueError:
            value = math.nan
        if value is not None and not math.isfinite(value):
            raise Refused(400, f"{name} must be a Unix time, in s")
        return value

    async def refresh(self) -> bool:
        """Take down what has happened; tell whether that is done, which takes a while for a record of years."""
        return await self.service.history.refresh(PATIENCE)

    async def with_files(self, jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Tell besides whether the files are there still, and no others of the same name."""
        sizes = await asyncio.to_thread(_sizes, self.service.files.root, {job["path"] for job in jobs})
        return [{**job, "fileExists": sizes.get(job["path"]) == job["size"]} for job in jobs]


class HistoryHandler(_Asking):
    """/api/history."""

    async def get(self) -> None:
        """List prints, newest first."""
        text = self.get_query_argument("limit", str(LIMIT))
        if not (text.isascii() and text.isdecimal() and 1 <= int(text[:4]) <= MOST and len(text) <= len(str(MOST))):
            raise Refused(400, f"limit must be from 1 to {MOST}")
        before = self.get_query_argument("before", "")
        if before and not _is_number(before):
            raise Refused(400, "before must be the number of a print")
        asked, limit = self.question(), int(text)
        complete = await self.refresh()
        jobs = await self.service.history.jobs(asked, limit + 1, int(before) if before else None)
        more = jobs[limit - 1]["id"] if len(jobs) > limit else None
        self.write({"jobs": await self.with_files(jobs[:limit]), "next": more, "complete": complete})


class TotalsHandler(_Asking):
    """/api/history/totals."""

    async def get(self) -> None:
        """Tell the sums."""
        by = self.get_query_argument("by", "month")
        if by not in BY:
            raise Refused(400, f"by must be one of {', '.join(BY)}")
        asked = self.question()
        complete = await self.refresh()
        *totals, everything = await self.service.history.totals(asked, by)
        # by path there may be very many: what takes long is done by a thread
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        told = {"by": by, "totals": totals, "all": everything, "complete": complete}
        self.write(await asyncio.to_thread(msgspec.json.encode, told))
        await self.pack()


class ExportHandler(_Asking):
    """/api/history.csv and /api/history.json: all that is asked for, in pieces."""

    signable = True

    async def get(self, kind: str) -> None:
        """Write a file."""
        asked = self.question()
        await self.refresh()
        self.set_header("Content-Disposition", f'attachment; filename="history.{kind}"')
        self.set_header("Content-Type", f"{_TYPES[kind]}; charset=UTF-8")
        with suppress(StreamClosedError):  # the client has gone
            async for text in self._tables(asked) if kind == "csv" else self._lists(asked):
                self.write(text)
                await self.flush()

    async def _tables(self, asked: HistoryQuery) -> AsyncIterator[str]:
        """Yield a table; made in SQL and by a thread: of 100,000 prints one by one, each cell would be felt."""
        yield await asyncio.to_thread(_table, [[*COLUMNS]])
        before = None
        while rows := await self.service.history.table(asked, PIECE, before):
            yield await asyncio.to_thread(_table, rows)
            before = rows[-1]["id"]

    async def _lists(self, asked: HistoryQuery) -> AsyncIterator[str]:
        yield "["
        between, before = "", None
        while jobs := await self.service.history.jobs(asked, PIECE, before):
            yield between + await asyncio.to_thread(_list, jobs)
            between, before = ",\n", jobs[-1]["id"]
        yield "]\n"


class PrintHandler(_Asking, FilesHandler, QueueingHandler):
    """/api/history/<id>."""

    async def get(self, number: str) -> None:
        """Tell about a print."""
        await self.refresh()
        await self._tell(number)

    async def _tell(self, number: str) -> None:
        [job] = await self.with_files([await self.service.history.job(_number(number))])
        self.write(job)

    async def post(self, number: str) -> None:
        """Print it again, now or in its turn, or write down what somebody knows of it."""
        command, data = self.command(_COMMANDS)
        if command == "reprint":
            await self._reprint(number, data)
            return
        if command == "queue":
            await self.refresh()
            job = await self._job(number)
            self._require_same(job, await self.service.files.info(job["path"]), data)
            await self.add({**data, "path": job["path"]}, f"queue {number}")
            return
        notes, energy = data.get("notes"), data.get("energy")
        if notes is not None and (not isinstance(notes, str) or len(notes) > LONGEST_NOTES or not _is_unicode(notes)):
            raise Refused(400, f"notes must be a text of at most {LONGEST_NOTES} characters")
        if energy is not None and not (_is_figure(energy) and 0 <= energy <= MOST_ENERGY):
            raise Refused(400, f"energy must be a number of Wh from 0 to {MOST_ENERGY:g}")
        await self.refresh()
        await self.service.history.annotate(_number(number), notes, energy)
        await self._tell(number)

    async def _job(self, number: str) -> dict[str, Any]:
        return await self.service.history.job(_number(number))

    def _require_same(self, job: dict[str, Any], entry: TreeEntry, data: dict[str, Any]) -> None:
        """Refuse to print another file by the name of one that was printed, unless that is asked for."""
        if entry.size != job["size"] and not is_true(data.get("force", False)):
            sizes = f"it has {entry.size} bytes, that one had {job['size']}"
            text = f"{entry.path} is no longer the file that was printed: {sizes}"
            raise Refused(409, f'{text}. Send "force": true to print it anyway')

    async def _reprint(self, number: str, data: dict[str, Any]) -> None:
        asked = wish(self, data, f"reprint {number}")
        if asked is not None and await asked.begun_print(self) is not None:
            self.no_content()
            return
        await self.refresh()
        job = await self._job(number)
        entry = await self.service.files.info(job["path"])
        if entry.type == "folder":
            raise NoSuchFile(f"{job['path']} is a folder")
        self._require_same(job, entry, data)
        self.require_operational()
        if not is_true(data.get("force", False)):
            await self.check(entry)
        await self.select(entry, asked)
        if asked is None:
            await self.service.jobs.start()
        self.no_content()


class PictureHandler(ApiHandler):
    """/api/history/<id>/thumbnail."""

    signable = True

    async def get(self, number: str) -> None:
        """Send the picture that the file of a print had."""
        png = await self.service.history.picture(_number(number))
        self.set_header("Content-Type", "image/png")
        self.set_header("Cache-Control", "private, max-age=86400")
        self.write(png)


def _sizes(root: Path, paths: set[str]) -> dict[str, int]:
    sizes = {}
    for path in paths:
        with suppress(OSError, ValueError):
            found = (root / path).stat()
            if stat.S_ISREG(found.st_mode):
                sizes[path] = found.st_size
    return sizes


def _is_number(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdecimal() and len(digits) <= _DIGITS


def _number(text: str) -> int:
    """Return the number of a print; of one with very many digits there is none."""
    return int(text) if _is_number(text) else -1


def _is_figure(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _table(rows: Sequence[Iterable[Any]]) -> str:
    import csv  # noqa: PLC0415 - few ever ask for a table
    import io  # noqa: PLC0415 - as above

    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()


def _list(jobs: Sequence[dict[str, Any]]) -> str:
    return ",\n".join(map(json.dumps, jobs))
