"""What must outlive the daemon: jobs and the hashes of files, in SQLite, written by a thread of its own.

A disk that fails or is full must not stop a print: writing about a job never raises. What could not be
written is kept, newest state first, and tried again; the user is told once each time that trouble begins.
A database that is damaged is set aside, also in the middle of a print, and another one begun.
"""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from daemon.bridge.words import FileStatistics, LastPrint
from daemon.errors import StateDirTaken, StoreError
from daemon.set_aside import set_aside

DATABASE = "nozzled.db"
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

RETRY_S = 5.0
"""Seconds until a failed write is tried again."""

SCHEMA = Path(__file__).with_name("schema")
COMPLETED = "COMPLETED"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job as it starts; `path` is the file's in the uploads' folder."""

    path: str
    name: str
    size: int
    sha1: str | None
    mtime_ns: int
    origin: str
    user: str | None
    printer: str
    state: str = "STARTING"


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as it is stored: `state` is the last one seen, and equals `outcome` once it has ended."""

    id: int
    path: str
    name: str
    size: int
    sha1: str | None
    mtime_ns: int
    origin: str
    user: str | None
    printer: str
    state: str
    started_at: float
    ended_at: float | None
    outcome: str | None
    reason: str | None
    lines: int
    offset: int
    print_time: float | None


@dataclass(frozen=True, slots=True)
class _Progress:
    """The part of a job's row that changes; with an outcome it is the last one."""

    state: str
    lines: int
    offset: int
    ended_at: float | None = None
    outcome: str | None = None
    reason: str | None = None
    print_time: float | None = None


