"""Attempts: limits wrong keys per address. Pure: the time is passed in.

A valid key is accepted whatever else its address sends: 256 random bits cannot be guessed. The limit slows down
guessing, and keeps the log short.
"""

import functools
from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

MAX_WRONG_KEYS = 10  # at once
REFILL_S = 6.0  # after this long, one more is allowed

MAX_ADDRESSES = 1024


class Attempts:
    """How many wrong keys each network has sent, for the networks seen most recently."""

    def __init__(self) -> None:
        # network → (level: wrong keys that still count, time at which it had this level, all wrong keys)
        self._levels: OrderedDict[str, tuple[float, float, int]] = OrderedDict()

    def delay(self, address: str, now: float) -> float:
        """Return the seconds until this address may send another wrong key; 0: it may now."""
        level, when, _ = self._level_of(address, now)
        excess = level - (now - when) / REFILL_S - (MAX_WRONG_KEYS - 1)
        return max(0.0, excess * REFILL_S)

    def count_wrong_key(self, address: str, now: float) -> int:
        """Count a wrong key; return how many this address has sent."""
        level, when, count = self._level_of(address, now)
        network = network_of(address)
        self._levels[network] = (max(0.0, level - (now - when) / REFILL_S) + 1.0, now, count + 1)
        self._levels.move_to_end(network)
        while len(self._levels) > MAX_ADDRESSES:
            self._levels.popitem(last=False)
        return count + 1

    def _level_of(self, address: str, now: float) -> tuple[float, float, int]:
        return self._levels.get(network_of(address), (0.0, now, 0))


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
