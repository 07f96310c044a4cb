"""Helpers of the tests of databases: the troubles that one reports, and statements on its own connection."""

from daemon.database import Database


class Troubles(list[Exception]):
    """Troubles reported by a database."""


async def execute_on(database: Database, statement: str) -> None:
    """Execute a statement on the database's own connection."""
    await database._run(lambda: database._connection.execute(statement).fetchall())
