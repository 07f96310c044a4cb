"""Transport: bytes to and from a printer. The driver above it knows the protocol, a transport knows none."""

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
        """Bits per second on the wire; None where bytes take no time."""

    async def open(self, on_data: Callable[[bytes], None], on_lost: Callable[[PortError], None]) -> None:
        """Open the line without waiting for a printer behind it.

        Args:
            on_data: called with each piece of bytes that arrives.
            on_lost: called once when the line is gone; the transport is closed then.

        Raises:
            PortError: one of its subclasses, with a sentence that says what the user can do.
        """

    def write(self, data: bytes) -> None:
        """Queue bytes for the wire, in order; never blocks and never raises. A loss goes to `on_lost`."""

    def reset(self) -> None:
        """Pulse DTR, which resets most boards (not those with native USB); awaits nothing."""

    def close(self) -> None:
        """Close the line; harmless when it is closed already. Bytes already written still go out."""


@runtime_checkable
class Reopenable(Protocol):
    """A transport to a line on which a conversation goes on, such as a print whose host has died."""

    async def reopen(self, on_data: Callable[[bytes], None], on_lost: Callable[[PortError], None]) -> None:
        """As `Transport.open`, but the board is not reset, and what it has said meanwhile is read.

        Raises:
            PortError: one of its subclasses, with a sentence that says what the user can do.
        """