class Store:
    """The database in the state directory, held by one daemon at a time.

    Call it from the event loop only. Reading raises StoreError; writing about a job reports to `on_trouble`.
    """

    def __init__(self, wall: Callable[[], float], on_trouble: Callable[[Exception], None]) -> None:
        self._wall = wall
        self._on_trouble = on_trouble
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._resources = ExitStack()  # the lock; it and the connection are touched by the thread only
        self._folder = Path()
        self._db: sqlite3.Connection | None = None
        self._pending: dict[int, _Progress] = {}  # newest progress of each job that is not on disk yet
        self._writing: asyncio.Future[None] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._troubled: str | None = None
        self._closing = False

    async def open(self, state_dir: Path) -> None:
        """Take the state directory, making it if need be, and bring the database up to date.

        Raises:
            StateDirTaken: another daemon holds it.
            StoreError: directory or database cannot be used, or a newer version made it.
        """
        try:
            self._db = await self._run(self._open, state_dir)
        except BaseException:
            self._thread.shutdown()
            raise

    def _open(self, state_dir: Path) -> sqlite3.Connection:
        with ExitStack() as stack:
            try:
                state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
                stack.callback(os.close, _lock(state_dir / "lock"))
                db = _usable(state_dir / DATABASE)
            except OSError as error:
                raise StoreError(f"state directory {state_dir}: {error.strerror}") from error
            except sqlite3.Error as error:
                raise StoreError(f"database {state_dir / DATABASE}: {error}") from error
            self._folder = state_dir
            self._resources = stack.pop_all()
        return db

    async def close(self) -> None:
        """Try once more to write what is pending, then let go of database and directory; idempotent."""
        if self._closing or self._db is None:
            return
        self._closing = True
        await self._settled()
        self._write_pending()
        await self._settled()
        await self._run(self._close)
        self._thread.shutdown()

    async def begin_job(self, job: NewJob) -> int | None:
        """Store that a job starts, and return its id when that is safe on disk; None when it cannot be."""
        try:
            job_id = await self._run(self._insert_job, job, self._wall())
        except sqlite3.Error as error:
            self._trouble(error)
            return None
        self._recovered()
        return job_id

    def checkpoint(self, job_id: int | None, state: str, lines: int, offset: int) -> None:
        """Note how far a job has got; returns at once. Of several not yet written the newest counts."""
        self._note(job_id, _Progress(state, lines, offset))

    def end_job(
        self, job_id: int | None, outcome: str, reason: str | None, lines: int, offset: int, print_time: float
    ) -> None:
        """Note how a job ended; returns at once, and is tried until it is written or the store is closed."""
        self._note(job_id, _Progress(outcome, lines, offset, self._wall(), outcome, reason, print_time))

    def _note(self, job_id: int | None, progress: _Progress) -> None:
        if job_id is None:  # the disk was full when it began: it is not recorded
            return
        known = self._pending.get(job_id)
        if known is None or known.outcome is None:  # nothing comes after the end
            self._pending[job_id] = progress
        self._write_pending()

    def _write_pending(self) -> None:
        """Start to write what is pending, unless that is under way or waits for its next try."""
        if not self._pending or self._writing or self._retry:
            return
        batch = dict(self._pending)
        loop = asyncio.get_running_loop()
        self._writing = loop.run_in_executor(self._thread, self._work, self._update_jobs, batch)
        self._writing.add_done_callback(partial(self._written, batch))

    def _written(self, batch: dict[int, _Progress], done: asyncio.Future[None]) -> None:
        self._writing = None
        try:
            done.result()
        except sqlite3.Error as error:
            self._trouble(error)
            if not self._closing:
                self._retry = done.get_loop().call_later(RETRY_S, self._try_again)
            return
        for job_id, progress in batch.items():
            if self._pending[job_id] is progress:
                del self._pending[job_id]
        self._recovered()

    def _try_again(self) -> None:
        self._retry = None
        self._write_pending()

    async def _settled(self) -> None:
        """Wait for the write that is under way, and give up waiting for a next try."""
        while self._writing:
            await asyncio.wait([self._writing])
        if self._retry:
            self._retry.cancel()
            self._retry = None

    @property
    def trouble(self) -> str | None:
        """Why prints are not recorded just now; None while they are."""
        return self._troubled

    def _trouble(self, error: Exception) -> None:
        if self._troubled is None:
            self._troubled = str(error)
            self._on_trouble(error)

    def _recovered(self) -> None:
        self._troubled = None
        if self._retry:
            self._retry.cancel()
        self._try_again()

    async def unfinished_jobs(self) -> list[JobRecord]:
        """Return the jobs that have begun and not ended, oldest first."""
        return await self._jobs("SELECT * FROM jobs WHERE ended_at IS NULL ORDER BY id")

    async def jobs(self, limit: int) -> list[JobRecord]:
        """Return the last jobs, newest first."""
        return await self._jobs("SELECT * FROM jobs ORDER BY id DESC LIMIT ?", limit)

    async def _jobs(self, query: str, *values: object) -> list[JobRecord]:
        return [JobRecord(**dict(row)) for row in await self._query(query, *values)]

    async def statistics(self, path: str) -> FileStatistics:
        """Return how the prints of the file at this path ended."""
        [[success, total, average]] = await self._query(_COUNTS, path)
        last = await self._query(_LAST, path)
        return FileStatistics(
            success,
            total - success,
            LastPrint(last[0]["ended_at"], last[0]["outcome"] == COMPLETED, last[0]["print_time"]) if last else None,
            average,
        )

    async def sha1s(self, under: str = "") -> dict[tuple[str, int, int], str]:
        """Return the known hashes by (path, size, mtime_ns): of this file, or of all in this folder."""
        try:
            rows = await self._query(_HASHES, under)
        except StoreError as error:  # a list of files without hashes is better than none
            self._trouble(error)
            return {}
        return {(row["path"], row["size"], row["mtime_ns"]): row["sha1"] for row in rows}

    async def put_sha1(self, path: str, size: int, mtime_ns: int, sha1: str) -> None:
        """Keep the hash of a file as it is now."""
        await self._change("INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?)", path, size, mtime_ns, sha1)

    async def forget_sha1s(self, under: str) -> None:
        """Drop the hash of this file, or of all in this folder."""
        await self._change(_FORGET, under)

    async def query(self, query: str, *values: object) -> list[sqlite3.Row]:
        """Return what a query of another module's tables finds."""
        return await self._query(query, *values)

    async def change(self, statement: str, *values: object) -> None:
        """Change another module's tables; trouble is told to the user, and not raised."""
        await self._change(statement, *values)

    async def _query(self, query: str, *values: object) -> list[sqlite3.Row]:
        try:
            return await self._run(lambda: self._connection.execute(query, values).fetchall())
        except sqlite3.Error as error:
            raise StoreError(f"the database cannot be read: {error}") from error

    async def _change(self, statement: str, *values: object) -> None:
        try:
            await self._run(self._execute, statement, values)
        except sqlite3.Error as error:
            self._trouble(error)
        else:
            self._recovered()

    async def _run(self, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._work, work, *args)

    # From here on: on the store's thread.

    def _work(self, work: Callable[..., T], *args: object) -> T:
        """Do it; where the database turns out to be damaged, the next one finds another."""
        try:
            return work(*args)
        except sqlite3.DatabaseError as error:
            if _is_damage(error) and self._db is not None:
                self._db.close()
                with suppress(OSError, sqlite3.Error):  # a disk that takes nothing: what is raised tells of it
                    self._db = _begun_anew(self._folder / DATABASE, error)
            raise

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
        self._resources.close()

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            raise StoreError("the database is not open")
        return self._db

    def _execute(self, statement: str, values: tuple[object, ...]) -> None:
        with _transaction(self._connection, durable=False) as db:
            db.execute(statement, values)

    def _insert_job(self, job: NewJob, started_at: float) -> int | None:
        with _transaction(self._connection, durable=True) as db:
            return db.execute(_INSERT, asdict(job) | {"started_at": started_at}).lastrowid

    def _update_jobs(self, batch: dict[int, _Progress]) -> None:
        ends = any(progress.outcome for progress in batch.values())
        with _transaction(self._connection, durable=ends) as db:
            db.executemany(_UPDATE, [asdict(progress) | {"id": job_id} for job_id, progress in batch.items()])


