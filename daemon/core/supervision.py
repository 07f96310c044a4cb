"""Supervision: reports to systemd that the service lives, and what it is doing, from the loop that serves the wire."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from daemon.bridge.status import describe
from daemon.bridge.words import JobState
from daemon.log import journal
from daemon.set_aside import make_way
from daemon.systemd.directories import of_systemd
from daemon.systemd.heartbeat import Heartbeat
from hal.printer import ConnectionState

if TYPE_CHECKING:
    from daemon.core.core import Core

JOB_TYPE = "job-type"
"""File in the runtime directory; in it the unit's ExecStop= notes why the service is stopped."""

_JOB_TYPES = ("stop", "restart")
_MAX_TYPE = 32  # characters


class Supervision(Heartbeat):
    """Feeds the watchdog, shows the job in `systemctl status`, and names it in the journal."""

    def __init__(self, core: "Core", environ: Mapping[str, str], pid: int | None = None) -> None:
        """Prepare; `start` begins.

        Args:
            core: what is watched and shown.
            environ: NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.
            pid: of this process.
        """
        super().__init__(environ, self._wire_is_served, lambda: summary(core), pid)
        self._core = core
        self._end_context: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Begin to report."""
        self._end_context = journal.use_context(self._fields)
        super().start()

    def stop(self) -> None:
        """Stop reporting."""
        self._end_context()
        super().stop()

    def _fields(self) -> dict[str, object]:
        return {"JOB_ID": self._core.jobs.job_id, "PRINTER": self._core.connection.address}

    def _wire_is_served(self) -> bool:
        """Tell whether the driver meets its deadlines; a driver that misses them hangs, even if the loop runs."""
        printer = self._core.connection.printer
        return printer is None or not printer.hangs


def summary(core: "Core") -> str:
    """Return what the service is doing, in one line."""
    connection, jobs = core.connection, core.jobs
    status = describe(connection.state, jobs.state, connection.error or jobs.error)
    if jobs.active and jobs.selected is not None:
        percent = jobs.progress.completion
        return f"{status.text} {jobs.selected.name}" + (f", {percent:.0f} %" if percent is not None else "")
    if connection.state is ConnectionState.READY and jobs.state is JobState.COMPLETED and jobs.selected is not None:
        return f"{status.text}; {jobs.selected.name} is printed"
    return f"{status.text}: {status.error}" if status.error else status.text


def job_type(environ: Mapping[str, str]) -> str | None:
    """Return why systemd stops this service, "stop" or "restart"; None: not known.

    Both come as SIGTERM, and the service's user may not ask systemd. The unit's ExecStop= asks before the signal comes.
    """
    path = _job_type_file(environ)
    if path is None:
        return None
    try:
        with path.open() as file:
            text = file.read(_MAX_TYPE).strip()
    except (OSError, ValueError):
        return None
    return text if text in _JOB_TYPES else None


def forget_job_type(environ: Mapping[str, str]) -> None:
    """Remove the note of an earlier stop, which a restart leaves in the runtime directory."""
    if path := _job_type_file(environ):
        make_way(path, "the type of the next stop is written there", os.R_OK)
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _job_type_file(environ: Mapping[str, str]) -> Path | None:
    folder = of_systemd(environ, "RUNTIME_DIRECTORY")
    return folder / JOB_TYPE if folder else None
