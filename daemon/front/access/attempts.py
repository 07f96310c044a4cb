"""Attempts: limits wrong keys per address. Pure: the time is passed in.

A valid key is accepted whatever else its address sends: 256 random bits cannot be guessed. The limit slows down
guessing, and keeps the log short.
"""

import functools
from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

MAX_FAILED = 10  # wrong keys in a row
REFILL = 6.0  # s after which one more is allowed

MAX_ADDRESSES = 1024


class Attempts:
    """How many wrong keys each network has sent, for the networks seen most recently."""

    def __init__(self) -> None:
        self._failed: OrderedDict[str, tuple[float, float, int]] = OrderedDict()  # network → (used, when, refused)

    def wait(self, address: str, now: float) -> float:
        """Return the seconds until this address may send another wrong key; 0: it may now."""
        used, when, _ = self._of(address, now)
        excess = used - (now - when) / REFILL - (MAX_FAILED - 1)
        return max(0.0, excess * REFILL)

    def add_failed(self, address: str, now: float) -> int:
        """Count a wrong key; return how many this address has sent."""
        used, when, refused = self._of(address, now)
        network = network_of(address)
        self._failed[network] = (max(0.0, used - (now - when) / REFILL) + 1.0, now, refused + 1)
        self._failed.move_to_end(network)
        while len(self._failed) > MAX_ADDRESSES:
            self._failed.popitem(last=False)
        return refused + 1

    def _of(self, address: str, now: float) -> tuple[float, float, int]:
        return self._failed.get(network_of(address), (0.0, now, 0))


@functools.lru_cache(MAX_ADDRESSES)  # every request needs it
def network_of(address: str) -> str:
    """Return the network that counts as one client: an IPv4 address, or an IPv6 /64, which a household has."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return parsed.exploded[:19]
