"""PortKeeper: has systemd keep the serial port open during a restart, and adopts it afterwards.

If the port were closed and reopened, what the printer sends meanwhile would be lost, and some drivers would reset the
board.
"""

import os
from contextlib import suppress

from daemon.systemd.descriptors import DescriptorStore
from hal.printer import ConnectionState
from hal.transport import Transport

NAME = "serial"


class PortKeeper:
    """Follows the transports of one connection."""

    def __init__(self, descriptors: DescriptorStore | None = None) -> None:
        """Take the port that systemd kept, if any."""
        self._descriptors = descriptors
        self._descriptor = descriptors.inherited().get(NAME, -1) if descriptors else -1
        self._transport: Transport | None = None
        self.leaves_open = False  # when this host closes the port, it stays in the store for the next host

    def watch(self, transport: Transport) -> None:
        """Watch a new transport; the first one adopts the port that systemd kept."""
        self._transport = transport
        adopt = getattr(transport, "adopt", None)
        if adopt is not None and self._descriptor >= 0:
            adopt(self._descriptor)
            self._descriptor = -1

    def release(self) -> None:
        """Close the port that systemd kept, if no transport has adopted it: there is no job to reattach to."""
        if self._descriptor >= 0:
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1
            if self._descriptors is not None:
                self._descriptors.drop(NAME)

    def on_state(self, state: ConnectionState) -> None:
        """Have systemd keep the port while it is open."""
        if self._descriptors is None:
            return
        if state is ConnectionState.HANDSHAKING:
            fd = getattr(self._transport, "descriptor", -1)
            if fd >= 0:
                self._descriptors.keep(NAME, fd)
        elif state in (ConnectionState.FAULT, ConnectionState.OFFLINE) and not self.leaves_open:
            self._descriptors.drop(NAME)
