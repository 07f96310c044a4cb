"""Heartbeat: systemd is told, from an event loop, that the loop turns and what its service does."""

import asyncio
import os
from collections.abc import Callable, Mapping

from daemon.systemd import notify

STATUS_EVERY = 5.0  # s
BEATS = 4  # in the time that the watchdog allows: two may be late


class Heartbeat:
    """Feeds the watchdog and shows a line in `systemctl status`; does nothing where nobody wants to know."""

    def __init__(
        self,
        environ: Mapping[str, str],
        works: Callable[[], bool],
        does: Callable[[], str],
        pid: int | None = None,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            environ: NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.
            works: tells whether what depends on the loop works as well; else the watchdog is not fed.
            does: returns the line that is shown.
            pid: of this process.
        """
        self._works = works
        self._does = does
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
        if self._wanted:
            self._beat()

    def stop(self) -> None:
        """End it; what a stop may take is limited by other means."""
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self) -> None:
        if self._period is not None and self._works():
            notify.alive()
        said, self._said = self._said, self._does()
        if said != self._said:
            notify.status(self._said)
        self._timer = self._loop.call_later(self.interval, self._beat)


def _watchdog_period(environ: Mapping[str, str], pid: int) -> float | None:
    """Return the seconds after which systemd ends a service that says nothing; None: it does not."""
    microseconds, whose = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or whose not in ("", str(pid)):
        return None
    return int(microseconds) / 1_000_000 or None
