"""Where results of analyses and the times of prints are kept: tables of the front's database."""

import json
import sqlite3
from typing import Any, Protocol

from daemon.front.analysis.findings import VERSION, Findings
from gcode.frozen import frozen

LEARNT_FROM = 10  # last prints of a printer


@frozen
class FileKey:
    """By which a file is known again: path, size in bytes, date of the last change in s."""

    path: str
    size: int
    date: int

    def is_under(self, folder: str) -> bool:
        """Tell whether it is this file, or one in this folder."""
        return self.path == folder or self.path.startswith(f"{folder}/")


@frozen
class Learnt:
    """How much longer prints of a printer take than they are planned to, and from how many that is known."""

    factor: float = 1.0
    prints: int = 0


class Table(Protocol):
    """What is needed of `daemon.front.cache.cache.Cache`."""

    async def query(self, query: str, *values: object) -> list[sqlite3.Row]:
        """Return rows; raises StoreError."""

    async def change(self, statement: str, *values: object) -> None:
        """Change something; trouble is told to the user, not raised."""


class Shelf:
    """Results by file, and planned and real times by printer."""

    def __init__(self, store: Table) -> None:
        self._store = store

    async def get(self, key: FileKey) -> Findings | None:
        """Return what was found in a file as it is now.

        Raises:
            StoreError: the database cannot be read.
        """
        rows = await self._store.query(_GET, key.path, key.size, key.date, VERSION)
        if not rows:
            return None
        summary: dict[str, Any] = json.loads(rows[0]["summary"])
        return Findings(summary, rows[0]["details"], rows[0]["thumbnail"])

    async def summaries(self, under: str) -> list[sqlite3.Row]:
        """Return what lists tell of this file, or of all in this folder: path, size, date, summary, pictured.

        Raises:
            StoreError: the database cannot be read.
        """
        return await self._store.query(_SUMMARIES, under, VERSION)

    async def put(self, key: FileKey, found: Findings) -> None:
        """Keep what was found."""
        values = (key.path, key.size, key.date, VERSION, json.dumps(found.summary), found.details, found.thumbnail)
        await self._store.change(_PUT, *values)

    async def forget(self, under: str) -> None:
        """Drop what was found in this file, or in all of this folder."""
        await self._store.change(_FORGET, under)

    async def learn(self, printer: str, planned: float, actual: float) -> None:
        """Keep how long a print took; seconds of its layers, without what came before them."""
        await self._store.change(_LEARN, printer, planned, actual)
        await self._store.change(_UNLEARN, printer, LEARNT_FROM)

    async def learnt(self, printer: str) -> Learnt:
        """Return what prints of this printer have shown.

        Raises:
            StoreError: the database cannot be read.
        """
        [[planned, actual, prints]] = await self._store.query(_LEARNT, printer)
        return Learnt(actual / planned, prints) if prints and planned else Learnt()


_GET = "SELECT * FROM analyses WHERE path = ? AND size = ? AND date = ? AND version = ?"
_SUMMARIES = """
    SELECT path, size, date, summary, thumbnail IS NOT NULL AS pictured FROM analyses
    WHERE version = ?2 AND (?1 = '' OR path = ?1 OR substr(path, 1, length(?1) + 1) = ?1 || '/')
"""
_PUT = "INSERT OR REPLACE INTO analyses VALUES (?, ?, ?, ?, ?, ?, ?)"
_FORGET = "DELETE FROM analyses WHERE path = ?1 OR substr(path, 1, length(?1) + 1) = ?1 || '/'"
_LEARN = "INSERT INTO print_times (printer, planned, actual) VALUES (?, ?, ?)"
_UNLEARN = """
    DELETE FROM print_times WHERE printer = ?1 AND id NOT IN
        (SELECT id FROM print_times WHERE printer = ?1 ORDER BY id DESC LIMIT ?2)
"""
_LEARNT = "SELECT sum(planned), sum(actual), count(*) FROM print_times WHERE printer = ?"
