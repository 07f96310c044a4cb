"""The simulated printer behind a TCP port, as behind a device server that offers a serial port on the network."""

import asyncio
import math
import os
import socket
from collections.abc import Callable

from hal.errors import PortError
from hal.simulated.firmware import Firmware
from hal.simulated.memory import DeviceClock, SimulatedTransport
from hal.transport import Transport

_MAX_UNREAD = 65536  # bytes that wait for a host that does not read; later ones are lost, as with a UART


class TcpPrinter:
    """A firmware on a TCP port, for one host at a time; further connections are closed at once.

    A connection pulses DTR, as opening a serial port does, which resets most boards, unless `reset_on_open` is false.
    While the scenario has pulled the cable, the port is closed.
    """

    def __init__(
        self,
        firmware: Firmware,
        host: str,
        port: int,
        *,
        speed: float = 1.0,
        reset_on_open: bool = True,
        wrap: Callable[[Transport], Transport] | None = None,
    ) -> None:
        """Prepare; `wrap` puts something between firmware and network, such as a recorder."""
        self._firmware = firmware
        self._clock = DeviceClock(firmware, speed)
        self._host, self._port = host, port
        self._wrap = wrap
        self._reset_on_open = reset_on_open
        self._transport: Transport | None = None
        self._server: asyncio.Server | None = None
        self._host_connection: _HostConnection | None = None
        self._replug_timer: asyncio.TimerHandle | None = None
        self._replug_task: asyncio.Task[tuple[str, int]] | None = None

    async def start(self) -> tuple[str, int]:
        """Power the board up and listen; return the host and the port, which the system chooses if `port` is 0.

        Raises:
            OSError: the port is in use, or the host is not an address of this machine.
        """
        return await self._plug_in(power_up=True)

    async def _plug_in(self, *, power_up: bool) -> tuple[str, int]:
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: _HostConnection(self), self._host, self._port)
        except OSError as error:
            reason = str(error.strerror) if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
            raise OSError(f"cannot listen on {self._host}:{self._port}: {reason}; choose another address") from error
        address = self._server.sockets[0].getsockname()
        self._port = address[1]  # a replug keeps it
        transport = SimulatedTransport(
            self._firmware, f"tcp:{self._host}:{self._port}", reset_on_open=power_up, clock=self._clock
        )
        self._transport = self._wrap(transport) if self._wrap else transport
        await self._transport.open(self._to_host, self._on_unplugged)
        return address[0], address[1]

    def stop(self) -> None:
        """Hang up and stop listening."""
        if self._replug_timer is not None:
            self._replug_timer.cancel()
        self._pull()

    def _pull(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._host_connection is not None:
            self._host_connection.hang_up()

    def _on_unplugged(self, _error: PortError) -> None:
        """Close the port until the cable is plugged in again."""
        self._pull()
        if self._firmware.plugged_at < math.inf:
            when = self._clock.when(self._firmware.plugged_at)
            self._replug_timer = asyncio.get_running_loop().call_at(when, self._replug)

    def _replug(self) -> None:
        self._replug_timer = None
        self._replug_task = asyncio.get_running_loop().create_task(self._plug_in(power_up=False))

    # ── for a connection ────────────────────────────────────────────────────────────────────────────────────

    def admit(self, connection: "_HostConnection") -> bool:
        """Let a host in; False: another host is connected, or the cable is pulled."""
        if self._host_connection is not None or self._transport is None:
            return False
        self._host_connection = connection
        if self._reset_on_open:
            self._transport.reset()
        return True

    def from_host(self, data: bytes) -> None:
        """Put bytes of the host on the wire."""
        if self._transport is not None:
            self._transport.write(data)

    def release(self, connection: "_HostConnection") -> None:
        """Note that a connection is closed."""
        if self._host_connection is connection:
            self._host_connection = None

    def _to_host(self, data: bytes) -> None:
        if self._host_connection is not None:
            self._host_connection.send(data)


class _HostConnection(asyncio.Protocol):
    """A TCP connection from a host."""

    def __init__(self, printer: TcpPrinter) -> None:
        self._printer = printer
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the host in, or hang up at once."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
        if not self._printer.admit(self):
            self.hang_up()

    def data_received(self, data: bytes) -> None:
        """Pass bytes on to the printer."""
        self._printer.from_host(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Make room for the next host."""
        self._printer.release(self)

    def send(self, data: bytes) -> None:
        """Send bytes to the host; they are lost if too many already wait for the host."""
        if self._transport is not None and self._transport.get_write_buffer_size() < _MAX_UNREAD:
            self._transport.write(data)

    def hang_up(self) -> None:
        """Close the connection now."""
        if self._transport is not None:
            self._transport.abort()
