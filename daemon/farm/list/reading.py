"""What the list shows: jobs in their order, copies, history, events, numbers."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from daemon.farm.list import matching, rows, waiting
from daemon.farm.list.database import Transaction
from daemon.farm.list.schema import copies, events, jobs, printers
from daemon.farm.list.words import HOLDING, FarmCopy, FarmJob, ListedEvent
from daemon.farm.messages import Presence

MOST = 500
"""Rows of one answer."""

P = sa.bindparam


def open_jobs(tx: Transaction, limit: int, offset: int) -> list[FarmJob]:
    """Return the jobs that have not ended, in the order in which they are printed."""
    query = sa.select(jobs).where(jobs.c.unfinished > sa.literal_column("0")).order_by(*rows.ORDER)
    return rows.values(tx, tx.rows(query.limit(limit).offset(offset)))


def ended_jobs(tx: Transaction, limit: int, offset: int) -> list[FarmJob]:
    """Return the jobs that have ended, the newest first."""
    query = sa.select(jobs).where(jobs.c.unfinished == 0).order_by(jobs.c.number.desc())
    return rows.values(tx, tx.rows(query.limit(limit).offset(offset)))


def job_copies(tx: Transaction, job: str) -> list[FarmCopy]:
    """Return the copies of a job; raises NoSuchJob."""
    rows.find_job(tx, job)
    return [
        rows.copy_of(row) for row in tx.rows(sa.select(copies).where(copies.c.job == job).order_by(copies.c.number))
    ]


def outstanding(tx: Transaction) -> list[FarmCopy]:
    """Return what printers hold."""
    query = sa.select(copies).where(copies.c.printer != "", copies.c.state.in_(HOLDING))
    return [rows.copy_of(row) for row in tx.rows(query.order_by(copies.c.printer, copies.c.id))]


def history(tx: Transaction, limit: int, before: float | None, printer: str = "") -> list[FarmCopy]:
    """Return copies that have ended, the newest first."""
    query = sa.select(copies).where(copies.c.ended.is_not(None))
    if before is not None:
        query = query.where(copies.c.ended < before)
    if printer:
        query = query.where(copies.c.printer == printer)
    query = query.order_by(copies.c.ended.desc(), copies.c.id).limit(limit)
    return [rows.copy_of(row) for row in tx.rows(query)]


def events_since(tx: Transaction, since: int, limit: int, job: str = "") -> list[ListedEvent]:
    """Return what happened behind an event, in order."""
    query = sa.select(events).where(events.c.number > since)
    if job:
        query = query.where(events.c.job == job)
    return [_event(row) for row in tx.rows(query.order_by(events.c.number).limit(limit))]


def last_event(tx: Transaction) -> int:
    """Return the number of the newest event."""
    number: int | None = tx.row(sa.select(sa.func.max(events.c.number).label("last"))).last
    return number or 0


def _event(row: Any) -> ListedEvent:
    return ListedEvent(
        number=row.number, at=row.at, by=row.who, what=row.what, job=row.job, copy=row.copy, printer=row.printer,
        text=row.text,
    )  # fmt: skip


def presences(tx: Transaction) -> dict[str, Presence]:
    """Return the last word of each printer."""
    found = tx.rows(sa.select(printers.c.id, printers.c.presence).order_by(printers.c.id))
    return {row.id: msgspec.json.decode(row.presence, type=Presence) for row in found}


def counts(tx: Transaction) -> dict[str, int]:
    """Return how many copies are in each state."""
    query = sa.select(copies.c.state, sa.func.count().label("count")).group_by(copies.c.state)
    return {row.state: row.count for row in tx.rows(query)}


def before(tx: Transaction, job: Any, fitting: Mapping[str, Presence]) -> int:
    """Return how many copies come before a job's first one at the printers that it fits."""
    kinds = rows.all_kinds(tx)
    wanted = {kind.id for kind in kinds if any(matching.fits_kind(kind, each) for each in fitting.values())}
    here = (jobs.c.priority, jobs.c.due, jobs.c.position, jobs.c.number)
    earlier = sa.or_(
        here[0] > job.priority,
        sa.and_(
            here[0] == job.priority,
            sa.tuple_(*here[1:]) < sa.tuple_(*(sa.literal(job._mapping[each.name]) for each in here[1:])),  # noqa: SLF001 - public in SQLAlchemy
        ),
    )
    query = sa.select(jobs).where(jobs.c.queued == sa.literal_column("1"), jobs.c.kind.in_(wanted), earlier)
    count = 0
    for row in tx.rows(query):
        other = rows.job_of(row, {})
        if any(matching.fits_machine(other, name, each) for name, each in fitting.items()):
            count += row.waiting
    return count


def why_waiting(tx: Transaction, job: str, known: Mapping[str, Presence], clock: waiting.Clock | None) -> list[str]:
    """Return why no copy of a job begins now; raises NoSuchJob."""
    row = rows.find_job(tx, job)
    [value] = rows.values(tx, [row])
    declines = rows.declines_of(tx, job)
    fitting = {name: each for name, each in known.items() if not matching.misfits(value, name, each, declines)}
    ahead = before(tx, row, fitting) if fitting and row.queued else 0
    return waiting.why(value, known, declines, ahead, tx.now, clock or _clock(tx.now))


def _clock(now: float) -> waiting.Clock:
    """Return what writes moments in the server's own time: today's as 14:20."""

    def shown(moment: float) -> str:
        at, today = (datetime.fromtimestamp(each, UTC).astimezone() for each in (moment, now))
        return f"{at:%H:%M}" if at.date() == today.date() else f"{at:%Y-%m-%d %H:%M}"

    return shown
