"""Jobs that were handed over to a site, and the copies there whose end a user wishes."""

import sqlalchemy as sa

from daemon.farm.list import rows
from daemon.farm.list.database import Transaction
from daemon.farm.list.schema import copies, jobs
from daemon.farm.list.words import FINAL, FarmJob

MAX_ROWS = 2000
"""Of one answer."""


def handed(tx: Transaction, site: str) -> list[FarmJob]:
    """Return the unfinished jobs of a site."""
    query = sa.select(jobs).where(jobs.c.site == site, jobs.c.unfinished > 0).order_by(jobs.c.number).limit(MAX_ROWS)
    return rows.values(tx, tx.rows(query))


def cancels(tx: Transaction, site: str) -> list[str]:
    """Return the ids of copies at a site whose end a user wishes."""
    of_site = sa.select(jobs.c.id).where(jobs.c.site == site, jobs.c.unfinished > 0)
    query = sa.select(copies.c.id).where(
        copies.c.job.in_(of_site), copies.c.wish == "cancel", copies.c.state.not_in(FINAL)
    )
    return [row.id for row in tx.rows(query.limit(MAX_ROWS))]
