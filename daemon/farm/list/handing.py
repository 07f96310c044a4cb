"""Copies and printers: offer, claim, report. Each decision is one compare-and-set of one row."""

from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import msgspec
import sqlalchemy as sa

from daemon.farm.list import matching, rows
from daemon.farm.list.database import MAX_TEXT, Transaction
from daemon.farm.list.schema import FOREVER, copies, declines, jobs
from daemon.farm.list.words import (
    BEGUN,
    FAULT_PAUSE,
    FINAL,
    HOLDING,
    SILENT_PAUSE,
    TRIES,
    FarmCopy,
    FileRef,
)
from daemon.farm.messages import Held, Offer, Presence, Report

PAGES = (4, 60, 1000)
"""Jobs of one kind that are looked at together: the first of them mostly fits."""

LONGEST_LEASE = 600.0
"""Seconds; a lease that seems to be longer was given before the clock was set back."""

P = sa.bindparam

_HELD = sa.select(copies).where(copies.c.printer == P("printer"), copies.c.state.in_(HOLDING)).order_by(copies.c.id)
_CANDIDATES = (
    sa.select(jobs)
    .where(
        jobs.c.kind == P("kind"),
        jobs.c.queued == sa.literal_column("1"),  # as in the index: a value that comes later would not use it
        ~sa.exists().where(declines.c.job == jobs.c.id, declines.c.printer == P("printer"), rows.counts(P("now"))),
    )
    .order_by(*rows.ORDER)
    .limit(P("count"))
    .offset(P("offset"))
)
_FIRST_COPY = (
    sa.select(copies).where(copies.c.job == P("job"), copies.c.state == "waiting").order_by(copies.c.number).limit(1)
)


def _change(*conditions: Any, **to: Any) -> Any:
    """Return the compare-and-set: this copy, where it is still as it was seen."""
    return sa.update(copies).where(copies.c.id == P("a_copy"), *conditions).values(**to)


_OF_PRINTER = (copies.c.printer == P("a_printer"), copies.c.attempt == P("an_attempt"))
_OFFERED = copies.c.state == "offered"

