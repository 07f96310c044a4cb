"""Strangers: what an address may cost before it has shown a key. Pure: the time is passed in.

The wire shares its processor with whoever can reach the port. A bucket for each address, in units of about one
millisecond of work, bounds what that is worth to somebody who has no key; who has one is not counted.
"""

from collections import OrderedDict

from daemon.front.access.attempts import network_of

BURST = 100.0
REFILL = 10.0
"""Units that an address without a key may have at once, and units that come back each second: 1 % of the time."""

REQUEST = 1.0
FRAME = 1.0
PIECE = 0.2
FILE = 0.2
"""Units for a request, a frame on a socket, a piece of a body (64 KiB where it comes fast), and for a file of the page,
of which a browser asks for dozens at once."""

MAX_ADDRESSES = 1024


class Strangers:
    """The buckets; the addresses seen last are remembered."""

    def __init__(self) -> None:
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()  # network → (units spent, when)

    def spend(self, address: str, units: float, now: float) -> bool:
        """Count what an address has cost; tell whether it had so much left."""
        network = network_of(address)
        spent = self._of(network, now) + units
        over = spent > BURST
        self._spent[network] = (min(spent, BURST + units), now)
        self._spent.move_to_end(network)
        while len(self._spent) > MAX_ADDRESSES:
            self._spent.popitem(last=False)
        return not over

    def owes(self, address: str, now: float) -> bool:
        """Tell whether an address has nothing left for one more request."""
        return self._of(network_of(address), now) + REQUEST > BURST

    def forgive(self, address: str, units: float, now: float) -> None:
        """Count what an address has cost no more: it was no stranger's."""
        network = network_of(address)
        if network in self._spent:
            self._spent[network] = (max(0.0, self._of(network, now) - units), now)

    def _of(self, network: str, now: float) -> float:
        spent, when = self._spent.get(network, (0.0, now))
        return max(0.0, spent - (now - when) * REFILL)
