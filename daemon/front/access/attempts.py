"""Attempts: how often an address may show a wrong key. Pure: the time is passed in.

Only wrong keys are asked about: a key of 256 random bits cannot be guessed, so one that is valid is taken whatever else
comes from its address. The bucket is there to make guessing dull, and the log short.
"""

import functools
from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

FREE = 10
"""Wrong keys that an address may show in a row."""

REFILL = 6.0
"""Seconds after which it may show one more."""

MAX_ADDRESSES = 1024


class Attempts:
    """A bucket of attempts for each address, refilled slowly; the addresses seen last are remembered."""

    def __init__(self) -> None:
        self._failed: OrderedDict[str, tuple[float, float, int]] = OrderedDict()  # network → (used, when, refused)

    def wait(self, address: str, now: float) -> float:
        """Return for how many seconds one more wrong key from there is one too many; 0: it is not."""
        used, when, _ = self._of(address, now)
        over = used - (now - when) / REFILL - (FREE - 1)
        return max(0.0, over * REFILL)

    def failed(self, address: str, now: float) -> int:
        """Count a wrong key; return how many this address has shown since it is remembered."""
        used, when, refused = self._of(address, now)
        network = network_of(address)
        self._failed[network] = (max(0.0, used - (now - when) / REFILL) + 1.0, now, refused + 1)
        self._failed.move_to_end(network)
        while len(self._failed) > MAX_ADDRESSES:
            self._failed.popitem(last=False)
        return refused + 1

    def _of(self, address: str, now: float) -> tuple[float, float, int]:
        return self._failed.get(network_of(address), (0.0, now, 0))


@functools.lru_cache(MAX_ADDRESSES)  # it is asked for with every request
def network_of(address: str) -> str:
    """Return who counts as one: an IPv4 address, or the /64 that a household has in IPv6."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return parsed.exploded[:19]
