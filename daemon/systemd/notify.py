"""Telling systemd how the service is: sd_notify(3), which is one datagram.

Does nothing where $NOTIFY_SOCKET is not set, never raises, and never waits for long: a print goes on also where nobody
listens.
"""

import array
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress

LONGEST_STATUS = 200  # characters
PATIENCE = 0.2  # s for a manager that reads nothing, on a loop that has a printer to serve


def is_there(environ: Mapping[str, str] = os.environ) -> bool:
    """Tell whether a service manager wants to be told."""
    return bool(environ.get("NOTIFY_SOCKET"))


def ready() -> None:
    """Say that the service works, for the first time or after reloading."""
    _notify("READY=1")


def stopping() -> None:
    """Say that the service is about to end."""
    _notify("STOPPING=1")


def reloading(now: float) -> None:
    """Say that the configuration is being read again; `ready` follows.

    Args:
        now: the monotonic clock, in s, by which systemd tells this reload from an earlier one.
    """
    _notify(f"RELOADING=1\nMONOTONIC_USEC={int(now * 1_000_000)}")


def alive() -> None:
    """Feed the watchdog; never waits."""
    _notify("WATCHDOG=1", wait=False)


def status(text: str) -> None:
    """Show what the service does in `systemctl status`; never waits."""
    # a line break would begin another assignment: a file name must not set MAINPID=
    line = "".join(char if char.isprintable() else "?" for char in text)
    _notify(f"STATUS={line[:LONGEST_STATUS]}", wait=False)


def keep(name: str, descriptor: int) -> None:
    """Have a duplicate of an open descriptor kept until the service is stopped."""
    _notify(f"FDSTORE=1\nFDNAME={name}", descriptors=[descriptor])


def drop(name: str) -> None:
    """Have what is kept under this name closed."""
    _notify(f"FDSTOREREMOVE=1\nFDNAME={name}")


def _notify(message: str, descriptors: Sequence[int] = (), *, wait: bool = True) -> None:
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock, suppress(OSError):
        sock.settimeout(PATIENCE if wait else 0.0)
        sock.sendmsg([message.encode()], rights, 0, address)