_INSERT = """
    INSERT INTO jobs (path, name, size, sha1, mtime_ns, origin, user, printer, state, started_at)
    VALUES (:path, :name, :size, :sha1, :mtime_ns, :origin, :user, :printer, :state, :started_at)
"""
_UPDATE = """
    UPDATE jobs SET state = :state, lines = :lines, offset = :offset, ended_at = :ended_at,
        outcome = :outcome, reason = :reason, print_time = :print_time
    WHERE id = :id AND ended_at IS NULL
"""
_COUNTS = """
    SELECT count(*) FILTER (WHERE outcome = 'COMPLETED'), count(*),
        avg(print_time) FILTER (WHERE outcome = 'COMPLETED')
    FROM jobs WHERE path = ? AND ended_at IS NOT NULL
"""
_LAST = """
    SELECT ended_at, outcome, print_time FROM jobs
    WHERE path = ? AND ended_at IS NOT NULL ORDER BY ended_at DESC, id DESC LIMIT 1
"""
_HASHES = "SELECT * FROM hashes WHERE ?1 = '' OR path = ?1 OR substr(path, 1, length(?1) + 1) = ?1 || '/'"
_FORGET = "DELETE FROM hashes WHERE path = ?1 OR substr(path, 1, length(?1) + 1) = ?1 || '/'"


@contextmanager
def _transaction(db: sqlite3.Connection, *, durable: bool) -> Iterator[sqlite3.Connection]:
    """All or nothing; a durable one survives a power cut, the others may lose the last seconds.

    In WAL mode NORMAL syncs at checkpoints only, which spares the SD card one fsync per job checkpoint.
    """
    db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def _lock(path: Path) -> int:
    """Take the lock file for as long as the returned descriptor is open; it ends with the process."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
    except BlockingIOError:
        os.close(lock)
        raise StateDirTaken(f"state directory {path.parent} is in use by {_holder(path)}") from None
    except BaseException:
        os.close(lock)
        raise
    return lock


def _holder(path: Path) -> str:
    from hal import holders  # noqa: PLC0415 - only a start that fails needs it

    found = holders.of_file(path)
    return holders.describe(found) if found else f"another daemon (pid {path.read_text()[:20].strip()})"


def _usable(path: Path) -> sqlite3.Connection:
    """Return the database, brought up to date; another one where it is damaged."""
    db = _connect(path)
    try:
        _migrate(db)
    except BaseException as error:
        db.close()
        if isinstance(error, sqlite3.DatabaseError) and _is_damage(error):
            return _begun_anew(path, error)
        raise
    return db


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGED  # the rest of the code says where


def _begun_anew(path: Path, error: sqlite3.DatabaseError) -> sqlite3.Connection:
    set_aside(path, str(error), "the record of prints and files begins anew", also=("-wal", "-shm"))
    db = _connect(path)
    _migrate(db)
    return db


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)  # None: transactions are ours, not the module's
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA foreign_keys = ON")
    return db


def _migrate(db: sqlite3.Connection) -> None:
    """Bring the schema to the newest version, in one transaction."""
    db.execute("PRAGMA journal_mode = WAL")
    [have] = db.execute("PRAGMA user_version").fetchone()
    scripts = {int(path.stem[1:]): path.read_text("utf-8") for path in SCHEMA.glob("v*.sql")}
    newest = max(scripts)
    if have > newest:
        raise StoreError(f"the database has schema version {have}, newer than {newest} of this program; upgrade it")
    steps = [scripts[version] for version in range(have + 1, newest + 1)]
    try:
        if steps:
            db.executescript(f"BEGIN IMMEDIATE; {''.join(steps)} PRAGMA user_version = {newest}; COMMIT;")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
