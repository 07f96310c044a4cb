"""ListDatabase: the connection to the list's database, its transactions, and the version of its tables."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from daemon.errors import ConfigError, StoreError
from daemon.farm.errors import ListAway
from daemon.farm.list import schema

SCHEMES = ("sqlite", "postgresql")
BUSY_MS = 10_000
"""How long SQLite waits for another process that uses the file, such as a backup."""

MAX_TEXT = 500
"""Characters stored of a text from a printer or a client."""


class Transaction:
    """One transaction; `now` is its Unix time in s."""

    def __init__(self, connection: sa.Connection, now: float) -> None:
        self.connection = connection
        self.now = now
        self.has_changes = False

    def rows(self, statement: sa.Executable, **values: Any) -> list[Any]:
        """Return all rows of a query."""
        return list(self.connection.execute(statement, values).all())

    def row(self, statement: sa.Executable, **values: Any) -> Any:
        """Return the first row of a query, or None."""
        return self.connection.execute(statement, values).first()

    def write(self, statement: sa.Executable, **values: Any) -> int:
        """Execute a change; return the number of changed rows."""
        count = self.connection.execute(statement, values).rowcount
        self.has_changes = self.has_changes or count > 0
        return count

    def write_many(self, statement: sa.Executable, values: list[dict[str, Any]]) -> None:
        """Execute a change once for each set of values."""
        if values:
            self.connection.execute(statement, values)
            self.has_changes = True

    def next_number(self, name: str) -> int:
        """Raise a counter by one, and return it."""
        counters = schema.counters
        increment = sa.update(counters).where(counters.c.name == name).values(value=counters.c.value + 1)
        if not self.connection.execute(increment).rowcount:
            self.connection.execute(sa.insert(counters).values(name=name, value=1))
        value: int = self.connection.execute(sa.select(counters.c.value).where(counters.c.name == name)).scalar_one()
        return value

    def add_event(
        self, by: str, what: str, *, job: str = "", copy: str = "", printer: str = "", text: str = ""
    ) -> None:
        """Add an event: who did what."""
        self.write(
            sa.insert(schema.events).values(
                number=self.next_number("event"),
                at=self.now,
                who=by[:MAX_TEXT],
                what=what,
                job=job,
                copy=copy,
                printer=printer,
                text=text[:MAX_TEXT],
            )
        )


class ListDatabase:
    """SQLite in a file (WAL, each commit synced to the disk) or PostgreSQL; one writer at a time in both.

    Raises:
        ConfigError: the URL names neither.
        StoreError: the database cannot be opened, or a newer version has written it.
        ListAway: the database does not answer.
    """

    def __init__(self, url: str, wall: Callable[[], float]) -> None:
        self.wall = wall
        self._engine = _engine(url)
        self.is_sqlite = self._engine.dialect.name == "sqlite"
        try:
            self.migrate()
        except BaseException:
            self.close()  # the caller gets no object that it could close
            raise

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Read one consistent state of the list, even if others write in the meantime."""
        options: dict[str, Any] = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with _own_errors(), self._engine.connect().execution_options(**options) as connection, connection.begin():
            yield Transaction(connection, self.wall())

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Change the list, all or nothing; there is only one writer at a time."""
        with _own_errors(), self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            if not self.is_sqlite:
                writer = schema.counters.c.name == "writer"
                connection.execute(sa.select(schema.counters.c.value).where(writer).with_for_update())
            yield Transaction(connection, self.wall())

    def migrate(self) -> None:
        """Create the tables, or upgrade them to this version, in one transaction."""
        with _own_errors(), self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            if not self.is_sqlite:
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(7420)"))  # two servers may start at once
            counters = schema.counters
            counters.create(connection, checkfirst=True)
            version = connection.execute(sa.select(counters.c.value).where(counters.c.name == "schema")).scalar()
            if version is None:
                schema.metadata.create_all(connection, checkfirst=True)
                rows = [{"name": "schema", "value": schema.VERSION}, {"name": "writer", "value": 0}]
                connection.execute(sa.insert(counters), rows)
                return
            if version > schema.VERSION:
                raise StoreError(
                    f"the farm's database has version {version}, but this nozzled supports only {schema.VERSION}: "
                    "install the newer nozzled again"
                )
            for step in range(version + 1, schema.VERSION + 1):
                for statement in schema.STEPS[step]:
                    connection.execute(sa.text(statement))
            newest = sa.update(counters).where(counters.c.name == "schema").values(value=schema.VERSION)
            connection.execute(newest)
            for table in schema.metadata.sorted_tables:
                for index in table.indexes:  # a new index needs no new version: an older nozzled works with it too
                    index.create(connection, checkfirst=True)


def back_up(url: str, target: Path) -> None:
    """Copy the whole list to a new SQLite file, while it is in use.

    The list itself stays as it is: the server that uses it may be of an older version than we are.

    Raises:
        ConfigError: the URL names no list in SQLite, there is no such file, or the new one exists or cannot be made.
        StoreError: the list cannot be copied; no part of a copy is left.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() != "sqlite":
        raise ConfigError("a list in PostgreSQL is backed up by pg_dump")
    source = Path(parsed.database or "")
    if not source.is_file():  # SQLite would create it, and the copy would be empty
        raise ConfigError(
            f"there is no list at {source}: name its folder with --state, or the server's configuration with --config"
        )
    try:
        target.open("xb").close()  # ours, so that it may be removed if the copy fails
    except FileExistsError:
        raise ConfigError(f"{target} exists: name a new file") from None
    except OSError as error:
        raise ConfigError(f"{target} cannot be made: {error.strerror}") from error
    try:
        with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True)) as database:
            database.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
            database.execute("VACUUM INTO ?", (str(target),))
    except sqlite3.Error as error:
        target.unlink(missing_ok=True)  # with a full disk half of it is there, which looks like a backup
        raise StoreError(f"the farm's database cannot be copied to {target}: {error}") from error


