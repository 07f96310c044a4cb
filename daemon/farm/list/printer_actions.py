"""What printers may do with the list: get an offer, claim it, report. `job_list` has the theory of operation."""

from collections.abc import Iterator
from heapq import merge
from itertools import chain, repeat
from typing import Any

import msgspec
import sqlalchemy as sa

from daemon.farm.list import matching, rows
from daemon.farm.list.database import MAX_TEXT, Transaction
from daemon.farm.list.schema import FOREVER, ORDER, copies, declines, jobs
from daemon.farm.list.values import (
    BEGUN_STATES,
    FAULT_PAUSE_S,
    FINAL_STATES,
    HELD_STATES,
    MAX_FAULTS,
    SILENT_PAUSE_S,
    FarmCopy,
    FileRef,
)
from daemon.farm.messages import HeldCopy, Offer, Presence, Report

PAGE_SIZES = (4, 60, 1000)
"""Jobs of one kind that one query reads; the first page is small, because one of the first jobs usually fits."""

MIN_CLOCK_STEP_S = 600.0
"""A lease with more time left than this, and than a new lease has, shows that the clock was set back."""

P = sa.bindparam

_HELD = (
    sa.select(copies)
    .where(copies.c.printer == P("printer"), copies.c.state.in_(HELD_STATES), rows.IS_HERE)
    .order_by(copies.c.id)
)
_CANDIDATES = (
    sa.select(jobs)
    .where(
        jobs.c.kind == P("kind"),
        jobs.c.queued == sa.literal_column("1"),  # literal: PostgreSQL uses no partial index for a parameter
        ~sa.exists().where(declines.c.job == jobs.c.id, declines.c.printer == P("printer"), rows.is_in_force(P("now"))),
    )
    .order_by(*ORDER)
    .limit(P("count"))
    .offset(P("offset"))
)
_FIRST_COPY = (
    sa.select(copies).where(copies.c.job == P("job"), copies.c.state == "waiting").order_by(copies.c.number).limit(1)
)


def _compare_and_set(*conditions: Any, **to: Any) -> Any:
    """Return a statement that changes a copy only if it still meets the conditions.

    Its parameters (`a_copy`, `an_attempt`) are not named like columns: SQLAlchemy reserves those names in an UPDATE.
    """
    return sa.update(copies).where(copies.c.id == P("a_copy"), *conditions).values(**to)


_OF_PRINTER = (copies.c.printer == P("a_printer"), copies.c.attempt == P("an_attempt"))
_OFFERED = copies.c.state == "offered"

_OFFER = _compare_and_set(
    copies.c.state == "waiting",
    copies.c.attempt == P("seen_attempt"),
    state="offered",
    printer=P("to_printer"),
    attempt=copies.c.attempt + 1,
    nonce="",
    lease_until=P("until"),
    since=P("now"),
)
_RENEW = _compare_and_set(_OFFERED, *_OF_PRINTER, lease_until=P("until"))
_CLAIM = _compare_and_set(_OFFERED, *_OF_PRINTER, state="claimed", nonce=P("a_nonce"), since=P("now"))
_TAKE_BACK = _compare_and_set(
    copies.c.state == P("was"),
    *_OF_PRINTER,
    state=P("to"),
    printer=P("to_printer"),
    nonce="",
    faults=P("to_faults"),
    reason=P("to_reason"),
    since=P("now"),
    ended=P("to_ended"),
    wish="",
)
_BEGIN = _compare_and_set(copies.c.state == "claimed", *_OF_PRINTER, state="printing", since=P("now"), begun=P("at"))
_END = _compare_and_set(
    copies.c.state.in_(BEGUN_STATES),
    *_OF_PRINTER,
    state=P("to"),
    reason=P("to_reason"),
    since=P("now"),
    ended=P("now"),
    seconds=P("to_seconds"),
    filament_mm=P("to_filament"),
)
_EXPIRED = sa.select(copies).where(
    copies.c.state == sa.literal_column("'offered'"),
    sa.or_(copies.c.lease_until < P("now"), copies.c.lease_until > P("latest")),  # the clock was set back
    rows.IS_HERE,
)


def held_copies(tx: Transaction, printer: str) -> list[FarmCopy]:
    """Return the copies that a printer holds, from the offer on; no copies at sites."""
    return [rows.copy_of(row) for row in tx.rows(_HELD, printer=printer)]


def to_held_copy(copy: FarmCopy) -> HeldCopy:
    """Return a copy in the form in which its printer gets it."""
    state: Any = copy.state  # one of HELD_STATES
    return HeldCopy(copy=copy.id, attempt=copy.attempt, state=state, nonce=copy.nonce, cancel=copy.wish == "cancel")


