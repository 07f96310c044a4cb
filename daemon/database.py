"""Database: a SQLite file in the state directory, used by a thread of its own and locked by one process at a time.

Core and front have one each. A disk that fails or is full stops nothing: trouble with writing is reported
once when it begins. A damaged database is set aside, even while it is in use, and replaced by an empty one.
"""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import structlog

from daemon.errors import StateDirTaken, StoreError
from daemon.set_aside import make_way, set_aside, why_unusable

DAMAGE_CODES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
FOREIGN_CODES = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_SCHEMA)
"""Errors from a database that is not ours or was changed: it has other tables or columns."""

LOCK_RETRY_INTERVAL = 0.05
"""Seconds before the next attempt to take a lock that another process holds."""

LOCK_TABLE = Path("/proc/locks")

log = structlog.get_logger()

T = TypeVar("T")


class Database:
    """A SQLite file; subclasses say which one, and what it is for.

    Call it from the event loop only. Trouble with writing goes to `on_trouble`; reading, `keep` and
    `change_many` raise StoreError.
    """

    file: ClassVar[str]  # its name in the state directory
    lock: ClassVar[str]  # name of the lock file
    lock_scope: ClassVar[str]  # in the message that the lock is held: the text before "the state directory …"
    damage_consequence: ClassVar[str]  # what damage to the database means for the user
    schema: ClassVar[Path]  # folder of v1.sql, v2.sql, …
    works_in_memory: ClassVar[bool] = False  # if the disk cannot be used

    def __init__(self, on_trouble: Callable[[Exception], None]) -> None:
        self._on_trouble = on_trouble
        self._begin()
        self._resources = ExitStack()  # the lock; only the thread touches it and the connection
        self._folder = Path()
        self._db: sqlite3.Connection | None = None
        self._write_trouble: str | None = None
        self._in_memory_reason: str | None = None  # why the database is in memory only

    def _begin(self) -> None:
        """Get ready to be opened, for the first time or after a failure."""
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=self.file)
        self._is_closed = False

    async def open(self, state_dir: Path, patience: float = 0.0) -> None:
        """Take the lock, making the state directory if need be, and bring the database up to date.

        Args:
            state_dir: the folder.
            patience: seconds to wait for another process to release the lock.

        Raises:
            StateDirTaken: another process holds the lock.
            StoreError: directory or database cannot be used; with `works_in_memory`, only if there is no directory.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + patience
        while True:
            try:
                self._db = await self._run(self._open, state_dir)
            except StateDirTaken:
                if loop.time() >= until:
                    self._end()
                    raise
            except BaseException:
                self._end()
                raise
            else:
                return
            await asyncio.sleep(LOCK_RETRY_INTERVAL)

    async def close(self) -> None:
        """Close the database and release the lock; idempotent."""
        if self._is_closed:
            return
        await self._run(self._close)
        self._end()

    def _end(self) -> None:
        self._is_closed = True
        self._thread.shutdown()

    @property
    def trouble(self) -> str | None:
        """Why nothing can be written at present; None: it can."""
        return self._write_trouble or self._in_memory_reason

    def _note_trouble(self, error: Exception) -> None:
        if self._write_trouble is None:
            self._write_trouble = str(error)
            self._on_trouble(error)

    def _note_recovery(self) -> None:
        self._write_trouble = None

    async def query(self, query: str, *values: object) -> list[sqlite3.Row]:
        """Return the rows of a query.

        Raises:
            StoreError: the database cannot be read.
        """
        try:
            return await self._run(lambda: self._connection.execute(query, values).fetchall())
        except sqlite3.Error as error:
            raise StoreError(f"the database cannot be read: {error}") from error

    async def change(self, statement: str, *values: object) -> None:
        """Execute a statement; trouble is reported, not raised."""
        try:
            await self._run(self._execute, statement, values)
        except (sqlite3.Error, StoreError) as error:
            self._note_trouble(error)
        else:
            self._note_recovery()

    async def keep(self, *statements: tuple[str, Sequence[Any]]) -> None:
        """Execute statements in one durable transaction.

        Raises:
            StoreError: the database cannot be written.
        """
        try:
            await self._run(self._keep, statements)
        except sqlite3.Error as error:
            self._note_trouble(error)
            raise StoreError(f"the database cannot be written: {error}") from error
        self._note_recovery()

    async def change_many(self, statement: str, rows: Sequence[Any]) -> None:
        """Execute a statement for many rows in one transaction, which a power cut may undo.

        Raises:
            StoreError: the database cannot be written.
        """
        try:
            await self._run(self._execute_all, statement, rows)
        except sqlite3.Error as error:
            self._note_trouble(error)
            raise StoreError(f"the database cannot be written: {error}") from error

    async def _run(self, work: Callable[..., T], *args: object) -> T:
        if self._is_closed:
            raise StoreError("the database is not open")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._work, work, *args)

    # From here on: on the database's thread.

    def _open(self, state_dir: Path) -> sqlite3.Connection:
        path = state_dir / self.file
        with ExitStack() as stack:
            try:
                state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
                _clear_lock_path(state_dir / self.lock)
                scope = f"{self.lock_scope}the state directory {state_dir}"
                stack.callback(os.close, _lock_file(state_dir / self.lock, scope))
                db = self._open_usable(path)
            except OSError as error:
                db = self._open_in_memory(
                    StoreError(f"cannot use the state directory {state_dir}: {_reason(error, state_dir)}"), state_dir
                )
            except sqlite3.Error as error:
                db = self._open_in_memory(StoreError(f"cannot open the database {path}: {error}"), state_dir)
            self._folder = state_dir
            self._resources = stack.pop_all()
        return db

    def _open_in_memory(self, error: StoreError, folder: Path) -> sqlite3.Connection:
        """Return a database in memory, or raise the error if that is not allowed."""
        if not self.works_in_memory or not folder.is_dir():
            raise error
        db = _connect(":memory:")
        try:
            self._migrate(db, folder)
        except sqlite3.Error:  # the disk is not to blame
            db.close()
            raise error from None
        log.error("database.unusable", reason=str(error), consequence=f"{self.file} is in memory, and lost at the end")
        self._in_memory_reason = str(error)
        return db

    def _work(self, work: Callable[..., T], *args: object) -> T:
        """Do the work. If the database turns out to be damaged, replace it, and still raise the error."""
        try:
            return work(*args)
        except sqlite3.DatabaseError as error:
            if _is_damage(error) and self._db is not None:
                self._db.close()
                with suppress(OSError, sqlite3.Error):  # the disk takes nothing; the error raised below says so
                    self._db = self._replace(self._folder / self.file, error)
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

    def _keep(self, statements: Sequence[tuple[str, Sequence[Any]]]) -> None:
        with transaction(self._connection, durable=True) as db:
            for statement, values in statements:
                db.execute(statement, values)

    def _execute_all(self, statement: str, rows: Sequence[Any]) -> None:
        with transaction(self._connection, durable=False) as db:
            db.executemany(statement, rows)

    def _execute(self, statement: str, values: tuple[object, ...]) -> None:
        with transaction(self._connection, durable=False) as db:
            db.execute(statement, values)

    def _open_usable(self, path: Path) -> sqlite3.Connection:
        """Return the database, brought up to date; an empty one if it is damaged or not ours."""
        if (reason := why_unusable(path)) is not None:
            set_aside(path, reason, self.damage_consequence, suffixes=("-wal", "-shm"))
        db = _connect(path)
        try:
            if not self._migrate(db, path.parent):
                self._check(db)
        except BaseException as error:
            db.close()
            if isinstance(error, sqlite3.DatabaseError) and (_is_damage(error) or self._is_not_ours(error)):
                return self._replace(path, error)
            raise
        return db

    def _check(self, db: sqlite3.Connection) -> None:
        """Raise sqlite3.DatabaseError if the database lacks a table or column of ours."""
        with closing(_connect(":memory:")) as ours:
            self._make_tables(ours)
            for table, columns in _columns(ours).items():
                if lacking := columns - _columns(db).get(table, set()):
                    raise sqlite3.DatabaseError(f"the table {table} lacks {', '.join(sorted(lacking))}")

    def _is_not_ours(self, error: sqlite3.DatabaseError) -> bool:
        """Tell whether the database is to blame for an error, and not the disk or our scripts."""
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF not in FOREIGN_CODES:
            return False
        try:
            with closing(_connect(":memory:")) as ours:
                self._make_tables(ours)
        except sqlite3.Error:
            return False
        return True

    def _make_tables(self, db: sqlite3.Connection) -> None:
        """Make the tables of the newest version, empty."""
        for _, script in sorted(self._read_scripts().items()):
            db.executescript(script)

    def _read_scripts(self) -> dict[int, str]:
        return {int(path.stem[1:]): path.read_text("utf-8") for path in self.schema.glob("v*.sql")}

    def _replace(self, path: Path, error: sqlite3.DatabaseError) -> sqlite3.Connection:
        set_aside(path, str(error), self.damage_consequence, suffixes=("-wal", "-shm"))
        db = _connect(path)
        try:
            self._migrate(db, path.parent)
        except BaseException:
            db.close()
            raise
        return db

    def _migrate(self, db: sqlite3.Connection, folder: Path) -> bool:
        """Bring the schema to the newest version, in one transaction; a newer schema stays as it is.

        Returns:
            whether the database was empty, so that its tables are ours and need no check.
        """
        db.execute("PRAGMA journal_mode = WAL")
        [have] = db.execute("PRAGMA user_version").fetchone()
        if have < 0:
            raise sqlite3.DatabaseError(f"its schema version is {have}")
        scripts = self._read_scripts()
        newest = max(scripts)
        steps = [scripts[version] for version in range(have + 1, newest + 1)]
        try:
            if steps:
                db.executescript(f"BEGIN IMMEDIATE; {''.join(steps)} PRAGMA user_version = {newest};")
                if have == 0:
                    self._fill(db, folder)
                db.execute("COMMIT")
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")
        return bool(have == 0)

    def _fill(self, db: sqlite3.Connection, folder: Path) -> None:
        """Insert the first content of a new database, in the transaction that makes it."""


@contextmanager
def transaction(db: sqlite3.Connection, *, durable: bool) -> Iterator[sqlite3.Connection]:
    """Run a transaction. A durable one survives a power cut, which may undo others of the last seconds.

    In WAL mode, NORMAL syncs only when SQLite moves the log into the database: this spares the SD card an fsync each
    time that the place of the print is stored.
    """
    db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def _reason(error: OSError, state_dir: Path) -> str:
    """Return why the state directory cannot be used."""
    if state_dir.is_symlink() and not state_dir.exists():
        return "it is a link that leads nowhere; is the disk mounted?"
    return "it is not a folder" if isinstance(error, FileExistsError) else error.strerror or str(error)


def _clear_lock_path(path: Path) -> None:
    """Set aside what cannot be used as a lock file, unless a process may have locked it."""
    if path.is_file() and (os.access(path, os.R_OK | os.W_OK) or _is_held(path)):
        return
    make_way(path, "another lock file is made")


def _is_held(path: Path) -> bool:
    """Tell whether a process has locked a file that we may not open; True if that cannot be found out."""
    try:
        inode = path.stat().st_ino
        return any(line.split()[5].rpartition(":")[2] == str(inode) for line in LOCK_TABLE.read_text().splitlines())
    except (OSError, IndexError):
        return True


def _lock_file(path: Path, scope: str) -> int:
    """Lock the file for as long as the returned descriptor is open, at most until the process ends."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
    except BlockingIOError:
        os.close(lock)
        raise StateDirTaken(f"{scope} is in use by {_holder_of(path)}; end it, or choose another --state-dir") from None
    except BaseException:
        os.close(lock)
        raise
    return lock


def _holder_of(path: Path) -> str:
    from hal import holders  # noqa: PLC0415 - only a start that fails needs it

    processes = holders.of_file(path)
    return holders.describe(processes) if processes else f"another process (pid {path.read_text()[:20].strip()})"


def _columns(db: sqlite3.Connection) -> dict[str, set[str]]:
    """Return the columns of each table."""
    tables = [row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    quoted = {table: table.replace('"', '""') for table in tables}
    return {table: {row[1] for row in db.execute(f'PRAGMA table_info("{quoted[table]}")')} for table in tables}


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGE_CODES  # the rest of the code has the details


def _connect(path: Path | str) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)  # None: transactions are ours, not the module's
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA foreign_keys = ON")
    return db
