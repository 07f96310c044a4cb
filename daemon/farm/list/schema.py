"""The tables of the list, for SQLite and PostgreSQL. SQLAlchemy also creates the database from them.

A new database gets the tables as they stand here. One of an earlier version is upgraded by the statements in `STEPS`.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeEngine

FOREVER = 9e15
"""In `due` and `until`: never. A number, so that both databases sort it last."""

VERSION = 1
"""Version of the tables; a change to a released table raises it by one."""

STEPS: dict[int, tuple[str, ...]] = {}
"""Version → the statements that upgrade the version before it."""

metadata = MetaData()


def _column(name: str, kind: type[TypeEngine[Any]], *constraints: ForeignKey, **options: Any) -> "Column[Any]":
    """Return a column that is never NULL; the program, not the database, counts the primary keys."""
    return Column(name, kind, *constraints, **{"nullable": False, "autoincrement": False, **options})


def _text(name: str, *constraints: ForeignKey, **options: Any) -> "Column[Any]":
    return _column(name, Text, *constraints, **options)


def _double(name: str, **options: Any) -> "Column[Any]":
    return _column(name, Double, **options)


def _integer(name: str, *constraints: ForeignKey, **options: Any) -> "Column[Any]":
    return _column(name, Integer, *constraints, **options)


def _index(name: str, *columns: Any, where: Any = None) -> None:
    """Add an index; with a condition, it covers only the rows that meet it."""
    Index(name, *columns, sqlite_where=where, postgresql_where=where)


counters = Table("farm_counters", metadata, _text("name", primary_key=True), _column("value", BigInteger))
"""The schema's version, and the last number of each kind. On PostgreSQL, writers lock the row `writer` in turn."""

files = Table(
    "farm_files",
    metadata,
    _text("sha256", primary_key=True),
    _column("size", BigInteger),  # bytes
    _text("name"),
    _double("at"),
    _text("facts"),  # FileFacts, as JSON
)

kinds = Table(
    "farm_kinds",
    metadata,
    _integer("id", primary_key=True),
    _text("material"),
    _text("colour"),
    _double("nozzle_mm"),
    _text("printer_group"),
    UniqueConstraint("material", "colour", "nozzle_mm", "printer_group"),
)
"""Each combination of material, colour, nozzle and group that a job requires: see `matching.Kind`."""

jobs = Table(
    "farm_jobs",
    metadata,
    _text("id", primary_key=True),
    _integer("number", unique=True),
    _text("idempotency_key", nullable=True, unique=True),
    _text("fingerprint"),
    _text("sha256", ForeignKey("farm_files.sha256")),
    _text("name"),
    _double("created"),
    _text("created_by"),
    _integer("revision"),
    _integer("kind", ForeignKey("farm_kinds.id")),
    _text("material"),
    _text("colour"),
    _double("nozzle_mm"),
    _text("printer_group"),
    _text("printers"),  # a list, as JSON
    _integer("priority"),
    _double("position"),  # the rank
    _double("due"),
    _text("notes"),
    _integer("held"),
    _text("held_by"),
    _double("held_at", nullable=True),
    _text("site"),
    _text("extent"),  # width, depth and height in mm, as JSON
    _double("hottest"),  # °C
    _column("size", BigInteger),  # bytes
    _double("seconds"),
    _double("filament_mm"),
    # `rows.recount` computes these from the job's copies
    _integer("waiting"),  # copies
    _integer("unfinished"),  # copies
    _integer("queued"),  # 1: a copy may be offered
)
ORDER = (jobs.c.priority.desc(), jobs.c.due, jobs.c.position, jobs.c.number)
"""The order of printing: priority, due date, then the rank that users gave the job."""

_index("farm_jobs_queued", jobs.c.kind, *ORDER, where=jobs.c.queued == 1)  # read by `printer_actions.offer`
_index("farm_jobs_unfinished", *ORDER, where=jobs.c.unfinished > 0)

copies = Table(
    "farm_copies",
    metadata,
    _text("id", primary_key=True),
    _text("job", ForeignKey("farm_jobs.id", ondelete="CASCADE")),
    _integer("number"),
    _text("parent"),
    _text("state"),
    _text("printer"),
    _integer("attempt"),
    _text("nonce"),
    _double("lease_until"),
    _text("wish"),
    _integer("faults"),
    _text("reason"),
    _double("since"),
    _double("begun", nullable=True),
    _double("ended", nullable=True),
    _double("seconds"),
    _double("filament_mm"),
    UniqueConstraint("job", "number"),
)
_index("farm_copies_job", copies.c.job, copies.c.state, copies.c.number)
_index("farm_copies_held", copies.c.printer, copies.c.state)
_index("farm_copies_leases", copies.c.lease_until, where=copies.c.state == "offered")
_index("farm_copies_state", copies.c.state, copies.c.ended.desc(), copies.c.id)  # for counts, and all held copies
_index("farm_copies_ended", copies.c.ended, copies.c.id, where=copies.c.ended.is_not(None))

declines = Table(
    "farm_declines",
    metadata,
    _text("printer", primary_key=True),
    _text("job", ForeignKey("farm_jobs.id", ondelete="CASCADE"), primary_key=True),
    _text("reason"),
    _double("until"),
)
_index("farm_declines_job", declines.c.job)

events = Table(
    "farm_events",
    metadata,
    _column("number", BigInteger, primary_key=True),
    _double("at"),
    _text("who"),
    _text("what"),
    _text("job"),
    _text("copy"),
    _text("printer"),
    _text("text"),
)
_index("farm_events_at", events.c.at)
_index("farm_events_job", events.c.job, events.c.number)

printers = Table(
    "farm_printers",
    metadata,
    _text("id", primary_key=True),
    _double("seen"),
    _text("presence"),  # Presence, as JSON
)

keys = Table(
    "farm_keys",
    metadata,
    _text("hash", primary_key=True),
    _text("name", unique=True),
    _text("scope"),
    _double("created"),
    _text("created_by"),
)