def offer(tx: Transaction, printer: str, presence: Presence, lease_s: float) -> Offer | None:
    """Return an offer of the first copy that fits a printer, or its current offer.

    None: no copy fits, the printer is not ready or has claimed a copy, or the lease of its offer has run out.
    """
    if holdings := held_copies(tx, printer):
        first = holdings[0]
        if first.state != "offered" or first.lease_until < tx.now:
            return None
        return _make_offer(rows.find_job(tx, first.job), first.id, first.attempt, first.lease_until - tx.now)
    if not presence.ready:
        return None
    for job in _fitting_jobs(tx, printer, presence):
        copy = tx.row(_FIRST_COPY, job=job.id)
        if copy is None:
            continue
        values = {"a_copy": copy.id, "seen_attempt": copy.attempt, "to_printer": printer, "now": tx.now}
        if tx.write(_OFFER, **values, until=tx.now + lease_s) == 1:
            rows.recount(tx, [job.id])
            return _make_offer(job, copy.id, copy.attempt + 1, lease_s)
    return None


def _fitting_jobs(tx: Transaction, printer: str, presence: Presence) -> Iterator[Any]:
    """Yield the rows of the jobs that fit a printer, in the order of printing: a merge of the fitting kinds."""
    fitting = [kind.id for kind in rows.all_kinds(tx) if matching.fits_kind(kind, presence)]
    return merge(*(_jobs_of_kind(tx, kind, printer, presence) for kind in fitting), key=_sort_key)


def _sort_key(row: Any) -> tuple[float, ...]:
    return (-row.priority, row.due, row.position, row.number)


def _jobs_of_kind(tx: Transaction, kind: int, printer: str, presence: Presence) -> Iterator[Any]:
    """Yield the rows of the jobs of a kind that fit a printer, in the order of printing."""
    offset = 0
    for count in chain(PAGE_SIZES, repeat(PAGE_SIZES[-1])):
        page = tx.rows(_CANDIDATES, kind=kind, printer=printer, now=tx.now, count=count, offset=offset)
        yield from (row for row in page if matching.fits_machine(rows.job_of(row, {}), printer, presence))
        if len(page) < count:
            return
        offset += count


def _make_offer(job: Any, copy: str, attempt: int, lease_s: float) -> Offer:
    return Offer(
        copy=copy,
        attempt=attempt,
        job=job.id,
        name=job.name,
        sha256=job.sha256,
        size=job.size,
        lease_s=lease_s,
        material=job.material,
    )


def renew(tx: Transaction, printer: str, copy: str, attempt: int, lease_s: float) -> bool:
    """Renew the lease of an offer; False: this printer no longer has the offer."""
    values = {"a_copy": copy, "a_printer": printer, "an_attempt": attempt}
    return tx.write(_RENEW, **values, until=tx.now + lease_s) == 1


def claim(tx: Transaction, printer: str, copy: str, attempt: int, nonce: str) -> bool:
    """Decide whether a printer may begin a copy; a repeated claim, with the same nonce, gets the same answer."""
    values = {"a_copy": copy, "a_printer": printer, "an_attempt": attempt}
    if tx.write(_CLAIM, **values, a_nonce=nonce, now=tx.now) == 1:
        claimed = rows.get_copy(tx, copy)
        tx.next_number("claim")
        tx.add_event(printer, "claimed", job=claimed.job, copy=copy, printer=printer)
        return True
    row = rows.find_copy(tx, copy)
    return (
        row is not None
        and row.state in BEGUN_STATES
        and (row.printer, row.attempt, row.nonce) == (printer, attempt, nonce)
    )


def file_for(tx: Transaction, printer: str, copy: str, attempt: int) -> FileRef | None:
    """Return the file of a copy that a printer holds; None: it does not hold the copy."""
    row = rows.find_copy(tx, copy)
    if row is None or (row.printer, row.attempt) != (printer, attempt) or row.state not in HELD_STATES:
        return None
    job = rows.find_job(tx, row.job)
    return FileRef(sha256=job.sha256, size=job.size, name=job.name)


def expire(tx: Transaction, lease_s: float) -> list[FarmCopy]:
    """Take back the offers whose lease has run out; return their copies as they were.

    Args:
        tx: the transaction.
        lease_s: how long a new lease lasts.
    """
    latest = tx.now + max(lease_s, MIN_CLOCK_STEP_S)
    late = [rows.copy_of(row) for row in tx.rows(_EXPIRED, now=tx.now, latest=latest)]
    for copy in late:
        _decline(tx, copy, "it did not answer an offer in time", tx.now + SILENT_PAUSE_S)
    return [copy for copy in late if take_back(tx, copy)]


# -- reports of printers ----------------------------------------------------------------------------------


def apply_report(tx: Transaction, printer: str, report: Report) -> bool:
    """Apply a printer's report on a copy; return whether the list now agrees with it."""
    copy = rows.find_copy(tx, report.copy)
    if copy is None or (copy.printer, copy.attempt) != (printer, report.attempt):
        return False
    if report.nonce and copy.nonce and report.nonce != copy.nonce:
        return False
    report = msgspec.structs.replace(report, reason=printable_line(report.reason))
    if report.kind == "declined":
        return copy.state == "offered" and _give_back(tx, copy, report)
    if report.kind == "not_begun":
        return copy.state == "claimed" and _give_back(tx, copy, report)
    if report.kind == "printing":
        return copy.state == "printing" or _begin(tx, copy, report)
    return copy.state == report.kind or (copy.state in BEGUN_STATES and _end_as_reported(tx, copy, report))


