"""DescriptorStore: open descriptors that outlive the process, because systemd holds them (sd_listen_fds(3)).

The line to the printer is one: a restart finds it open, with all bytes that came meanwhile, and resets no board. The
sockets of HTTP are others: requests wait in them while the service restarts.
"""

import os
import socket
from collections.abc import MutableMapping
from contextlib import suppress

from daemon.systemd import notify

FIRST = 3  # SD_LISTEN_FDS_START: behind stdin, stdout and stderr
HTTP = "http"  # FileDescriptorName= of nozzled.socket


class DescriptorStore:
    """What systemd has handed in, and what it shall keep; without systemd there is nothing, and nothing is kept."""

    def __init__(self, environ: MutableMapping[str, str], pid: int | None = None) -> None:
        """Take over what was handed in, and remove it from the environment, which children inherit.

        Args:
            environ: LISTEN_FDS, LISTEN_FDNAMES and LISTEN_PID of this process.
            pid: of this process.
        """
        self.available = notify.is_there(environ)
        self._handed_in = _take(environ, os.getpid() if pid is None else pid)
        self._names = {name for name, _ in self._handed_in}

    def inherited(self) -> dict[str, int]:
        """Return what was kept for this process, by name; of two with one name the one that was kept last.

        What is not wanted has to be closed, and dropped.
        """
        # systemd hands them in newest first
        return {name: fd for name, fd in reversed(self._handed_in) if name != HTTP}

    def listening(self) -> list[socket.socket]:
        """Return the sockets that listen for HTTP already."""
        sockets = [socket.socket(fileno=fd) for name, fd in self._handed_in if name == HTTP]
        for each in sockets:  # an accept for a client that has gone again must not wait for the next one
            each.setblocking(False)  # noqa: FBT003 - the standard library's own signature
        return sockets

    def keep(self, name: str, fd: int) -> None:
        """Have this descriptor handed to the next process, in place of what had the name before."""
        if name in self._names:  # else the next process would get both
            notify.drop(name)
        self._names.add(name)
        notify.keep(name, fd)

    def drop(self, name: str) -> None:
        """Keep it no longer: it was closed on purpose."""
        if name in self._names:
            self._names.remove(name)
            notify.drop(name)


def _take(environ: MutableMapping[str, str], pid: int) -> list[tuple[str, int]]:
    count, names, whose = (environ.pop(f"LISTEN_{what}", "") for what in ("FDS", "FDNAMES", "PID"))
    if whose != str(pid) or not count.isdecimal():
        return []
    descriptors = range(FIRST, FIRST + int(count))
    named = names.split(":") if names else []
    for fd in descriptors:
        with suppress(OSError):  # a number that is not open: nobody can use it, and nobody will
            os.set_inheritable(fd, False)  # noqa: FBT003 - the standard library's own signature
    return list(zip(named, descriptors, strict=False))
