"""Cache: the front's database, `front.db`: hashes and analyses of files, durations of prints, queue and history.

The front starts even if the database cannot be used: then nothing is stored until it can.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import structlog

from daemon.database import Database
from daemon.errors import ServiceError, StoreError

RETRY_INTERVAL = 5.0  # s between two attempts to open the database
PREDECESSOR_TIMEOUT = 2.0  # s to wait for the previous front to end

CORE_DATABASE = "nozzled.db"  # had these tables in older versions; read once, when front.db is created
TABLES = {
    "hashes": "path, size, mtime_ns, sha1",
    "analyses": "path, size, date, version, summary, details, thumbnail",
    "print_times": "id, printer, planned, actual",
}

TABLES_CONSEQUENCE = "hashes of files, analyses and learnt print times start empty"

log = structlog.get_logger()

T = TypeVar("T")


class Cache(Database):
    """The database; a HashBook for `FileStore`. Only one front at a time can open it."""

    file = "front.db"
    lock = "front.lock"
    lock_scope = "the front's part of "
    damage_consequence = (
        "the queue and the notes on prints start empty, as do hashes of files, analyses and learnt print times"
    )
    schema = Path(__file__).with_name("schema")

    def __init__(self, on_trouble: Callable[[Exception], None]) -> None:
        super().__init__(on_trouble)
        self._folder_to_open: Path | None = None  # of a database that could not be opened; the next use tries again
        self._retry_at = 0.0

    def open_later(self, state_dir: Path) -> None:
        """Have each use of the database try to open it again, at most every RETRY_INTERVAL."""
        self._folder_to_open = state_dir
        self._retry_at = asyncio.get_running_loop().time() + RETRY_INTERVAL

    async def _run(self, work: Callable[..., T], *args: object) -> T:
        if self._folder_to_open is not None and asyncio.get_running_loop().time() >= self._retry_at:
            await self._open_again(self._folder_to_open)
        return await super()._run(work, *args)

    async def _open_again(self, folder: Path) -> None:
        self._folder_to_open = None  # uses in the meantime, including our own, must not open it too
        self._begin()
        try:
            await self.open(folder)
        except ServiceError:
            self.open_later(folder)
        else:
            log.info("cache.usable", path=str(folder / self.file))

    async def sha1s(self, under: str = "") -> dict[tuple[str, int, int], str]:
        """Return the known hashes of this file, or of all files in this folder, by (path, size, mtime_ns)."""
        try:
            rows = await self.query(_HASHES, under)
        except StoreError as error:  # a list of files without hashes is better than none
            self._note_trouble(error)
            return {}
        return {(row["path"], row["size"], row["mtime_ns"]): row["sha1"] for row in rows}

    async def put_sha1(self, path: str, size: int, mtime_ns: int, sha1: str) -> None:
        """Store the hash of a file in its current state."""
        await self.change("INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?)", path, size, mtime_ns, sha1)

    async def forget_sha1s(self, under: str) -> None:
        """Drop the hash of this file, or of all files in this folder."""
        await self.change(_FORGET, under)

    # All methods below run on the database's thread.

    def _fill(self, db: sqlite3.Connection, folder: Path) -> None:
        """Copy the tables that an older version had in the core's database; on failure, start empty."""
        earlier = folder / CORE_DATABASE
        if not earlier.exists():
            return
        db.execute("SAVEPOINT earlier")
        try:
            with closing(sqlite3.connect(f"{earlier.resolve().as_uri()}?mode=ro", uri=True)) as source:
                rows = sum(_copy(source, db, table, columns) for table, columns in TABLES.items())
        except sqlite3.Error as error:
            if not db.in_transaction:  # front.db itself has failed
                raise
            db.execute("ROLLBACK TO earlier")
            log.warning("cache.begun_empty", reason=f"{earlier}: {error}", consequence=TABLES_CONSEQUENCE)
        else:
            if rows:  # otherwise it is a new installation
                log.info("cache.taken_over", rows=rows, path=str(earlier))
        db.execute("RELEASE earlier")


_HASHES = """
    SELECT hashes.* FROM hashes, (SELECT ? AS under)
    WHERE under = '' OR path = under OR substr(path, 1, length(under) + 1) = under || '/'
"""
_FORGET = """
    DELETE FROM hashes WHERE EXISTS (
        SELECT 1 FROM (SELECT ? AS under) WHERE path = under OR substr(path, 1, length(under) + 1) = under || '/'
    )
"""


async def open_cache(state_dir: Path) -> Cache:
    """Open the cache; if the database cannot be used, return one that stores nothing for now.

    Raises:
        StateDirTaken: another front has it open, and does not end.
    """
    cache = Cache(_trouble)
    try:
        await cache.open(state_dir, PREDECESSOR_TIMEOUT)
    except StoreError as error:
        log.warning("cache.unusable", reason=str(error), consequence="nothing is stored until it can be opened")
        cache.open_later(state_dir)
    return cache


def _trouble(error: Exception) -> None:
    log.error("cache.trouble", reason=str(error), consequence="hashes of files and analyses may not be kept")


def _copy(source: sqlite3.Connection, target: sqlite3.Connection, table: str, columns: str) -> int:
    """Copy a table with the same columns, if it exists; return the number of rows."""
    if not source.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (table,)).fetchone():
        return 0
    marks = ", ".join("?" for _ in columns.split(", "))
    rows = source.execute(f"SELECT {columns} FROM {table}")  # noqa: S608 - of TABLES
    return target.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows).rowcount  # noqa: S608 - as above
