"""Files that no job needs, so that the server can delete them."""

import sqlalchemy as sa

from daemon.farm.list.database import Transaction
from daemon.farm.list.schema import copies, files, jobs

DAY = 86_400.0
FORGOTTEN = -1.0
"""Value of `at` for a deleted file, whose row stays for the history."""

MAX_FILES = 200
"""Files in one answer."""


def old_files(tx: Transaction, days: float, sha256: str | None = None) -> list[str]:
    """Return files that were uploaded, and whose jobs ended, more than this many days ago; the oldest first.

    Args:
        tx: the transaction.
        days: number of days.
        sha256: consider only this file; None: all.
    """
    before = tx.now - days * DAY
    is_needed = sa.exists().where(
        jobs.c.sha256 == files.c.sha256,
        sa.or_(
            jobs.c.unfinished > 0,
            jobs.c.created >= before,
            sa.exists().where(copies.c.job == jobs.c.id, copies.c.ended >= before),
        ),
    )
    conditions = [] if sha256 is None else [files.c.sha256 == sha256]
    query = (
        sa.select(files.c.sha256)
        .where(files.c.at < before, files.c.at > FORGOTTEN, ~is_needed, *conditions)
        .order_by(files.c.at)
        .limit(MAX_FILES)
    )
    return [row.sha256 for row in tx.rows(query)]


def forget_file(tx: Transaction, sha256: str) -> None:
    """Mark a file as deleted; its jobs stay, and it may be uploaded again."""
    tx.write(sa.update(files).where(files.c.sha256 == sha256).values(at=FORGOTTEN))
