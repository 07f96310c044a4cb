"""Derives OctoPrint's status text and flags from our two state machines, connection and job. Pure.

The names are those of OctoPrint 1.11, which has one machine of 27 states.
"""

from daemon.bridge.words import JobState
from gcode.frozen import frozen
from hal.printer import ConnectionState

FLAGS = (
    "operational", "printing", "cancelling", "pausing", "resuming", "finishing",
    "closedOrError", "error", "paused", "ready", "sdReady",
)  # fmt: skip
"""All flags are always sent: clients fail if one is missing."""

# Job → (text, flags besides `operational`).
_JOBS: dict[JobState, tuple[str, tuple[str, ...]]] = {
    JobState.STARTING: ("Starting", ("printing",)),
    JobState.PRINTING: ("Printing", ("printing",)),
    JobState.PAUSING: ("Pausing", ("pausing", "printing")),
    JobState.PAUSED: ("Paused", ("paused",)),
    JobState.RESUMING: ("Resuming", ("resuming", "printing")),
    JobState.FINISHING: ("Finishing", ("finishing", "printing")),
    JobState.CANCELLING: ("Cancelling", ("cancelling", "printing")),
    JobState.REATTACHING: ("Resuming", ("resuming", "printing")),
}

_PANEL_PRINT = ("Printing from SD", ("operational", "printing"))

# Connection, while no job is shown → (text, flags).
_CONNECTIONS: dict[ConnectionState, tuple[str, tuple[str, ...]]] = {
    ConnectionState.OFFLINE: ("Offline", ("closedOrError",)),
    ConnectionState.OPENING: ("Opening serial connection", ()),
    ConnectionState.HANDSHAKING: ("Connecting", ()),
    ConnectionState.READY: ("Operational", ("operational", "ready")),
    ConnectionState.FAULT: ("Offline after error", ("error", "closedOrError")),
}


@frozen
class Status:
    """The status that clients see.

    Attributes:
        text: the state, in words.
        connection_text: the same for `/api/connection`, which calls Offline "Closed".
        flags: each of FLAGS.
        error: why the connection failed or, while it is READY, why the last job failed or was interrupted; None: there
            is no such reason, or a print is shown.
    """

    text: str
    connection_text: str
    flags: dict[str, bool]
    error: str | None


def describe(
    connection: ConnectionState, job: JobState | None, error: str | None, *, panel_print: bool = False
) -> Status:
    """Return the status that clients see.

    Args:
        connection: its state.
        job: the state of the last job.
        error: why the connection is in FAULT, or why the last job failed or was interrupted.
        panel_print: the printer prints from its own SD card; if a job of ours is active, the job is shown.
    """
    is_active = job is not None and not job.ended
    if job is not None and is_active and (connection is ConnectionState.READY or job is JobState.REATTACHING):
        text, flags = _JOBS[job]
        return Status(text, text, _flags("operational", *flags), None)
    if panel_print and connection is ConnectionState.READY:
        text, flags = _PANEL_PRINT
        return Status(text, text, _flags(*flags), None)
    text, flags = _CONNECTIONS[connection]
    failed = connection is ConnectionState.FAULT or (
        connection is ConnectionState.READY and job in (JobState.FAILED, JobState.INTERRUPTED)
    )
    closed = connection is ConnectionState.OFFLINE
    return Status(text, "Closed" if closed else text, _flags(*flags), error if failed else None)


def _flags(*raised: str) -> dict[str, bool]:
    return {name: name in raised for name in FLAGS}
