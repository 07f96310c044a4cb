"""Queries for clients: jobs in their order, copies, history, events, numbers, and why a job waits."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from daemon.farm.list import matching, rows, wait_reasons
from daemon.farm.list.database import Transaction
from daemon.farm.list.schema import ORDER, copies, counters, events, jobs, printers
from daemon.farm.list.values import HELD_STATES, FarmCopy, FarmJob, ListedEvent
from daemon.farm.messages import Presence

MAX_ROWS = 500
"""Jobs, copies or events in one answer."""

P = sa.bindparam


def open_jobs(tx: Transaction, limit: int, offset: int) -> list[FarmJob]:
    """Return unfinished jobs, in the order of printing."""
    query = sa.select(jobs).where(jobs.c.unfinished > sa.literal_column("0")).order_by(*ORDER)
    return rows.jobs_of(tx, tx.rows(query.limit(limit).offset(offset)))


def ended_jobs(tx: Transaction, limit: int, offset: int) -> list[FarmJob]:
    """Return ended jobs, the newest first."""
    query = sa.select(jobs).where(jobs.c.unfinished == 0).order_by(jobs.c.number.desc())
    return rows.jobs_of(tx, tx.rows(query.limit(limit).offset(offset)))


def job_copies(tx: Transaction, job_ref: str) -> list[FarmCopy]:
    """Return the copies of a job; raises NoSuchJob."""
    job = rows.find_job(tx, job_ref).id
    return [
        rows.copy_of(row) for row in tx.rows(sa.select(copies).where(copies.c.job == job).order_by(copies.c.number))
    ]


def count_open_jobs(tx: Transaction) -> int:
    """Return the number of unfinished jobs."""
    query = sa.select(sa.func.count().label("count")).where(jobs.c.unfinished > sa.literal_column("0"))
    count: int = tx.row(query).count
    return count


def all_held_copies(tx: Transaction) -> list[FarmCopy]:
    """Return the copies that printers hold, without those at sites."""
    query = sa.select(copies).where(copies.c.printer != "", copies.c.state.in_(HELD_STATES), rows.IS_HERE)
    return [rows.copy_of(row) for row in tx.rows(query.order_by(copies.c.printer, copies.c.id))]


def history(
    tx: Transaction,
    limit: int,
    before: float | None,
    printer: str = "",
    state: str = "",
    name: str = "",
    before_copy: str = "",
) -> list[FarmCopy]:
    """Return ended copies, the newest first (those of the same time by id); `name` is a part of the job's name.

    Only copies that ended before the time `before`; with `before_copy`, also those that ended exactly then and have a
    greater id.
    """
    query = sa.select(copies).where(copies.c.ended.is_not(None))
    if before is not None:
        is_before = copies.c.ended < before
        if before_copy:
            is_before |= (copies.c.ended == before) & (copies.c.id > before_copy)
        query = query.where(is_before)
    if printer:
        query = query.where(copies.c.printer == printer)
    if state:
        query = query.where(copies.c.state == state)
    if name:
        query = query.where(copies.c.job.in_(sa.select(jobs.c.id).where(jobs.c.name.icontains(name, autoescape=True))))
    query = query.order_by(copies.c.ended.desc(), copies.c.id).limit(limit)
    return [rows.copy_of(row) for row in tx.rows(query)]


def job_names(tx: Transaction, ids: Iterable[str]) -> dict[str, str]:
    """Return the names of jobs, by id."""
    by_id: dict[str, str] = {}
    ordered = sorted(ids)
    for start in range(0, len(ordered), rows.MAX_IN):
        part = ordered[start : start + rows.MAX_IN]
        by_id |= {row.id: row.name for row in tx.rows(sa.select(jobs.c.id, jobs.c.name).where(jobs.c.id.in_(part)))}
    return by_id


def events_since(tx: Transaction, since: int, limit: int, job: str = "") -> list[ListedEvent]:
    """Return the events after this number, in order."""
    query = sa.select(events).where(events.c.number > since)
    if job:
        query = query.where(events.c.job == job)
    return [_event(row) for row in tx.rows(query.order_by(events.c.number).limit(limit))]


def newest_events(tx: Transaction, limit: int, job: str = "") -> list[ListedEvent]:
    """Return the newest events, in order."""
    query = sa.select(events).order_by(events.c.number.desc()).limit(limit)
    if job:
        query = query.where(events.c.job == job)
    return [_event(row) for row in reversed(tx.rows(query))]


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
    query = sa.select(printers.c.id, printers.c.presence).order_by(printers.c.id)
    return {row.id: msgspec.json.decode(row.presence, type=Presence) for row in tx.rows(query)}


def has_waiting_copies(tx: Transaction) -> bool:
    """Tell whether there is a copy to offer."""
    return tx.row(sa.select(jobs.c.id).where(jobs.c.queued == sa.literal_column("1")).limit(1)) is not None


def count_copies(tx: Transaction) -> dict[str, int]:
    """Return the number of copies in each state."""
    query = sa.select(copies.c.state, sa.func.count().label("count")).group_by(copies.c.state)
    return {row.state: row.count for row in tx.rows(query)}


def counter(tx: Transaction, name: str) -> int:
    """Return the value of a counter."""
    row = tx.row(sa.select(counters.c.value).where(counters.c.name == name))
    return row.value if row else 0


# -- why a job waits ---------------------------------------------------------------------------------------

Misfits = dict[str, list[tuple[str, str]]]
"""Printer → why it cannot print a job: the names of the requirements that it misses, each with a sentence."""


class _Fits:
    """Which printers fit which jobs, computed once for all jobs with the same requirements."""

    def __init__(self, tx: Transaction, presences: Mapping[str, Presence]) -> None:
        self._presences = presences
        self._kinds = {kind.id: kind for kind in rows.all_kinds(tx)}
        self._printers: dict[tuple[int, str], frozenset[str]] = {}
        self._misfits: dict[tuple[Any, ...], Misfits] = {}
        self._of_kind: dict[tuple[int, str], Misfits] = {}
        self._models: dict[tuple[Any, float], list[str]] = {}  # size and highest temperature → printers
        for name, presence in presences.items():
            self._models.setdefault((presence.size, presence.hottest), []).append(name)

    def printers(self, row: Any) -> frozenset[str]:
        """Return the printers that fit a job by their tools, group and name."""
        if (names := self._printers.get((row.kind, row.printers))) is None:
            kind, allowed = self._kinds[row.kind], json.loads(row.printers)
            names = self._printers[row.kind, row.printers] = frozenset(
                name
                for name, presence in self._presences.items()
                if (not allowed or name in allowed) and matching.fits_kind(kind, presence)
            )
        return names

    def misfits(self, row: Any, job: FarmJob) -> Misfits:
        """Return why each printer cannot print a job, without declines."""
        key = (row.kind, row.printers, row.extent, row.hottest)
        if (misfits := self._misfits.get(key)) is None:
            misfits = self._misfits[key] = dict(self._misfits_of_kind(row, job))
            for names in self._models.values():
                if next(matching.machine_misfits(job, names[0], self._presences[names[0]]), None) is not None:
                    for name in names:
                        machine = matching.machine_misfits(job, name, self._presences[name])
                        misfits[name] = [*misfits[name], *machine]
        return misfits

    def _misfits_of_kind(self, row: Any, job: FarmJob) -> Misfits:
        if (misfits := self._of_kind.get((row.kind, row.printers))) is None:
            misfits = self._of_kind[row.kind, row.printers] = {
                name: list(matching.kind_misfits(job, name, presence))
                for name, presence in sorted(self._presences.items())
            }
        return misfits


def why_job_waits(
    tx: Transaction,
    job_ref: str,
    presences: Mapping[str, Presence],
    write_date: wait_reasons.WriteDate | None,
    away_s: float,
) -> list[str]:
    """Return why a job waits; a printer is away after `away_s` of silence. Raises NoSuchJob."""
    row = rows.find_job(tx, job_ref)
    fits, write_date = _Fits(tx, presences), write_date or _date_writer(tx.now)
    return _why(tx, row, rows.jobs_of(tx, [row])[0], presences, _ahead(tx, row, fits), fits, write_date, away_s)


def why_jobs_wait(
    tx: Transaction, presences: Mapping[str, Presence], limit: int, offset: int, away_s: float
) -> dict[str, list[str]]:
    """Return why unfinished jobs wait, by id, in the order of printing; as `why_job_waits`."""
    query = sa.select(jobs).where(jobs.c.unfinished > sa.literal_column("0")).order_by(*ORDER)
    open_rows = tx.rows(query.limit(limit).offset(offset))
    if not open_rows:
        return {}
    fits, write_date = _Fits(tx, presences), _date_writer(tx.now)
    ahead = _ahead(tx, open_rows[0], fits)
    answers = {}
    for row, job in zip(open_rows, rows.jobs_of(tx, open_rows), strict=True):
        answers[job.id] = _why(tx, row, job, presences, ahead, fits, write_date, away_s)
        if row.queued:
            ahead[fits.printers(row)] += row.waiting
    return answers


def _why(
    tx: Transaction,
    row: Any,
    job: FarmJob,
    presences: Mapping[str, Presence],
    ahead: Counter[frozenset[str]],
    fits: _Fits,
    write_date: wait_reasons.WriteDate,
    away_s: float,
) -> list[str]:
    before = 0
    if row.queued:
        own_printers = fits.printers(row)
        before = sum(count for printers, count in ahead.items() if not printers.isdisjoint(own_printers))
    misfits = fits.misfits(row, job)
    for each in rows.declines_of(tx, row.id):
        if each.printer in misfits:
            misfits = {**misfits, each.printer: [*misfits[each.printer], matching.decline_misfit(each)]}
    return wait_reasons.why_job_waits(job, presences, misfits, before, tx.now, write_date, away_s)


def _ahead(tx: Transaction, job: Any, fits: _Fits) -> Counter[frozenset[str]]:
    """Count the copies that come before a job's first one, by the set of printers that fit them.

    This ignores the volumes of printers, which would have to be compared with each file.
    """
    columns = (jobs.c.due, jobs.c.position, jobs.c.number)
    own_values = [sa.literal(value) for value in (job.due, job.position, job.number)]
    is_earlier = sa.and_(jobs.c.priority == job.priority, sa.tuple_(*columns) < sa.tuple_(*own_values))
    query = (
        sa.select(jobs.c.kind, jobs.c.printers, sa.func.sum(jobs.c.waiting).label("waiting"))
        .where(jobs.c.queued == sa.literal_column("1"), sa.or_(jobs.c.priority > job.priority, is_earlier))
        .group_by(jobs.c.kind, jobs.c.printers)
    )
    ahead = Counter[frozenset[str]]()
    for row in tx.rows(query):
        ahead[fits.printers(row)] += row.waiting
    return ahead


def _date_writer(now: float) -> wait_reasons.WriteDate:
    """Return a function that writes a date in the server's time zone: only the time, 14:20, if it is today."""

    def write(moment: float) -> str:
        at, today = (datetime.fromtimestamp(each, UTC).astimezone() for each in (moment, now))
        return f"{at:%H:%M}" if at.date() == today.date() else f"{at:%Y-%m-%d %H:%M}"

    return write