def printable_line(text: str) -> str:
    """Return a printer's text as one printable line of bounded length."""
    return "".join(each if each.isprintable() else " " for each in text[:MAX_TEXT])


def _give_back(tx: Transaction, copy: FarmCopy, report: Report) -> bool:
    # without a reason nothing is wrong: a user was faster, or the printer is just not ready at the moment
    is_fault = report.fits and bool(report.reason)
    if is_fault or not report.fits:
        until = tx.now + FAULT_PAUSE_S if report.fits else FOREVER
        _decline(tx, copy, report.reason or "it does not fit", until)
    what = "declined" if report.kind == "declined" else "not begun"
    tx.add_event(copy.printer, what, job=copy.job, copy=copy.id, printer=copy.printer, text=report.reason)
    return take_back(tx, copy, report.reason, faults=copy.faults + is_fault)


def take_back(tx: Transaction, copy: FarmCopy, reason: str = "", faults: int | None = None) -> bool:
    """Let a copy that has not begun wait again, cancel it if a user wanted that, or fail it after too many faults.

    Args:
        tx: the transaction.
        copy: as it was read; if it has changed since, nothing happens and the result is False.
        reason: for users.
        faults: the new number of faults; None: as before.
    """
    count = copy.faults if faults is None else faults
    to = "cancelled" if copy.wish == "cancel" else "failed" if count >= MAX_FAULTS else "waiting"
    changed = tx.write(
        _TAKE_BACK,
        a_copy=copy.id,
        was=copy.state,
        a_printer=copy.printer,
        an_attempt=copy.attempt,
        to=to,
        to_printer="" if to == "waiting" else copy.printer,
        to_faults=count,
        to_reason=reason or copy.reason,
        now=tx.now,
        to_ended=None if to == "waiting" else tx.now,
    )
    if changed:
        rows.recount(tx, [copy.job])
        if to != "waiting":
            tx.add_event(copy.printer, to, job=copy.job, copy=copy.id, printer=copy.printer, text=reason)
    return changed == 1


def _begin(tx: Transaction, copy: FarmCopy, report: Report) -> bool:
    values = {"a_copy": copy.id, "a_printer": copy.printer, "an_attempt": copy.attempt}
    at = min(max(report.at, copy.since), tx.now)  # the printer's clock may be wrong, and the report late
    if tx.write(_BEGIN, **values, now=tx.now, at=at) != 1:
        return False
    tx.add_event(copy.printer, "printing", job=copy.job, copy=copy.id, printer=copy.printer)
    return True


def settle(tx: Transaction, copy: FarmCopy, state: str, by: str) -> bool:
    """Record how a copy that has begun has ended, as a user says; False: its state has changed in the meantime."""
    ended = _end(tx, copy, state, f"{by} said so")
    if ended:
        tx.add_event(by, f"settled as {state}", job=copy.job, copy=copy.id, printer=copy.printer)
    return ended


def _end_as_reported(tx: Transaction, copy: FarmCopy, report: Report) -> bool:
    ended = _end(tx, copy, report.kind, report.reason, report.seconds, report.filament_mm)
    if ended:
        tx.add_event(copy.printer, report.kind, job=copy.job, copy=copy.id, printer=copy.printer, text=report.reason)
    return ended


def _end(
    tx: Transaction, copy: FarmCopy, state: str, reason: str, seconds: float = 0.0, filament_mm: float = 0.0
) -> bool:
    ended = tx.write(
        _END,
        a_copy=copy.id,
        a_printer=copy.printer,
        an_attempt=copy.attempt,
        to=state,
        to_reason=reason,
        now=tx.now,
        to_seconds=seconds,
        to_filament=filament_mm,
    )
    if ended:
        rows.recount(tx, [copy.job])
    return ended == 1


def _decline(tx: Transaction, copy: FarmCopy, reason: str, until: float) -> None:
    """Offer the copy's printer no copies of the job until this date, or FOREVER."""
    is_same = sa.and_(declines.c.job == copy.job, declines.c.printer == copy.printer)
    row = tx.row(sa.select(declines.c.until).where(is_same))
    if row is None:
        tx.write(sa.insert(declines).values(job=copy.job, printer=copy.printer, reason=reason, until=until))
    elif row.until < until or FOREVER > row.until > tx.now + FAULT_PAUSE_S:  # the latter: the clock was set back
        tx.write(sa.update(declines).where(is_same).values(reason=reason, until=until))


def is_final(copy: FarmCopy) -> bool:
    """Tell whether a copy never changes again."""
    return copy.state in FINAL_STATES
