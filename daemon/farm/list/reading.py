"""Queries for clients: jobs in their order, copies, history, events, numbers, and why a job waits."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from daemon.farm.list import matching, rows, waiting
from daemon.farm.list.database import Transaction
from daemon.farm.list.schema import ORDER, copies, counters, events, jobs, printers
from daemon.farm.list.words import HOLDING, FarmCopy, FarmJob, ListedEvent
from daemon.farm.messages import Presence

MAX_ROWS = 500
"""Of one answer."""

P = sa.bindparam


def open_jobs(tx: Transaction, limit: int, offset: int) -> list[FarmJob]:
    """Return unfinished jobs, in the order of printing."""
    query = sa.select(jobs).where(jobs.c.unfinished > sa.literal_column("0")).order_by(*ORDER)
    return rows.values(tx, tx.rows(query.limit(limit).offset(offset)))


def ended_jobs(tx: Transaction, limit: int, offset: int) -> list[FarmJob]:
    """Return ended jobs, the newest first."""
    query = sa.select(jobs).where(jobs.c.unfinished == 0).order_by(jobs.c.number.desc())
    return rows.values(tx, tx.rows(query.limit(limit).offset(offset)))


def job_copies(tx: Transaction, asked: str) -> list[FarmCopy]:
    """Return the copies of a job; raises NoSuchJob."""
    job = rows.find_job(tx, asked).id
    return [
        rows.copy_of(row) for row in tx.rows(sa.select(copies).where(copies.c.job == job).order_by(copies.c.number))
    ]


def outstanding(tx: Transaction) -> list[FarmCopy]:
    """Return the copies that printers hold."""
    query = sa.select(copies).where(copies.c.printer != "", copies.c.state.in_(HOLDING))
    return [rows.copy_of(row) for row in tx.rows(query.order_by(copies.c.printer, copies.c.id))]


def history(
    tx: Transaction, limit: int, before: float | None, printer: str = "", state: str = "", name: str = ""
) -> list[FarmCopy]:
    """Return ended copies, the newest first; `name` is a part of the job's name."""
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
    """Return the names of jobs, by id."""
    found: dict[str, str] = {}
    wanted = sorted(ids)
    for at in range(0, len(wanted), rows.MAX_IN):
        part = wanted[at : at + rows.MAX_IN]
        found |= {row.id: row.name for row in tx.rows(sa.select(jobs.c.id, jobs.c.name).where(jobs.c.id.in_(part)))}
    return found


def events_since(tx: Transaction, since: int, limit: int, job: str = "") -> list[ListedEvent]:
    """Return the events after this number, in order."""
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
    """Return the last presence of each printer."""
    found = tx.rows(sa.select(printers.c.id, printers.c.presence).order_by(printers.c.id))
    return {row.id: msgspec.json.decode(row.presence, type=Presence) for row in found}


def anything_waiting(tx: Transaction) -> bool:
    """Tell whether there is a copy to offer."""
    return tx.row(sa.select(jobs.c.id).where(jobs.c.queued == sa.literal_column("1")).limit(1)) is not None


def counts(tx: Transaction) -> dict[str, int]:
    """Return the number of copies in each state."""
    query = sa.select(copies.c.state, sa.func.count().label("count")).group_by(copies.c.state)
    return {row.state: row.count for row in tx.rows(query)}


def counter(tx: Transaction, name: str) -> int:
    """Return the value of a counter."""
    row = tx.row(sa.select(counters.c.value).where(counters.c.name == name))
    return row.value if row else 0


# -- why a job waits ---------------------------------------------------------------------------------------

Misfits = dict[str, list[tuple[str, str]]]
"""Printer → why it cannot print a job: name of the wish, and a sentence about it."""


class _Fits:
    """Which printers fit which jobs, computed once for all jobs with the same wishes."""

    def __init__(self, tx: Transaction, known: Mapping[str, Presence]) -> None:
        self._known = known
        self._kinds = {kind.id: kind for kind in rows.all_kinds(tx)}
        self._printers: dict[tuple[int, str], frozenset[str]] = {}
        self._misfits: dict[tuple[Any, ...], Misfits] = {}

    def printers(self, row: Any) -> frozenset[str]:
        """Return the printers that fit a job by their tools, group and name."""
        if (found := self._printers.get((row.kind, row.printers))) is None:
            kind, named = self._kinds[row.kind], json.loads(row.printers)
            found = self._printers[row.kind, row.printers] = frozenset(
                name
                for name, each in self._known.items()
                if (not named or name in named) and matching.fits_kind(kind, each)
            )
        return found

    def misfits(self, row: Any, job: FarmJob) -> Misfits:
        """Return why each printer cannot print a job, except that it has declined it."""
        key = (row.kind, row.printers, row.extent, row.hottest)
        if (found := self._misfits.get(key)) is None:
            found = self._misfits[key] = {
                name: list(matching.reasons(job, name, each)) for name, each in sorted(self._known.items())
            }
        return found


def why_waiting(tx: Transaction, job: str, known: Mapping[str, Presence], clock: waiting.Clock | None) -> list[str]:
    """Return why a job waits; raises NoSuchJob."""
    row = rows.find_job(tx, job)
    fits = _Fits(tx, known)
    return _why(tx, row, rows.values(tx, [row])[0], known, _ahead(tx, row, fits), fits, clock or _clock(tx.now))


def reasons(tx: Transaction, known: Mapping[str, Presence], limit: int, offset: int) -> dict[str, list[str]]:
    """Return why unfinished jobs wait, by id, in the order of printing."""
    query = sa.select(jobs).where(jobs.c.unfinished > sa.literal_column("0")).order_by(*ORDER)
    found = tx.rows(query.limit(limit).offset(offset))
    if not found:
        return {}
    fits, clock = _Fits(tx, known), _clock(tx.now)
    ahead = _ahead(tx, found[0], fits)
    answers = {}
    for row, job in zip(found, rows.values(tx, found), strict=True):
        answers[job.id] = _why(tx, row, job, known, ahead, fits, clock)
        if row.queued:
            ahead[fits.printers(row)] += row.waiting
    return answers


def _why(
    tx: Transaction,
    row: Any,
    job: FarmJob,
    known: Mapping[str, Presence],
    ahead: Counter[frozenset[str]],
    fits: _Fits,
    clock: waiting.Clock,
) -> list[str]:
    before = (
        sum(count for where, count in ahead.items() if not where.isdisjoint(fits.printers(row))) if row.queued else 0
    )
    misfits = fits.misfits(row, job)
    for each in rows.declines_of(tx, row.id):
        if each.printer in misfits:
            misfits = {**misfits, each.printer: [*misfits[each.printer], matching.declined(each)]}
    return waiting.why(job, known, misfits, before, tx.now, clock)


def _ahead(tx: Transaction, job: Any, fits: _Fits) -> Counter[frozenset[str]]:
    """Return how many copies come before a job's first one, by the printers that fit them.

    Their sizes are not compared with the printers', as each file may have another one.
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
        found[fits.printers(row)] += row.waiting
    return found


def _clock(now: float) -> waiting.Clock:
    """Return a function that writes a date in the server's time zone: one of today as 14:20."""

    def shown(moment: float) -> str:
        at, today = (datetime.fromtimestamp(each, UTC).astimezone() for each in (moment, now))
        return f"{at:%H:%M}" if at.date() == today.date() else f"{at:%Y-%m-%d %H:%M}"

    return shown
