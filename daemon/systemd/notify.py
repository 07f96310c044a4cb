"""Notifies systemd of the service's state by sd_notify(3), which sends one datagram.

The functions do nothing if $NOTIFY_SOCKET is not set. They never raise an error and never wait for long, so that they
cannot disturb a print.
"""

import array
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress

MAX_STATUS = 200  # characters
SEND_TIMEOUT = 0.2  # for a service manager that does not read, as the loop has to serve the printer


def is_there(environ: Mapping[str, str] = os.environ) -> bool:
    """Tell whether there is a service manager to notify."""
    return bool(environ.get("NOTIFY_SOCKET"))


def ready() -> None:
    """Notify that the service is ready, after its start or a reload."""
    _notify("READY=1")


def stopping() -> None:
    """Notify that the service is stopping."""
    _notify("STOPPING=1")


def reloading(now: float) -> None:
    """Notify that the configuration is being reloaded; `ready` follows.

    Args:
        now: the monotonic clock, in s, by which systemd tells this reload from an earlier one.
    """
    _notify(f"RELOADING=1\nMONOTONIC_USEC={int(now * 1_000_000)}")


def alive() -> None:
    """Feed the watchdog; never waits."""
    _notify("WATCHDOG=1", wait=False)


def status(text: str) -> None:
    """Set the status line of `systemctl status`; never waits."""
    # a line break would begin another assignment: a file name must not set MAINPID=
    line = "".join(char if char.isprintable() else "?" for char in text)
    _notify(f"STATUS={line[:MAX_STATUS]}", wait=False)


def keep(name: str, descriptor: int) -> None:
    """Make systemd keep a duplicate of an open descriptor until the service is stopped."""
    _notify(f"FDSTORE=1\nFDNAME={name}", descriptors=[descriptor])


def drop(name: str) -> None:
    """Make systemd close the descriptors that it keeps under this name."""
    _notify(f"FDSTOREREMOVE=1\nFDNAME={name}")


def _notify(message: str, descriptors: Sequence[int] = (), *, wait: bool = True) -> None:
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.settimeout(SEND_TIMEOUT if wait else 0.0)
        sock.sendmsg([message.encode()], rights, 0, address)
