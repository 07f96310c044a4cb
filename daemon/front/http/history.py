"""/api/history: the prints so far: lists, totals, exports, and printing a file again."""

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
from daemon.errors import NoSuchFile, NoSuchPrint
from daemon.front.history.history import BY, COLUMNS
from daemon.front.history.query import HistoryQuery
from daemon.front.http.base import ApiHandler, is_true, log
from daemon.front.http.files import FilesHandler
from daemon.front.http.idempotency import keyed_request
from daemon.front.http.queue import QueueingHandler, is_unicode
from daemon.front.queue.document import MAX_NOTES_LENGTH
from daemon.front.uploads.tree import TreeEntry
from daemon.http.errors import Refused

DEFAULT_LIMIT = 50
MAX_LIMIT = 100
RECORDS_TIMEOUT = 2.0  # s that an answer waits for the latest records of the core
STALL_TIMEOUT = 60.0  # s for a client to read a batch of an export
EXPORT_BATCH = 1000  # prints in memory at once during an export
MAX_ENERGY = 1_000_000.0  # Wh
_STATES = frozenset(state.value for state in JobState)
_MAX_LENGTH = 300  # characters of a query argument
_DIGITS = 15
_MAX_QUOTED = 40  # characters of a number in an error

_TYPES = {"csv": "text/csv", "json": "application/json"}
_COMMANDS: dict[str, tuple[str, ...]] = {"reprint": (), "note": (), "queue": ()}


