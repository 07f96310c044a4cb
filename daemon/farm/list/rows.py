"""Rows of the tables as values, and the queries that several modules need."""

import json
import uuid
from collections.abc import Iterable
from typing import Any

import msgspec
import sqlalchemy as sa

from daemon.farm.errors import NoSuchCopy, NoSuchJob
from daemon.farm.list.database import Transaction
from daemon.farm.list.matching import Kind
from daemon.farm.list.schema import FOREVER, copies, declines, jobs, kinds
from daemon.farm.list.values import BEGUN_STATES, FAULT_PAUSE_S, Decline, FarmCopy, FarmJob, JobState

MAX_DIGITS = 9
"""Length of the largest job number."""

MAX_IN = 500
"""Values in one SQL `IN (…)`; old versions of SQLite allow 999."""

IS_HERE: Any = ~sa.exists().where(jobs.c.id == copies.c.job, jobs.c.site != "")
"""The SQL condition that a copy belongs to the printers of this list: a printer of a site may have the same id."""


def copy_id(job: str, number: int) -> str:
    """Return the id of a job's copy, which is the same in the hub's list and in its site's."""
    return str(uuid.uuid5(uuid.UUID(job), str(number)))


def copy_of(row: Any) -> FarmCopy:
    """Return a row of `farm_copies` as a value."""
    return FarmCopy(**{name: getattr(row, name) for name in FarmCopy.__struct_fields__})


def job_of(row: Any, counts: dict[str, int]) -> FarmJob:
    """Return a row of `farm_jobs` as a value, with the number of its copies in each state."""
    return FarmJob(
        id=row.id,
        number=row.number,
        name=row.name,
        sha256=row.sha256,
        state=_state(counts, held=bool(row.held)),
        created=row.created,
        revision=row.revision,
        size=row.size,
        by=row.created_by,
        copies=sum(counts.values()) - counts.get("cancelled", 0),
        material=row.material,
        colour=row.colour,
        nozzle_mm=row.nozzle_mm,
        group=row.printer_group,
        printers=tuple(json.loads(row.printers)),
        priority=row.priority,
        rank=row.position,
        due=date_of(row.due),
        notes=row.notes,
        held=bool(row.held),
        held_by=row.held_by,
        held_at=row.held_at,
        extent=extent_of(row.extent),
        hottest=row.hottest,
        seconds=row.seconds,
        filament_mm=row.filament_mm,
        site=row.site,
        counts=counts,
    )


def extent_of(text: str) -> tuple[float, float, float] | None:
    """Return the extent from its text column; an empty text means that it is unknown."""
    return msgspec.json.decode(text, type=tuple[float, float, float]) if text else None


def date_of(moment: float) -> float | None:
    """Return a date from its column; None instead of FOREVER."""
    return None if moment >= FOREVER else moment


def kind_of(row: Any) -> Kind:
    """Return a row of `farm_kinds` as a value."""
    return Kind(id=row.id, material=row.material, colour=row.colour, nozzle_mm=row.nozzle_mm, group=row.printer_group)


def _state(counts: dict[str, int], *, held: bool) -> JobState:
    if any(counts.get(state) for state in (*BEGUN_STATES, "offered")):
        return "printing"
    if counts.get("waiting"):
        return "held" if held else "waiting"
    if counts.get("failed"):
        return "failed"
    return "done" if counts.get("done") else "cancelled"


# -- look-ups ---------------------------------------------------------------------------------------------

_JOB = sa.select(jobs).where(jobs.c.id == sa.bindparam("id"))
_JOB_BY_NUMBER = sa.select(jobs).where(jobs.c.number == sa.bindparam("number"))
_COPY = sa.select(copies).where(copies.c.id == sa.bindparam("id"))
_COUNTS = (
    sa.select(copies.c.job, copies.c.state, sa.func.count().label("count"))
    .where(copies.c.job.in_(sa.bindparam("jobs", expanding=True)))
    .group_by(copies.c.job, copies.c.state)
)
_KINDS = sa.select(kinds)


