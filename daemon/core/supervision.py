"""Supervision: systemd is told, from the loop that serves the wire, that the service lives and what it does."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from daemon.bridge.status import describe
from daemon.bridge.words import JobState
from daemon.log import journal
from daemon.systemd import notify
from daemon.systemd.directories import of_systemd
from hal.printer import ConnectionState

if TYPE_CHECKING:
    from daemon.core.core import Core

STATUS_EVERY = 5.0  # s
BEATS = 4  # in the time that the watchdog allows: two may be late
JOB_TYPE = "job-type"
"""File in the runtime directory where the unit's ExecStop= leaves why it is stopped."""

_JOB_TYPES = ("stop", "restart")
_LONGEST_TYPE = 32


class Supervision:
    """Feeds the watchdog and shows the job in `systemctl status`; does nothing where nobody wants to know."""

    def __init__(self, core: "Core", environ: Mapping[str, str], pid: int | None = None) -> None:
        """Prepare; `start` begins.

        Args:
            core: what is watched and shown.
            environ: NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.
            pid: of this process.
        """
        self._core = core
        self._wanted = notify.is_there(environ)
        self._period = _watchdog_period(environ, os.getpid() if pid is None else pid)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._said = ""

    @property
    def interval(self) -> float:
        """Seconds between two beats."""
        return STATUS_EVERY if self._period is None else min(STATUS_EVERY, self._period / BEATS)

    def start(self) -> None:
        """Begin to tell."""
        journal.context = self._fields
        if self._wanted:
            self._beat()

    def stop(self) -> None:
        """End it; what a stop may take is limited by other means."""
        journal.context = dict
        if self._timer is not None:
            self._timer.cancel()

    def _fields(self) -> dict[str, object]:
        return {"JOB_ID": self._core.jobs.job_id, "PRINTER": self._core.connection.address}

    def _beat(self) -> None:
        """Say that the loop turns. A driver that has slept through its deadline is a hang too, and feeds nothing."""
        printer = self._core.connection.printer
        if self._period is not None and (printer is None or not printer.hangs):
            notify.alive()
        said, self._said = self._said, summary(self._core)
        if said != self._said:
            notify.status(self._said)
        self._timer = self._loop.call_later(self.interval, self._beat)


def summary(core: "Core") -> str:
    """Return what the service does, in one line."""
    connection, jobs = core.connection, core.jobs
    shown = describe(connection.state, jobs.state, connection.error or jobs.error)
    if jobs.active and jobs.selected is not None:
        done = jobs.progress.completion
        return f"{shown.text} {jobs.selected.name}" + (f", {done:.0f} %" if done is not None else "")
    if connection.state is ConnectionState.READY and jobs.state is JobState.COMPLETED and jobs.selected is not None:
        return f"{shown.text}; {jobs.selected.name} is printed"
    return f"{shown.text}: {shown.error}" if shown.error else shown.text


def job_type(environ: Mapping[str, str]) -> str | None:
    """Return why systemd stops this service, "stop" or "restart"; None where that cannot be told.

    Both are SIGTERM, and the service's own user may not ask; the unit's ExecStop= does, before the signal comes.
    """
    path = _job_type_file(environ)
    if path is None:
        return None
    try:
        with path.open() as file:
            said = file.read(_LONGEST_TYPE).strip()
    except (OSError, ValueError):
        return None
    return said if said in _JOB_TYPES else None


def forget_job_type(environ: Mapping[str, str]) -> None:
    """Remove what an earlier stop has left: a restart keeps the runtime directory."""
    if path := _job_type_file(environ):
        path.unlink(missing_ok=True)


def _job_type_file(environ: Mapping[str, str]) -> Path | None:
    folder = of_systemd(environ, "RUNTIME_DIRECTORY")
    return folder / JOB_TYPE if folder else None


def _watchdog_period(environ: Mapping[str, str], pid: int) -> float | None:
    """Return the seconds after which systemd ends a service that says nothing; None: it does not."""
    microseconds, whose = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or whose not in ("", str(pid)):
        return None
    return int(microseconds) / 1_000_000 or None
