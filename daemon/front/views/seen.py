"""What clients see of connection and job in a word: a text, flags, an error."""

from dataclasses import replace
from typing import TYPE_CHECKING

from daemon.bridge.status import Status, describe
from hal.printer import ConnectionState

if TYPE_CHECKING:
    from daemon.front.front import Front


def seen_of(service: "Front") -> Status:
    """Return what clients see of connection and job."""
    connection, jobs = service.connection, service.jobs
    panel_print = connection.panel_print is not None
    seen = describe(connection.state, jobs.state, connection.error or jobs.error, panel_print=panel_print)
    # a printer that is OFFLINE has no error: what is said then is that the core is away
    away = connection.error if connection.state is ConnectionState.OFFLINE else None
    return replace(seen, error=away) if away else seen
