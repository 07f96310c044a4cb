"""TcpTransport: a printer behind a TCP port, as offered by ser2net, many WiFi boards and the simulated printer.

Bytes go through unchanged. TCP does not carry DTR, so the host cannot reset the board.
"""

import asyncio
import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from hal.errors import AddressError, NoSuchPort, PortError, PortLost
from hal.flood import LARGE, Flood
from hal.registry import Address

_READ_SIZE = 4096
_CONNECT_TIMEOUT = 10.0  # s
_MAX_PORT = 65535
_REASONS = {
    errno.ECONNREFUSED: "Nothing listens there; is it switched on, and is the port right?",
    errno.EHOSTUNREACH: "There is no route to that host.",
    errno.ENETUNREACH: "There is no route to that host.",
    errno.EAFNOSUPPORT: "The service has no network; docs/systemd.md says how it gets one (A printer on the network).",
}


def create_transport(address: Address) -> "TcpTransport":
    """Return the transport for `tcp:HOST:PORT`, not open yet; an IPv6 address has to be in brackets.

    Raises:
        AddressError: host or port is missing or wrong, or the address has options.
    """
    address.allow()
    host, colon, port = address.target.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if not colon or not host or (":" in host and not bracketed):
        raise AddressError(f"{address}: {address.target!r} is not a host and port; write tcp:HOST:PORT")
    if not (port.isascii() and port.isdigit()) or not 0 < int(port[:6]) <= _MAX_PORT:
        raise AddressError(f"{address}: the port is {port!r}; allowed: 1 to {_MAX_PORT}")
    return TcpTransport(host, int(port), str(address))


class TcpTransport(asyncio.BufferedProtocol):
    """A TCP connection as `hal.transport.Transport`; read in pieces no larger than those of a serial port."""

    def __init__(self, host: str, port: int, address: str | None = None) -> None:
        self._host, self._port = host, port
        self._address = address or f"tcp:{host}:{port}"
        self._connection: asyncio.Transport | None = None
        self._closed = False
        self._buffer = memoryview(bytearray(_READ_SIZE))

    @property
    def address(self) -> str:
        """The printer address, as the user would write it."""
        return self._address

    @property
    def baudrate(self) -> None:
        """None: the baudrate beyond the network is unknown."""
        return

    async def open(self, on_data: Callable[[bytes], None], on_lost: Callable[[PortError], None]) -> None:
        """Connect.

        Raises:
            PortError: nothing answers there, or `close` was called meanwhile; says why.
        """
        self._on_data, self._on_lost = on_data, on_lost
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT):
                await loop.create_connection(lambda: self, self._host, self._port)
        except TimeoutError:
            raise NoSuchPort(f"{self._address} does not answer: no connection in {_CONNECT_TIMEOUT:g} s.") from None
        except UnicodeError as error:  # of Python's codec for names of hosts
            raise NoSuchPort(f"{self._address} cannot be reached. {self._host!r} is not a host name.") from error
        except OSError as error:
            raise NoSuchPort(f"{self._address} cannot be reached. {_reason(error)}") from error
        if self._closed:
            raise PortLost(f"{self._address} was closed while it was being opened.")

    async def reopen(self, on_data: Callable[[bytes], None], on_lost: Callable[[PortError], None]) -> None:
        """Connect; unlike opening a serial port, this resets no board."""
        await self.open(on_data, on_lost)

    def write(self, data: bytes) -> None:
        """Send bytes; does nothing on a closed connection."""
        if self._connection is not None:
            self._connection.write(data)

    def reset(self) -> None:
        """Do nothing: TCP does not carry DTR."""

    def close(self) -> None:
        """Hang up; bytes already written still go out."""
        self._closed = True
        if self._connection is not None:
            self._flood.stop()
            self._connection.close()
            self._connection = None

    # ── what asyncio calls ──────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection; keepalives show a dead peer even if neither side sends."""
        connection = cast("asyncio.Transport", transport)
        if self._closed:
            connection.abort()
            return
        self._connection = connection
        self._flood = Flood(self._on_data, connection.pause_reading, connection.resume_reading)
        with suppress(OSError):
            connection.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def get_buffer(self, _hint: int) -> memoryview:
        """Return the buffer for the next bytes."""
        return self._buffer

    def buffer_updated(self, size: int) -> None:
        """Pass on the bytes in the buffer, unless the connection is closed."""
        if self._closed:
            return
        data = bytes(self._buffer[:size])
        if size < LARGE:
            self._on_data(data)
        else:
            self._flood.take(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the loss of the connection, unless it was closed here."""
        if not self._closed:
            self.close()
            self._on_lost(PortLost(f"{self._address} has closed the connection{f': {exc}' if exc else ''}."))


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "There is no host of that name."
    return _REASONS.get(error.errno or 0, f"{error.strerror or error}.")
