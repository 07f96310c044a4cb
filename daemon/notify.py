"""Telling systemd how the service is: sd_notify(3), which is one datagram.

Does nothing where $NOTIFY_SOCKET is not set.
"""

import os
import socket


def ready() -> None:
    """Say that the service works."""
    _notify(b"READY=1")


def stopping() -> None:
    """Say that the service is about to end."""
    _notify(b"STOPPING=1")


def _notify(message: bytes) -> None:
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.sendto(message, address)
