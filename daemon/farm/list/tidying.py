"""What the list keeps beside jobs, and for how long."""

import msgspec
import sqlalchemy as sa

from daemon.farm.errors import FarmConflict
from daemon.farm.list import handing
from daemon.farm.list.database import Transaction
from daemon.farm.list.schema import copies, declines, events, files, jobs, printers
from daemon.farm.messages import Presence

DAY = 86_400.0
EVENTS_FOR = 90 * DAY
JOBS_FOR = 730 * DAY
"""How long events are kept, and jobs that have ended; their copies and files' facts go with them."""

MOST_EVENTS = 1_000_000
MOST_AT_ONCE = 500
"""Jobs that one call drops: the list is not held up."""


def keep_presence(tx: Transaction, printer: str, presence: Presence) -> None:
    """Keep the last word of a printer."""
    values = {"seen": tx.now, "presence": msgspec.json.encode(presence).decode()}
    if not tx.write(sa.update(printers).where(printers.c.id == printer).values(**values)):
        tx.write(sa.insert(printers).values(id=printer, **values))


def forget_printer(tx: Transaction, printer: str, by: str) -> None:
    """Forget a printer.

    Raises:
        FarmConflict: it holds a copy.
    """
    if handing.held(tx, printer):
        raise FarmConflict(f"{printer} holds a copy: settle that first")
    tx.write(sa.delete(printers).where(printers.c.id == printer))
    tx.write(sa.delete(declines).where(declines.c.printer == printer))
    tx.event(by, "forgot printer", printer=printer)


def tidy(tx: Transaction) -> None:
    """Drop events and ended jobs that are too old, and declines that are over."""
    newest: int = tx.row(sa.select(sa.func.max(events.c.number).label("last"))).last or 0
    old = sa.or_(events.c.at < tx.now - EVENTS_FOR, events.c.number <= newest - MOST_EVENTS)
    tx.write(sa.delete(events).where(old))
    tx.write(sa.delete(declines).where(declines.c.until <= tx.now))
    over = sa.select(jobs.c.id).where(
        jobs.c.unfinished == 0,
        jobs.c.created < tx.now - JOBS_FOR,
        ~sa.exists().where(copies.c.job == jobs.c.id, copies.c.ended > tx.now - JOBS_FOR),
    )
    gone = [row.id for row in tx.rows(over.limit(MOST_AT_ONCE))]
    for job in gone:
        tx.write(sa.delete(jobs).where(jobs.c.id == job))
    unused = ~sa.exists().where(jobs.c.sha256 == files.c.sha256)
    tx.write(sa.delete(files).where(files.c.at < tx.now - JOBS_FOR, unused))
