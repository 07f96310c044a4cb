"""Files that no job needs any more."""

import sqlalchemy as sa

from daemon.farm.list.database import Transaction
from daemon.farm.list.schema import copies, files, jobs

DAY = 86_400.0
GONE = -1.0
"""When a file came of which only the name is kept, for the history."""

MOST = 200
"""Files that are spoken of at once."""


def old_files(tx: Transaction, days: float) -> list[str]:
    """Return files that came, and whose jobs ended, longer ago than this; the oldest first."""
    before = tx.now - days * DAY
    needed = sa.exists().where(
        jobs.c.sha256 == files.c.sha256,
        sa.or_(
            jobs.c.unfinished > 0,
            jobs.c.created >= before,
            sa.exists().where(copies.c.job == jobs.c.id, copies.c.ended >= before),
        ),
    )
    query = (
        sa.select(files.c.sha256)
        .where(files.c.at < before, files.c.at > GONE, ~needed)
        .order_by(files.c.at)
        .limit(MOST)
    )
    return [row.sha256 for row in tx.rows(query)]


def forget_file(tx: Transaction, sha256: str) -> None:
    """Know a file no more; jobs that had it stay, and it may be uploaded again."""
    tx.write(sa.update(files).where(files.c.sha256 == sha256).values(at=GONE))
