"""Seats: the limits on connections, in total and per address. Pure.

A connection that has shown a key keeps its seat, up to a limit per address. Of the others, the one that has sat longest
loses its seat when a new connection needs one. So an owner can get in and show a key even from an attacker's address,
or when all seats are taken.
"""

from collections.abc import Callable
from dataclasses import dataclass

from gcode.frozen import frozen


@frozen
class SeatLimits:
    """The largest numbers of open connections."""

    total: int
    without_key: int  # from one address
    with_key: int  # from one address


@dataclass(eq=False, slots=True)
class Seat:
    """One connection."""

    network: str
    close: Callable[[], None]
    has_key: bool = False  # it has shown a key


class Seats:
    """The open connections."""

    def __init__(self, limits: SeatLimits) -> None:
        self.limits = limits
        self._anonymous: dict[Seat, None] = {}  # those without a key; the longest seated first
        self._anonymous_of: dict[str, dict[Seat, None]] = {}
        self._keyed_of: dict[str, set[Seat]] = {}
        self._keyed_count = 0

    def __len__(self) -> int:
        """Return the number of open connections."""
        return len(self._anonymous) + self._keyed_count

    def take(self, network: str, close: Callable[[], None]) -> Seat | None:
        """Give a new connection a seat, if need be that of a connection without a key; None: all others have keys.

        Args:
            network: where the connection comes from.
            close: closes the connection; called when it loses its seat.
        """
        of_network = self._anonymous_of.get(network, {})
        if len(of_network) >= self.limits.without_key:
            self._vacate(next(iter(of_network)))
        elif len(self) >= self.limits.total:
            if not self._anonymous:
                return None
            self._vacate(next(iter(self._anonymous)))
        seat = Seat(network, close)
        self._anonymous[seat] = None
        self._anonymous_of.setdefault(network, {})[seat] = None
        return seat

    def _vacate(self, seat: Seat) -> None:
        self.leave(seat)
        seat.close()

    def note_key(self, seat: Seat) -> None:
        """Note that a connection has shown a key, unless its address has too many such connections already."""
        of_network = self._keyed_of.get(seat.network, set())
        if seat.has_key or seat not in self._anonymous or len(of_network) >= self.limits.with_key:
            return
        self._forget_anonymous(seat)
        seat.has_key = True
        self._keyed_count += 1
        self._keyed_of.setdefault(seat.network, of_network).add(seat)

    def leave(self, seat: Seat) -> None:
        """Give a seat back; idempotent."""
        if seat in self._anonymous:
            self._forget_anonymous(seat)
            return
        of_network = self._keyed_of.get(seat.network, set())
        if seat in of_network:
            self._keyed_count -= 1
            of_network.remove(seat)
            if not of_network:
                del self._keyed_of[seat.network]

    def _forget_anonymous(self, seat: Seat) -> None:
        del self._anonymous[seat]
        of_network = self._anonymous_of[seat.network]
        del of_network[seat]
        if not of_network:
            del self._anonymous_of[seat.network]
