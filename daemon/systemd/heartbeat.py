"""Heartbeat: tells systemd that an event loop is running, and what the service is doing."""

import asyncio
import os
from collections.abc import Callable, Mapping

from daemon.systemd import notify

STATUS_INTERVAL = 5.0
BEATS = 4  # per watchdog period, so that two may be late


class Heartbeat:
    """Feeds the watchdog and shows a line in `systemctl status`; does nothing without a service manager."""

    def __init__(
        self,
        environ: Mapping[str, str],
        works: Callable[[], bool],
        does: Callable[[], str],
        pid: int | None = None,
    ) -> None:
        """Prepare; `start` starts it.

        Args:
            environ: NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.
            works: tells whether everything but the loop is well; if not, the watchdog is not fed.
            does: returns the status line.
            pid: of this process.
        """
        self._works = works
        self._does = does
        self._is_enabled = notify.is_there(environ)
        self._period = _watchdog_period(environ, os.getpid() if pid is None else pid)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._status = ""

    @property
    def interval(self) -> float:
        """Seconds between two beats."""
        return STATUS_INTERVAL if self._period is None else min(STATUS_INTERVAL, self._period / BEATS)

    def start(self) -> None:
        """Start the beats."""
        if self._is_enabled:
            self._beat()

    def stop(self) -> None:
        """Stop the beats; the time that the service may take to end is limited by other means."""
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self) -> None:
        if self._period is not None and self._works():
            notify.alive()
        before, self._status = self._status, self._does()
        if before != self._status:
            notify.status(self._status)
        self._timer = self._loop.call_later(self.interval, self._beat)


def _watchdog_period(environ: Mapping[str, str], pid: int) -> float | None:
    """Return the watchdog period in s; None: there is no watchdog."""
    microseconds, whose = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or whose not in ("", str(pid)):
        return None
    return int(microseconds) / 1_000_000 or None