class _QueryHandler(ApiHandler):
    """Base of the handlers that search the history."""

    def query(self) -> HistoryQuery:
        """Return the query that the arguments describe."""
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
        states = tuple(filter(None, (self._text("state") or "").split(",")))
        if unknown := [each for each in states if each not in _STATES]:
            ends = ", ".join(state.value for state in JobState if state.ended)
            raise Refused(400, f"{unknown[0]} is not a state of a print; the ends of prints are {ends}")
        return states

    def _text(self, name: str) -> str | None:
        value = self.get_query_argument(name, "")
        if len(value) > _MAX_LENGTH:
            raise Refused(400, f"{name} may have at most {_MAX_LENGTH} characters")
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
        """Copy the core's latest records; tell whether the copy is complete: years of records take a while."""
        return await self.service.history.refresh(RECORDS_TIMEOUT)

    async def with_files(self, jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Add to each print whether its file still exists, with the same size."""
        sizes = await asyncio.to_thread(_sizes, self.service.files.root, {job["path"] for job in jobs})
        return [{**job, "fileExists": sizes.get(job["path"]) == job["size"]} for job in jobs]


class HistoryHandler(_QueryHandler):
    """/api/history."""

    async def get(self) -> None:
        """List prints, newest first."""
        text = self.get_query_argument("limit", str(DEFAULT_LIMIT))
        if not (
            text.isascii() and text.isdecimal() and 1 <= int(text[:4]) <= MAX_LIMIT and len(text) <= len(str(MAX_LIMIT))
        ):
            raise Refused(400, f"limit must be from 1 to {MAX_LIMIT}")
        before = self.get_query_argument("before", "")
        if before and not _is_print_number(before):
            raise Refused(400, "before must be the number of a print")
        query, limit = self.query(), int(text)
        complete = await self.refresh()
        jobs = await self.service.history.jobs(query, limit + 1, int(before) if before else None)
        more = jobs[limit - 1]["id"] if len(jobs) > limit else None
        self.write({"jobs": await self.with_files(jobs[:limit]), "next": more, "complete": complete})
        await self.compress()


class TotalsHandler(_QueryHandler):
    """/api/history/totals."""

    async def get(self) -> None:
        """Show the totals."""
        by = self.get_query_argument("by", "month")
        if by not in BY:
            raise Refused(400, f"by must be one of {', '.join(BY)}")
        query = self.query()
        complete = await self.refresh()
        *totals, everything = await self.service.history.totals(query, by)
        # a thread encodes them: grouped by path, there may be very many
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        answer = {"by": by, "totals": totals, "all": everything, "complete": complete}
        self.write(await asyncio.to_thread(msgspec.json.encode, answer))
        await self.compress()


class ExportHandler(_QueryHandler):
    """/api/history.csv and /api/history.json: all prints that match, in batches."""

    accepts_signed_address = True

    async def get(self, kind: str) -> None:
        """Send a file."""
        query = self.query()
        self.set_header("Content-Disposition", f'attachment; filename="history.{kind}"')
        self.set_header("Content-Type", f"{_TYPES[kind]}; charset=UTF-8")
        if self.request.method == "HEAD":  # years of prints would be read for nothing
            return
        await self.refresh()
        try:
            async for text in self._csv(query) if kind == "csv" else self._json(query):
                self.write(text)
                async with asyncio.timeout(STALL_TIMEOUT):
                    await self.flush()
        except StreamClosedError:
            return  # the client has gone
        except Exception as error:  # whatever it is: half an export must not look like a whole one
            if not self._headers_written:
                raise  # it becomes the answer
            log.warning("an export of the history broke off: %s", str(error) or "the client does not read it")
            self.detach().close()  # otherwise the client would take the export for complete

    async def _csv(self, query: HistoryQuery) -> AsyncIterator[str]:
        """Yield a table; SQL and a thread make it: 100,000 prints, cell by cell, would stall the loop."""
        yield await asyncio.to_thread(_table, [[*COLUMNS]])
        before = None
        while rows := await self.service.history.table(query, EXPORT_BATCH, before):
            yield await asyncio.to_thread(_table, rows)
            before = rows[-1]["id"]

    async def _json(self, query: HistoryQuery) -> AsyncIterator[str]:
        yield "["
        separator, before = "", None
        while jobs := await self.service.history.jobs(query, EXPORT_BATCH, before):
            yield separator + await asyncio.to_thread(_list, jobs)
            separator, before = ",\n", jobs[-1]["id"]
        yield "]\n"


class PrintHandler(_QueryHandler, FilesHandler, QueueingHandler):
    """/api/history/<id>."""

    async def get(self, number: str) -> None:
        """Show a print."""
        await self.refresh()
        await self._show(number)

    async def _show(self, number: str) -> None:
        [job] = await self.with_files([await self.service.history.job(_number(number))])
        self.write(job)

    async def post(self, number: str) -> None:
        """Print the file again, now (`reprint`) or later (`queue`), or store notes and energy (`note`)."""
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
        if notes is not None and (not isinstance(notes, str) or len(notes) > MAX_NOTES_LENGTH or not is_unicode(notes)):
            raise Refused(400, f"notes must be a string of at most {MAX_NOTES_LENGTH} characters")
        if energy is not None and not (_is_number(energy) and 0 <= energy <= MAX_ENERGY):
            raise Refused(400, f"energy must be a number of Wh from 0 to {MAX_ENERGY:g}")
        await self.refresh()
        await self.service.history.annotate(_number(number), notes, energy)
        await self._show(number)

    async def _job(self, number: str) -> dict[str, Any]:
        return await self.service.history.job(_number(number))

    def _require_same(self, job: dict[str, Any], entry: TreeEntry, data: dict[str, Any]) -> None:
        """Refuse to print a file that has changed since, unless `force` is set."""
        if entry.size != job["size"] and not is_true(data.get("force", False)):
            sizes = f"it has {entry.size} bytes, the printed one had {job['size']}"
            text = f"{entry.path} is no longer the file that was printed: {sizes}"
            raise Refused(409, f'{text}. Send "force": true to print it anyway')

    async def _reprint(self, number: str, data: dict[str, Any]) -> None:
        keyed = keyed_request(self, data, f"reprint {number}")
        if keyed is not None and await keyed.existing_print(self) is not None:
            self.no_content()
            return
        await self.refresh()
        job = await self._job(number)
        entry = await self.service.files.info(job["path"])
        if entry.type == "folder":
            raise NoSuchFile(f"{job['path']} is a folder")
        self._require_same(job, entry, data)
        self.require_operational()
        checked_file = None
        if not is_true(data.get("force", False)):
            checked_file = (await self.check(entry)).mark
        await self.select(entry, keyed, checked_file)
        if keyed is None:
            await self.service.jobs.start(checked_file)
        self.no_content()


class PictureHandler(ApiHandler):
    """/api/history/<id>/thumbnail."""

    accepts_signed_address = True

    async def get(self, number: str) -> None:
        """Send the thumbnail of a print's file."""
        png = await self.service.history.picture(_number(number))
        self.set_header("Content-Type", "image/png")
        self.set_header("Cache-Control", "private, max-age=86400")
        self.add_header("Vary", "X-Api-Key, Authorization")  # a browser's cache must not serve it without the key
        self.write(png)


def _sizes(root: Path, paths: set[str]) -> dict[str, int]:
    sizes = {}
    for path in paths:
        with suppress(OSError, ValueError):
            status = (root / path).stat()
            if stat.S_ISREG(status.st_mode):
                sizes[path] = status.st_size
    return sizes


def _is_print_number(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdecimal() and len(digits) <= _DIGITS


def _number(text: str) -> int:
    """Return the number of a print; raises NoSuchPrint for one that is too long. Imported prints have negative ones."""
    if not _is_print_number(text):
        raise NoSuchPrint(f"there is no print {text[:_MAX_QUOTED]} in the history")
    return int(text)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _table(rows: Sequence[Iterable[Any]]) -> str:
    import csv  # noqa: PLC0415 - tables are rarely requested
    import io  # noqa: PLC0415 - as above

    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()


def _list(jobs: Sequence[dict[str, Any]]) -> str:
    return ",\n".join(map(json.dumps, jobs))
