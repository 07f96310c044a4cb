"""The stored presences of printers, and the removal of old jobs, events and facts about files."""

import msgspec
import sqlalchemy as sa

from daemon.farm.errors import FarmConflict
from daemon.farm.list import printer_actions
from daemon.farm.list.database import Transaction
from daemon.farm.list.schema import copies, declines, events, files, jobs, printers
from daemon.farm.messages import Presence

DAY = 86_400.0
MAX_EVENT_AGE_S = 90 * DAY
"""Seconds for which events are kept."""

MAX_JOB_AGE_S = 730 * DAY
"""Seconds for which ended jobs are kept, with their copies and the facts about their files."""

MAX_EVENTS = 1_000_000
MAX_DROPPED = 500
"""Jobs that one call drops: more would hold up the list."""


def store_presence(tx: Transaction, printer: str, presence: Presence) -> None:
    """Store the last presence of a printer."""
    values = {"seen": tx.now, "presence": msgspec.json.encode(presence).decode()}
    if not tx.write(sa.update(printers).where(printers.c.id == printer).values(**values)):
        tx.write(sa.insert(printers).values(id=printer, **values))


def forget_printer(tx: Transaction, printer: str, by: str) -> None:
    """Forget a printer.

    Raises:
        FarmConflict: it holds a copy.
    """
    if printer_actions.held_copies(tx, printer):
        raise FarmConflict(f"{printer} holds a copy: settle that first")
    tx.write(sa.delete(printers).where(printers.c.id == printer))
    tx.write(sa.delete(declines).where(declines.c.printer == printer))
    tx.add_event(by, "forgot printer", printer=printer)


def tidy(tx: Transaction) -> None:
    """Drop old events and ended jobs, and expired declines."""
    newest: int = tx.row(sa.select(sa.func.max(events.c.number).label("last"))).last or 0
    old = sa.or_(events.c.at < tx.now - MAX_EVENT_AGE_S, events.c.number <= newest - MAX_EVENTS)
    tx.write(sa.delete(events).where(old))
    tx.write(sa.delete(declines).where(declines.c.until <= tx.now))
    old_jobs = sa.select(jobs.c.id).where(
        jobs.c.unfinished == 0,
        jobs.c.created < tx.now - MAX_JOB_AGE_S,
        ~sa.exists().where(copies.c.job == jobs.c.id, copies.c.ended > tx.now - MAX_JOB_AGE_S),
    )
    for row in tx.rows(old_jobs.limit(MAX_DROPPED)):
        tx.write(sa.delete(jobs).where(jobs.c.id == row.id))
    unused = ~sa.exists().where(jobs.c.sha256 == files.c.sha256)
    tx.write(sa.delete(files).where(files.c.at < tx.now - MAX_JOB_AGE_S, unused))