@contextmanager
def _own_errors() -> Iterator[None]:
    """Raise the database's errors as errors of the farm."""
    try:
        yield
    except (sa.exc.OperationalError, sa.exc.InternalError) as error:  # the latter: PostgreSQL is read-only now
        raise ListAway(f"the farm's database does not answer: {_cause(error)}") from error
    except sa.exc.DatabaseError as error:
        if isinstance(error, sa.exc.IntegrityError):
            raise
        raise StoreError(f"the farm's database cannot be used: {_cause(error)}") from error


def _cause(error: sa.exc.DBAPIError) -> str:
    return str(error.orig).partition("\n")[0]


def _parse(url: str) -> sa.URL:
    try:
        return sa.make_url(url)
    except sa.exc.ArgumentError:
        raise ConfigError(
            "the URL of the farm's database cannot be read: write sqlite:////path/farm.db or postgresql://…"
        ) from None


def _engine(url: str) -> sa.Engine:
    parsed = _parse(url)
    kind = parsed.get_backend_name()
    if kind not in SCHEMES:
        raise ConfigError(f"the farm's database can be sqlite or postgresql, not {kind!r}")
    if kind == "sqlite":
        engine = sa.create_engine(parsed, poolclass=StaticPool, connect_args={"check_same_thread": False})
        sa.event.listen(engine, "connect", _set_up_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        return sa.create_engine(parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True, pool_size=2)
    except ModuleNotFoundError:
        raise ConfigError("PostgreSQL needs psycopg: pip install nozzled[farm-postgresql]") from None


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # `_begin_sqlite` begins transactions, instead of the module sqlite3
    try:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", f"busy_timeout = {BUSY_MS}"):
            connection.execute(f"PRAGMA {pragma}")
    except sqlite3.Error:
        connection.close()  # the pool would forget it without closing it
        raise


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
