"""AnalysisStore: the stored findings, and the durations of prints, in tables of the front's database."""

import json
import sqlite3
from typing import Any, Protocol

from daemon.front.analysis.findings import VERSION, Findings
from gcode.frozen import frozen

PACE_PRINTS = 10  # a printer's pace comes from this many of its latest prints


@frozen
class FileKey:
    """Identifies one state of a file: path, size in bytes, and Unix time of the last change, in s."""

    path: str
    size: int
    date: int

    def is_under(self, folder: str) -> bool:
        """Tell whether the path `folder` is this file, or a folder that contains it."""
        return self.path == folder or self.path.startswith(f"{folder}/")


@frozen
class LearntPace:
    """How much longer a printer's prints take than planned, and the number of prints that show it."""

    factor: float = 1.0
    prints: int = 0


class Table(Protocol):
    """The part of `daemon.front.cache.cache.Cache` that is needed here."""

    async def query(self, query: str, *values: object) -> list[sqlite3.Row]:
        """Return rows; raises StoreError."""

    async def change(self, statement: str, *values: object) -> None:
        """Carry out a statement; an error is reported to the user, not raised."""


class AnalysisStore:
    """Findings by file, and planned and actual durations by printer."""

    def __init__(self, store: Table) -> None:
        self._table = store

    async def get(self, key: FileKey) -> Findings | None:
        """Return the findings of a file in this state.

        Raises:
            StoreError: the database cannot be read.
        """
        rows = await self._table.query(_GET, key.path, key.size, key.date, VERSION)
        if not rows:
            return None
        summary = summary_of(rows[0])
        return None if summary is None else Findings(summary, rows[0]["details"], rows[0]["thumbnail"])

    async def summaries(self, under: str) -> list[sqlite3.Row]:
        """Return rows for this file, or for all in this folder: path, size, date, summary, has_thumbnail.

        Raises:
            StoreError: the database cannot be read.
        """
        return await self._table.query(_SUMMARIES, under, VERSION)

    async def put(self, key: FileKey, findings: Findings) -> None:
        """Store findings."""
        values = (
            key.path,
            key.size,
            key.date,
            VERSION,
            json.dumps(findings.summary),
            findings.details,
            findings.thumbnail,
        )
        await self._table.change(_PUT, *values)

    async def forget(self, under: str) -> None:
        """Drop the findings of this file, or of all files in this folder."""
        await self._table.change(_FORGET, under)

    async def learn(self, printer: str, planned: float, actual: float) -> None:
        """Store the planned and actual duration of a print, in s, from its first layer on."""
        await self._table.change(_LEARN, printer, planned, actual)
        await self._table.change(_UNLEARN, printer, printer, PACE_PRINTS)

    async def pace_of(self, printer: str) -> LearntPace:
        """Return the pace of a printer.

        Raises:
            StoreError: the database cannot be read.
        """
        [[planned, actual, prints]] = await self._table.query(_PACE, printer)
        return LearntPace(actual / planned, prints) if prints and planned else LearntPace()


def summary_of(row: sqlite3.Row) -> dict[str, Any] | None:
    """Return the summary in a row; None: it is damaged, and the file has to be analysed again."""
    try:
        summary: dict[str, Any] = json.loads(row["summary"])
    except ValueError:
        return None
    return summary


_GET = "SELECT * FROM analyses WHERE path = ? AND size = ? AND date = ? AND version = ?"
_SUMMARIES = """
    SELECT path, size, date, summary, thumbnail IS NOT NULL AS has_thumbnail
    FROM analyses, (SELECT ? AS under)
    WHERE version = ? AND (under = '' OR path = under OR substr(path, 1, length(under) + 1) = under || '/')
"""
_PUT = "INSERT OR REPLACE INTO analyses VALUES (?, ?, ?, ?, ?, ?, ?)"
_FORGET = """
    DELETE FROM analyses WHERE EXISTS (
        SELECT 1 FROM (SELECT ? AS under) WHERE path = under OR substr(path, 1, length(under) + 1) = under || '/'
    )
"""
_LEARN = "INSERT INTO print_times (printer, planned, actual) VALUES (?, ?, ?)"
_UNLEARN = """
    DELETE FROM print_times WHERE printer = ? AND id NOT IN
        (SELECT id FROM print_times WHERE printer = ? ORDER BY id DESC LIMIT ?)
"""
_PACE = "SELECT sum(planned), sum(actual), count(*) FROM print_times WHERE printer = ?"
