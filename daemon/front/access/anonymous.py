"""AnonymousCosts: the work that each network may cause without a key. Pure: the time is passed in.

The wire shares the processor with every client that can reach the port. So the clients of each network that send no
key share a budget, in units of about one millisecond of work. Clients with a key have no limit.
"""

from collections import OrderedDict

from daemon.front.access.attempts import network_of

BURST = 100.0  # units that a network may spend at once
REFILL_RATE = 10.0  # units per second that are given back: 1 % of the time

REQUEST_COST = 1.0  # units
PIECE_COST = 0.2  # units for a piece of a body, up to 64 KiB
FILE_COST = 0.2  # units for a file of the page: a browser requests dozens at once

MAX_ADDRESSES = 1024


class AnonymousCosts:
    """The budgets of the networks seen most recently."""

    def __init__(self) -> None:
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()  # network → (units spent, when)

    def spend(self, address: str, units: float, now: float) -> bool:
        """Count the cost of a request; tell whether it is within the network's budget."""
        network = network_of(address)
        spent = self._spent_by(network, now) + units
        self._spent[network] = (min(spent, BURST + units), now)
        self._spent.move_to_end(network)
        while len(self._spent) > MAX_ADDRESSES:
            self._spent.popitem(last=False)
        return spent <= BURST

    def has_overspent(self, address: str, now: float) -> bool:
        """Tell whether the network's budget is too small for another request."""
        return self._spent_by(network_of(address), now) + REQUEST_COST > BURST

    def refund(self, address: str, units: float, now: float) -> None:
        """Give a cost back to the network's budget."""
        network = network_of(address)
        if network in self._spent:
            self._spent[network] = (max(0.0, self._spent_by(network, now) - units), now)

    def _spent_by(self, network: str, now: float) -> float:
        spent, when = self._spent.get(network, (0.0, now))
        return max(0.0, spent - (now - when) * REFILL_RATE)
