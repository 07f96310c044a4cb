"""Seats: which connections there may be, all together and of strangers from one address. Pure.

Who has shown a key keeps the seat. A stranger keeps it until another one needs it: whoever has sat longest without a
key goes. So an owner who comes from an attacker's own address, or when all seats are taken, gets in to show a key.
"""

from collections.abc import Callable
from dataclasses import dataclass

from gcode.frozen import frozen


@frozen
class SeatLimits:
    """Connections at once: from everybody, of strangers from one address, and of those with a key from one address."""

    all: int
    each: int
    known: int


@dataclass(eq=False, slots=True)
class Seat:
    """One connection."""

    network: str
    close: Callable[[], None]
    known: bool = False  # it has shown a key


class Seats:
    """The connections that there are."""

    def __init__(self, limits: SeatLimits) -> None:
        self.limits = limits
        self._strangers: dict[Seat, None] = {}  # who has sat longest comes first
        self._strangers_of: dict[str, dict[Seat, None]] = {}
        self._known_of: dict[str, set[Seat]] = {}
        self._known = 0

    def __len__(self) -> int:
        """Return how many connections there are."""
        return len(self._strangers) + self._known

    def take(self, network: str, close: Callable[[], None]) -> Seat | None:
        """Take a seat for a connection from there, if need be that of another stranger; None: there is none to be had.

        Args:
            network: where it comes from.
            close: ends the connection; called when the seat is given to somebody else.
        """
        of_network = self._strangers_of.get(network, {})
        if len(of_network) >= self.limits.each:
            self._vacate(next(iter(of_network)))
        elif len(self) >= self.limits.all:
            if not self._strangers:
                return None
            self._vacate(next(iter(self._strangers)))
        seat = Seat(network, close)
        self._strangers[seat] = None
        self._strangers_of.setdefault(network, {})[seat] = None
        return seat

    def _vacate(self, seat: Seat) -> None:
        self.leave(seat)
        seat.close()

    def know(self, seat: Seat) -> None:
        """Have a connection keep its seat: it has shown a key. One of too many stays a stranger's."""
        of_network = self._known_of.get(seat.network, set())
        if seat.known or seat not in self._strangers or len(of_network) >= self.limits.known:
            return
        self._forget_stranger(seat)
        seat.known = True
        self._known += 1
        self._known_of.setdefault(seat.network, of_network).add(seat)

    def leave(self, seat: Seat) -> None:
        """Give a seat back; idempotent."""
        if seat in self._strangers:
            self._forget_stranger(seat)
            return
        of_network = self._known_of.get(seat.network, set())
        if seat in of_network:
            self._known -= 1
            of_network.remove(seat)
            if not of_network:
                del self._known_of[seat.network]

    def _forget_stranger(self, seat: Seat) -> None:
        del self._strangers[seat]
        of_network = self._strangers_of[seat.network]
        del of_network[seat]
        if not of_network:
            del self._strangers_of[seat.network]
