"""The status of connection and job as clients see it: a text, flags, an error."""

from dataclasses import replace
from typing import TYPE_CHECKING

from daemon.bridge.status import Status, describe
from hal.printer import ConnectionState

if TYPE_CHECKING:
    from daemon.front.front import Front


def status_of(service: "Front") -> Status:
    """Return the status of connection and job as clients see it."""
    connection, jobs = service.connection, service.jobs
    panel_print = connection.panel_print is not None
    status = describe(connection.state, jobs.state, connection.error or jobs.error, panel_print=panel_print)
    # an offline printer has no error of its own, so `connection.error` can only be that the core is away
    core_error = connection.error if connection.state is ConnectionState.OFFLINE else None
    return replace(status, error=core_error) if core_error else status
