"""Open descriptors that outlive the process, because systemd holds them (sd_listen_fds(3)).

One is that of the serial port: after a restart the port is still open and has all bytes that arrived meanwhile, and the
board has not been reset. The others are the HTTP sockets, in which requests wait while the service restarts.
"""

import os
import socket
from collections.abc import MutableMapping
from contextlib import suppress

from daemon.systemd import notify

FIRST = 3  # SD_LISTEN_FDS_START: after stdin, stdout and stderr
HTTP = "http"  # FileDescriptorName= of nozzled.socket


class DescriptorStore:
    """The descriptors that systemd has passed in, and those that it keeps; without systemd it is empty."""

    def __init__(self, environ: MutableMapping[str, str], pid: int | None = None) -> None:
        """Take the descriptors that were passed in, and remove them from the environment, which children inherit.

        Args:
            environ: LISTEN_FDS, LISTEN_FDNAMES and LISTEN_PID of this process.
            pid: of this process.
        """
        self.available = notify.is_there(environ)
        self._handed_in = _take(environ, os.getpid() if pid is None else pid)
        self._names = {name for name, _ in self._handed_in}

    def inherited(self) -> dict[str, int]:
        """Return the kept descriptors by name; of several with the same name, only the newest.

        The caller must close and drop the descriptors that it does not use.
        """
        # systemd passes the newest first
        return {name: fd for name, fd in reversed(self._handed_in) if name != HTTP}

    def listening(self) -> list[socket.socket]:
        """Return the HTTP sockets, which are listening already."""
        sockets = [socket.socket(fileno=fd) for name, fd in self._handed_in if name == HTTP]
        for each in sockets:  # accept() must not block if the client has already gone
            each.setblocking(False)  # noqa: FBT003 - the standard library's own signature
        return sockets

    def keep(self, name: str, fd: int) -> None:
        """Keep this descriptor for the next process, replacing an earlier one of the same name."""
        if name in self._names:  # otherwise the next process would get both
            notify.drop(name)
        self._names.add(name)
        notify.keep(name, fd)

    def drop(self, name: str) -> None:
        """Have systemd close its copy of a descriptor that was closed on purpose."""
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
        with suppress(OSError):  # the number is not open, so it is never used
            os.set_inheritable(fd, False)  # noqa: FBT003 - the standard library's own signature
    return list(zip(named, descriptors, strict=False))
