"""The simulated printer behind a TCP port, as a serial port that a device server offers on the network."""

import asyncio
import math
from collections.abc import Callable

from hal.errors import PortError
from hal.simulated.firmware import Firmware
from hal.simulated.memory import DeviceClock, SimulatedTransport
from hal.transport import Transport

_MAX_UNREAD = 65536  # bytes that wait for a host that does not read; a UART keeps none


class TcpPrinter:
    """A firmware on a TCP port. One host at a time: another one is hung up on at once.

    A connection resets the board, as opening a serial port does, unless told otherwise. While the cable is pulled
    by the scenario, nobody listens.
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
        """Prepare; `wrap` puts something between firmware and network, like a recorder."""
        self._firmware = firmware
        self._clock = DeviceClock(firmware, speed)
        self._host, self._port = host, port
        self._wrap = wrap
        self._reset_on_open = reset_on_open
        self._transport: Transport | None = None
        self._server: asyncio.Server | None = None
        self._line: _Line | None = None
        self._replug_at: asyncio.TimerHandle | None = None
        self._replugging: asyncio.Task[tuple[str, int]] | None = None

    async def start(self) -> tuple[str, int]:
        """Power the board up and listen; return host and port, which is chosen where 0 was asked for.

        Raises:
            OSError: the port is taken, or the host is none of this machine.
        """
        return await self._plug_in(power_up=True)

    async def _plug_in(self, *, power_up: bool) -> tuple[str, int]:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Line(self), self._host, self._port)
        address = self._server.sockets[0].getsockname()
        self._port = address[1]  # the same one when it comes back
        transport = SimulatedTransport(
            self._firmware, f"tcp:{self._host}:{self._port}", reset_on_open=power_up, clock=self._clock
        )
        self._transport = self._wrap(transport) if self._wrap else transport
        await self._transport.open(self._to_host, self._unplugged)
        return address[0], address[1]

    def stop(self) -> None:
        """End: hang up, and listen no more."""
        if self._replug_at is not None:
            self._replug_at.cancel()
        self._pull()

    def _pull(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._line is not None:
            self._line.hang_up()

    def _unplugged(self, _error: PortError) -> None:
        self._pull()
        if self._firmware.plugged_at < math.inf:
            when = self._clock.when(self._firmware.plugged_at)
            self._replug_at = asyncio.get_running_loop().call_at(when, self._replug)

    def _replug(self) -> None:
        self._replug_at = None
        self._replugging = asyncio.get_running_loop().create_task(self._plug_in(power_up=False))

    # ── what a line calls ───────────────────────────────────────────────────────────────────────────────────

    def connected(self, line: "_Line") -> bool:
        """Take a host; False where there is one."""
        if self._line is not None or self._transport is None:
            return False
        self._line = line
        if self._reset_on_open:
            self._transport.reset()
        return True

    def received(self, data: bytes) -> None:
        """Put bytes of the host on the wire."""
        if self._transport is not None:
            self._transport.write(data)

    def disconnected(self, line: "_Line") -> None:
        """The host is gone."""
        if self._line is line:
            self._line = None

    def _to_host(self, data: bytes) -> None:
        if self._line is not None:
            self._line.send(data)


class _Line(asyncio.Protocol):
    """One connection."""

    def __init__(self, printer: TcpPrinter) -> None:
        self._printer = printer
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or hang up at once where there is one."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
        if not self._printer.connected(self):
            self.hang_up()

    def data_received(self, data: bytes) -> None:
        """Hand bytes over."""
        self._printer.received(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Let the next host in."""
        self._printer.disconnected(self)

    def send(self, data: bytes) -> None:
        """Send what the host still reads."""
        if self._transport is not None and self._transport.get_write_buffer_size() < _MAX_UNREAD:
            self._transport.write(data)

    def hang_up(self) -> None:
        """End the connection now."""
        if self._transport is not None:
            self._transport.abort()
