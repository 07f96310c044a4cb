"""Jobs that were handed over to a site, and those of its copies that a user has cancelled."""

import sqlalchemy as sa

from daemon.farm.list import rows
from daemon.farm.list.database import Transaction
from daemon.farm.list.schema import copies, jobs
from daemon.farm.list.values import FINAL_STATES, FarmJob

MAX_ROWS = 2000
"""Jobs or copies in one answer."""


def unfinished_jobs(tx: Transaction, site: str) -> list[FarmJob]:
    """Return the unfinished jobs of a site."""
    query = sa.select(jobs).where(jobs.c.site == site, jobs.c.unfinished > 0).order_by(jobs.c.number).limit(MAX_ROWS)
    return rows.jobs_of(tx, tx.rows(query))


def cancelled_copies(tx: Transaction, site: str) -> list[str]:
    """Return the ids of a site's copies that a user has cancelled, and that have not ended yet."""
    of_site = sa.select(jobs.c.id).where(jobs.c.site == site, jobs.c.unfinished > 0)
    query = sa.select(copies.c.id).where(
        copies.c.job.in_(of_site), copies.c.wish == "cancel", copies.c.state.not_in(FINAL_STATES)
    )
    return [row.id for row in tx.rows(query.limit(MAX_ROWS))]
