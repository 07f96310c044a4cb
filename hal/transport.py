"""Transport: carries bytes to and from a printer. Only the driver above it knows the protocol."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from hal.errors import PortError


class Transport(Protocol):
    """One connection: opened once, closed once, not used again.

    All methods are called on the event loop's thread. Callbacks come from the event loop, never from within
    `write`, and none comes after `close`.
    """

    @property
    def address(self) -> str:
        """The printer address, as the user would write it: `serial:/dev/ttyACM0`."""

    @property
    def baudrate(self) -> int | None:
        """Bits per second on the wire; None: it is not known, or bytes take no time."""

    async def open(self, on_data: Callable[[bytes], None], on_lost: Callable[[PortError], None]) -> None:
        """Open the connection without waiting for a printer to answer.

        Args:
            on_data: called with each piece of bytes that arrives.
            on_lost: called once if the connection is lost; the transport is closed by then.

        Raises:
            PortError: the port cannot be opened; says why, and what the user can do.
        """

    def write(self, data: bytes) -> None:
        """Queue bytes for the wire, in order; never blocks and never raises. A loss is reported by `on_lost`."""

    def reset(self) -> None:
        """Pulse DTR, without waiting; this resets most boards, but not those with native USB."""

    def close(self) -> None:
        """Close the connection; idempotent. Bytes already written still go out."""


@runtime_checkable
class Reopenable(Protocol):
    """A transport that can open a port without ending the conversation, for example one that a dead host has left."""

    async def reopen(self, on_data: Callable[[bytes], None], on_lost: Callable[[PortError], None]) -> None:
        """Open as `Transport.open` does, but without a reset of the board, and without losing its unread bytes.

        Raises:
            PortError: the port cannot be opened; says why, and what the user can do.
        """
