"""What the list shows: jobs in their order, copies, history, events, numbers."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from daemon.farm.list import matching, rows, waiting
from daemon.farm.list.database import Transaction
from daemon.farm.list.schema import copies, counters, events, jobs, printers
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


def job_copies(tx: Transaction, asked: str) -> list[FarmCopy]:
    """Return the copies of a job; raises NoSuchJob."""
    job = rows.find_job(tx, asked).id
    return [
        rows.copy_of(row) for row in tx.rows(sa.select(copies).where(copies.c.job == job).order_by(copies.c.number))
    ]


def outstanding(tx: Transaction) -> list[FarmCopy]:
    """Return what printers hold."""
    query = sa.select(copies).where(copies.c.printer != "", copies.c.state.in_(HOLDING))
    return [rows.copy_of(row) for row in tx.rows(query.order_by(copies.c.printer, copies.c.id))]


def history(
    tx: Transaction, limit: int, before: float | None, printer: str = "", state: str = "", name: str = ""
) -> list[FarmCopy]:
    """Return copies that have ended, the newest first."""
    query = sa.select(copies).where(copies.c.ended.is_not(None))
    if before is not None:
        query = query.where(copies.c.ended < before)
    if printer:
        query = query.where(copies.c.printer == printer)
    if state:
        query = query.where(copies.c.state == state)
    if name:
        query = query.where(copies.c.job.in_(sa.select(jobs.c.id).where(jobs.c.name.icontains(name, autoescape=True))))
    query = query.order_by(copies.c.ended.desc(), copies.c.id).limit(limit)
    return [rows.copy_of(row) for row in tx.rows(query)]


def names(tx: Transaction, ids: Iterable[str]) -> dict[str, str]:
    """Return what jobs are called."""
    found: dict[str, str] = {}
    wanted = sorted(ids)
    for at in range(0, len(wanted), MOST):
        part = wanted[at : at + MOST]
        found |= {row.id: row.name for row in tx.rows(sa.select(jobs.c.id, jobs.c.name).where(jobs.c.id.in_(part)))}
    return found


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


def anything_waiting(tx: Transaction) -> bool:
    """Tell whether a job that is not on hold has a copy that waits."""
    return tx.row(sa.select(jobs.c.id).where(jobs.c.queued == sa.literal_column("1")).limit(1)) is not None


def counts(tx: Transaction) -> dict[str, int]:
    """Return how many copies are in each state."""
    query = sa.select(copies.c.state, sa.func.count().label("count")).group_by(copies.c.state)
    return {row.state: row.count for row in tx.rows(query)}


def counter(tx: Transaction, name: str) -> int:
    """Return how often something has happened that is counted."""
    row = tx.row(sa.select(counters.c.value).where(counters.c.name == name))
    return row.value if row else 0


# -- why it waits ------------------------------------------------------------------------------------------

Refused = dict[str, list[tuple[str, str]]]
"""Of each printer, what keeps it from a job: which of its wishes, and a sentence."""


class _Fits:
    """Which printers jobs fit, worked out once for those that ask for the same."""

    def __init__(self, tx: Transaction, known: Mapping[str, Presence]) -> None:
        self._known = known
        self._kinds = {kind.id: kind for kind in rows.all_kinds(tx)}
        self._where: dict[tuple[int, str], frozenset[str]] = {}
        self._refused: dict[tuple[Any, ...], Refused] = {}

    def where(self, row: Any) -> frozenset[str]:
        """Return the printers that may have a job, by what is mounted and how they are called."""
        if (found := self._where.get((row.kind, row.printers))) is None:
            kind, named = self._kinds[row.kind], json.loads(row.printers)
            found = self._where[row.kind, row.printers] = frozenset(
                name
                for name, each in self._known.items()
                if (not named or name in named) and matching.fits_kind(kind, each)
            )
        return found

    def refused(self, row: Any, job: FarmJob) -> Refused:
        """Return what keeps each printer from a job, but for what it has declined."""
        key = (row.kind, row.printers, row.extent, row.hottest)
        if (found := self._refused.get(key)) is None:
            found = self._refused[key] = {
                name: list(matching.reasons(job, name, each)) for name, each in sorted(self._known.items())
            }
        return found


def why_waiting(tx: Transaction, job: str, known: Mapping[str, Presence], clock: waiting.Clock | None) -> list[str]:
    """Return why no copy of a job begins now; raises NoSuchJob."""
    row = rows.find_job(tx, job)
    fits = _Fits(tx, known)
    return _why(tx, row, rows.values(tx, [row])[0], known, _ahead(tx, row, fits), fits, clock or _clock(tx.now))


def reasons(tx: Transaction, known: Mapping[str, Presence], limit: int, offset: int) -> dict[str, list[str]]:
    """Return why they wait for jobs of the list, in its order."""
    query = sa.select(jobs).where(jobs.c.unfinished > sa.literal_column("0")).order_by(*rows.ORDER)
    found = tx.rows(query.limit(limit).offset(offset))
    if not found:
        return {}
    fits, clock = _Fits(tx, known), _clock(tx.now)
    ahead = _ahead(tx, found[0], fits)
    told = {}
    for row, job in zip(found, rows.values(tx, found), strict=True):
        told[job.id] = _why(tx, row, job, known, ahead, fits, clock)
        if row.queued:
            ahead[fits.where(row)] += row.waiting
    return told


def _why(
    tx: Transaction,
    row: Any,
    job: FarmJob,
    known: Mapping[str, Presence],
    ahead: Counter[frozenset[str]],
    fits: _Fits,
    clock: waiting.Clock,
) -> list[str]:
    before = sum(count for where, count in ahead.items() if not where.isdisjoint(fits.where(row))) if row.queued else 0
    refused = fits.refused(row, job)
    for each in rows.declines_of(tx, row.id):
        if each.printer in refused:
            refused = {**refused, each.printer: [*refused[each.printer], matching.declined(each)]}
    return waiting.why(job, known, refused, before, tx.now, clock)


def _ahead(tx: Transaction, job: Any, fits: _Fits) -> Counter[frozenset[str]]:
    """Return how many copies come before a job's first one, by the printers that they may go to.

    Whether each is small enough for these is not looked at: every file may have another size.
    """
    here = (jobs.c.due, jobs.c.position, jobs.c.number)
    own = [sa.literal(value) for value in (job.due, job.position, job.number)]
    same = sa.and_(jobs.c.priority == job.priority, sa.tuple_(*here) < sa.tuple_(*own))
    query = (
        sa.select(jobs.c.kind, jobs.c.printers, sa.func.sum(jobs.c.waiting).label("waiting"))
        .where(jobs.c.queued == sa.literal_column("1"), sa.or_(jobs.c.priority > job.priority, same))
        .group_by(jobs.c.kind, jobs.c.printers)
    )
    found = Counter[frozenset[str]]()
    for row in tx.rows(query):
        found[fits.where(row)] += row.waiting
    return found


def _clock(now: float) -> waiting.Clock:
    """Return what writes moments in the server's own time: today's as 14:20."""

    def shown(moment: float) -> str:
        at, today = (datetime.fromtimestamp(each, UTC).astimezone() for each in (moment, now))
        return f"{at:%H:%M}" if at.date() == today.date() else f"{at:%Y-%m-%d %H:%M}"

    return shown
