"""Jobs that were handed to a site: what it is to have, and what a person wants ended there."""

import sqlalchemy as sa

from daemon.farm.list import rows
from daemon.farm.list.database import Transaction
from daemon.farm.list.schema import copies, jobs
from daemon.farm.list.words import FINAL, FarmJob

MOST = 2000
"""Jobs, or copies, of a site that are spoken of at once."""


def handed(tx: Transaction, site: str) -> list[FarmJob]:
    """Return the jobs of a site of which a copy has not ended."""
    query = sa.select(jobs).where(jobs.c.site == site, jobs.c.unfinished > 0).order_by(jobs.c.number).limit(MOST)
    return rows.values(tx, tx.rows(query))


def cancels(tx: Transaction, site: str) -> list[str]:
    """Return the copies at a site that a person wants ended."""
    of_site = sa.select(jobs.c.id).where(jobs.c.site == site, jobs.c.unfinished > 0)
    query = sa.select(copies.c.id).where(
        copies.c.job.in_(of_site), copies.c.wish == "cancel", copies.c.state.not_in(FINAL)
    )
    return [row.id for row in tx.rows(query.limit(MOST))]