_OFFER = _change(
    copies.c.state == "waiting",
    copies.c.attempt == P("seen_attempt"),
    state="offered",
    printer=P("to_printer"),
    attempt=copies.c.attempt + 1,
    nonce="",
    lease_until=P("until"),
    since=P("now"),
)
_RENEW = _change(_OFFERED, *_OF_PRINTER, lease_until=P("until"))
_CLAIM = _change(_OFFERED, *_OF_PRINTER, state="claimed", nonce=P("a_nonce"), since=P("now"))
_TAKE_BACK = _change(
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
_BEGIN = _change(copies.c.state == "claimed", *_OF_PRINTER, state="printing", since=P("now"), begun=P("at"))
_END = _change(
    copies.c.state.in_(BEGUN),
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
    sa.or_(copies.c.lease_until < P("now"), copies.c.lease_until > P("now") + LONGEST_LEASE),  # the clock was set back
)


def held(tx: Transaction, printer: str) -> list[FarmCopy]:
    """Return what a printer holds, from the offer on."""
    return [rows.copy_of(row) for row in tx.rows(_HELD, printer=printer)]


def as_held(copy: FarmCopy) -> Held:
    """Return it as its printer is told."""
    state: Any = copy.state  # one of HOLDING
    return Held(copy=copy.id, attempt=copy.attempt, state=state, nonce=copy.nonce, cancel=copy.wish == "cancel")


def offer(tx: Transaction, printer: str, presence: Presence, lease_s: float) -> Offer | None:
    """Hold the first copy that fits out to a printer; the same again while one is held out."""
    if has := held(tx, printer):
        first = has[0]
        if first.state != "offered" or first.lease_until < tx.now:
            return None
        return _as_offer(rows.find_job(tx, first.job), first.id, first.attempt, first.lease_until - tx.now)
    if not presence.ready:
        return None
    for job in _in_order(tx, printer, presence):
        copy = tx.row(_FIRST_COPY, job=job.id)
        if copy is None:
            continue
        values = {"a_copy": copy.id, "seen_attempt": copy.attempt, "to_printer": printer, "now": tx.now}
        if tx.write(_OFFER, **values, until=tx.now + lease_s) == 1:
            rows.recount(tx, [job.id])
            return _as_offer(job, copy.id, copy.attempt + 1, lease_s)
    return None


def _in_order(tx: Transaction, printer: str, presence: Presence) -> Iterator[Any]:
    """Yield the rows of the jobs that a printer can have, those first that come first: kind by kind, merged."""
    fitting = [kind.id for kind in rows.all_kinds(tx) if matching.fits_kind(kind, presence)]
    heads = [_of_kind(tx, kind, printer, presence) for kind in fitting]
    found = {number: row for number, head in enumerate(heads) if (row := next(head, None)) is not None}
    while found:
        number = min(found, key=lambda each: _place(found[each]))
        yield found.pop(number)
        if (row := next(heads[number], None)) is not None:
            found[number] = row


def _place(row: Any) -> tuple[float, ...]:
    return (-row.priority, row.due, row.position, row.number)


def _of_kind(tx: Transaction, kind: int, printer: str, presence: Presence) -> Iterator[Any]:
    offset = 0
    for count in chain(PAGES, repeat(PAGES[-1])):
        page = tx.rows(_CANDIDATES, kind=kind, printer=printer, now=tx.now, count=count, offset=offset)
        yield from (row for row in page if matching.fits_machine(rows.job_of(row, {}), printer, presence))
        if len(page) < count:
            return
        offset += count


def _as_offer(job: Any, copy: str, attempt: int, lease_s: float) -> Offer:
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
    """Let an offer hold longer; False where it is not this printer's any more."""
    values = {"a_copy": copy, "a_printer": printer, "an_attempt": attempt}
    return tx.write(_RENEW, **values, until=tx.now + lease_s) == 1


def claim(tx: Transaction, printer: str, copy: str, attempt: int, nonce: str) -> bool:
    """Decide who prints a copy: yes to one question, and to the same one again."""
    values = {"a_copy": copy, "a_printer": printer, "an_attempt": attempt}
    if tx.write(_CLAIM, **values, a_nonce=nonce, now=tx.now) == 1:
        found = rows.get_copy(tx, copy)
        tx.next("claim")
        tx.event(printer, "claimed", job=found.job, copy=copy, printer=printer)
        return True
    seen = rows.look_for(tx, copy)
    return (
        seen is not None
        and seen.state in BEGUN
        and (seen.printer, seen.attempt, seen.nonce) == (printer, attempt, nonce)
    )


def may_read(tx: Transaction, printer: str, copy: str, attempt: int) -> FileRef | None:
    """Return the file of a copy, only while it is held out to this printer, or claimed by it."""
    seen = rows.look_for(tx, copy)
    if seen is None or (seen.printer, seen.attempt) != (printer, attempt) or seen.state not in HOLDING:
        return None
    job = rows.find_job(tx, seen.job)
    return FileRef(sha256=job.sha256, size=job.size, name=job.name)


def expire(tx: Transaction) -> list[FarmCopy]:
    """Take back what was held out for too long; nothing of it has begun."""
    late = [rows.copy_of(row) for row in tx.rows(_EXPIRED, now=tx.now)]
    for copy in late:
        _decline(tx, copy, "it did not answer an offer in time", tx.now + SILENT_PAUSE)
    return [copy for copy in late if take_back(tx, copy)]


# -- what a printer reports --------------------------------------------------------------------------------


def report(tx: Transaction, printer: str, said: Report) -> bool:
    """Take a printer's word on a copy. True: the list says so now, or has said so before."""
    copy = rows.look_for(tx, said.copy)
    if copy is None or (copy.printer, copy.attempt) != (printer, said.attempt):
        return False
    if said.nonce and copy.nonce and said.nonce != copy.nonce:
        return False
    said = msgspec.structs.replace(said, reason=shown(said.reason))
    if said.kind == "declined":
        return copy.state == "offered" and _not_taken(tx, copy, said)
    if said.kind == "not_begun":
        return copy.state == "claimed" and _not_taken(tx, copy, said)
    if said.kind == "printing":
        return copy.state == "printing" or _begin(tx, copy, said)
    return copy.state == said.kind or (copy.state in BEGUN and _end(tx, copy, said))


def shown(text: str) -> str:
    """Return a printer's text as it is kept: one line of what can be shown, of bounded length."""
    return "".join(each if each.isprintable() else " " for each in text[:MAX_TEXT])


def _not_taken(tx: Transaction, copy: FarmCopy, said: Report) -> bool:
    is_fault = said.fits and bool(said.reason)
    if is_fault or not said.fits:
        until = tx.now + FAULT_PAUSE if said.fits else FOREVER
        _decline(tx, copy, said.reason or "it does not fit", until)
    what = "declined" if said.kind == "declined" else "not begun"
    tx.event(copy.printer, what, job=copy.job, copy=copy.id, printer=copy.printer, text=said.reason)
    return take_back(tx, copy, said.reason, faults=copy.faults + is_fault)


def take_back(tx: Transaction, copy: FarmCopy, reason: str = "", faults: int | None = None) -> bool:
    """Have a copy that has not begun wait again; cancelled where that is wished, failed after too many faults.

    False where it is not any more as it was seen.
    """
    count = copy.faults if faults is None else faults
    to = "cancelled" if copy.wish == "cancel" else "failed" if count >= TRIES else "waiting"
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
            tx.event(copy.printer, to, job=copy.job, copy=copy.id, printer=copy.printer, text=reason)
    return changed == 1


def _begin(tx: Transaction, copy: FarmCopy, said: Report) -> bool:
    values = {"a_copy": copy.id, "a_printer": copy.printer, "an_attempt": copy.attempt}
    if tx.write(_BEGIN, **values, now=tx.now, at=said.at) != 1:
        return False
    tx.event(copy.printer, "printing", job=copy.job, copy=copy.id, printer=copy.printer)
    return True


def _end(tx: Transaction, copy: FarmCopy, said: Report) -> bool:
    ended = tx.write(
        _END,
        a_copy=copy.id,
        a_printer=copy.printer,
        an_attempt=copy.attempt,
        to=said.kind,
        to_reason=said.reason,
        now=tx.now,
        to_seconds=said.seconds,
        to_filament=said.filament_mm,
    )
    if ended:
        rows.recount(tx, [copy.job])
        tx.event(copy.printer, said.kind, job=copy.job, copy=copy.id, printer=copy.printer, text=said.reason)
    return ended == 1


def settle(tx: Transaction, copy: FarmCopy, to: str, by: str) -> bool:
    """Take a person's word that a begun copy is done or failed; False where its state has changed meanwhile."""
    said = Report(copy=copy.id, attempt=copy.attempt, kind="done" if to == "done" else "failed", at=tx.now)
    ended = tx.write(
        _END,
        a_copy=copy.id,
        a_printer=copy.printer,
        an_attempt=copy.attempt,
        to=said.kind,
        to_reason=f"{by} said so",
        now=tx.now,
        to_seconds=0.0,
        to_filament=0.0,
    )
    if ended:
        rows.recount(tx, [copy.job])
        tx.event(by, f"settled as {to}", job=copy.job, copy=copy.id, printer=copy.printer)
    return ended == 1


def _decline(tx: Transaction, copy: FarmCopy, reason: str, until: float) -> None:
    """Offer this printer no copy of the job until then."""
    here = sa.and_(declines.c.job == copy.job, declines.c.printer == copy.printer)
    has = tx.row(sa.select(declines.c.until).where(here))
    if has is None:
        tx.write(sa.insert(declines).values(job=copy.job, printer=copy.printer, reason=reason, until=until))
    elif has.until < until or FOREVER > has.until > tx.now + FAULT_PAUSE:
        tx.write(sa.update(declines).where(here).values(reason=reason, until=until))


def is_final(copy: FarmCopy) -> bool:
    """Tell whether nothing changes any more."""
    return copy.state in FINAL