def is_in_force(now: Any) -> Any:
    """Return the SQL condition that a decline is in force: for good, or for a limited time.

    If more than FAULT_PAUSE_S seems to be left of a limited time, the clock was set back, and the decline is void.
    """
    until = declines.c.until
    forever: Any = sa.literal_column(repr(FOREVER))
    longest: Any = sa.literal_column(repr(FAULT_PAUSE_S))
    return sa.and_(until > now, sa.or_(until >= forever, until <= now + longest))


_DECLINES = sa.select(declines).where(declines.c.job == sa.bindparam("job"), is_in_force(sa.bindparam("now")))


def find_job(tx: Transaction, job_ref: str) -> Any:
    """Return the row of a job, which is named by its id or its number.

    Raises:
        NoSuchJob: there is none.
    """
    is_number = len(job_ref) <= MAX_DIGITS and job_ref.isascii() and job_ref.isdecimal()
    row = tx.row(_JOB_BY_NUMBER, number=int(job_ref)) if is_number else tx.row(_JOB, id=job_ref)
    if row is None:
        raise NoSuchJob(f"there is no job {job_ref}")
    return row


def get_job(tx: Transaction, job: str) -> FarmJob:
    """Return a job; raises NoSuchJob."""
    return jobs_of(tx, [find_job(tx, job)])[0]


def get_copy(tx: Transaction, copy: str) -> FarmCopy:
    """Return a copy.

    Raises:
        NoSuchCopy: there is none.
    """
    if (row := tx.row(_COPY, id=copy)) is None:
        raise NoSuchCopy(f"there is no copy {copy}")
    return copy_of(row)


def find_copy(tx: Transaction, copy: str) -> FarmCopy | None:
    """Return a copy; None: there is none with this id."""
    row = tx.row(_COPY, id=copy)
    return None if row is None else copy_of(row)


def jobs_of(tx: Transaction, rows: list[Any]) -> list[FarmJob]:
    """Return rows of `farm_jobs` as values."""
    counts: dict[str, dict[str, int]] = {row.id: {} for row in rows}
    ids = list(counts)
    for start in range(0, len(ids), MAX_IN):
        for job, state, count in tx.rows(_COUNTS, jobs=ids[start : start + MAX_IN]):
            counts[job][state] = count
    return [job_of(row, counts[row.id]) for row in rows]


def all_kinds(tx: Transaction) -> list[Kind]:
    """Return the kinds of all jobs."""
    return [kind_of(row) for row in tx.rows(_KINDS)]


def declines_of(tx: Transaction, job: str) -> list[Decline]:
    """Return the declines of a job that are in force now."""
    return [decline_of(row) for row in tx.rows(_DECLINES, job=job, now=tx.now)]


def decline_of(row: Any) -> Decline:
    """Return a row of `farm_declines` as a value."""
    return Decline(job=row.job, printer=row.printer, reason=row.reason, until=date_of(row.until))


# -- counts of copies in a job's row -----------------------------------------------------------------------


def _count(*states: str) -> Any:
    return (
        sa.select(sa.func.count())
        .where(copies.c.job == sa.bindparam("a_job"), copies.c.state.in_(states))
        .scalar_subquery()
    )


_RECOUNT = (
    sa.update(jobs)
    .where(jobs.c.id == sa.bindparam("a_job"))
    .values(waiting=_count("waiting"), unfinished=_count("waiting", "offered", *BEGUN_STATES))
)
_QUEUE = (
    sa.update(jobs)
    .where(jobs.c.id == sa.bindparam("a_job"))
    .values(queued=sa.case((sa.and_(jobs.c.waiting > 0, jobs.c.held == 0, jobs.c.site == ""), 1), else_=0))
)


def recount(tx: Transaction, changed: Iterable[str]) -> None:
    """Recompute `waiting`, `unfinished` and `queued` of these jobs from their copies, for the index of `offer`."""
    for job in sorted(set(changed)):
        tx.write(_RECOUNT, a_job=job)
        tx.write(_QUEUE, a_job=job)
