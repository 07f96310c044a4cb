"""Attempts: how often an address may show a wrong key. Pure: the time is passed in.

An address that has shown a key that is valid keeps it: a stranger behind the same router, or a page in the user's own
browser, cannot lock anybody out by guessing badly.
"""

import functools
from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

FREE = 10
"""Wrong keys that an address may show in a row."""

REFILL = 6.0
"""Seconds after which it may show one more."""

MAX_ADDRESSES = 1024
MAX_TRUSTED = 512


class Attempts:
    """A bucket of attempts for each address, refilled slowly; the addresses seen last are remembered."""

    def __init__(self) -> None:
        self._failed: OrderedDict[str, tuple[float, float]] = OrderedDict()  # network → (attempts used, when)
        self._trusted: OrderedDict[tuple[str, str], None] = OrderedDict()  # (network, hash of a key)

    def wait(self, address: str, sha256: str, now: float) -> float:
        """Return how many seconds this key may not be tried from there; 0: it may."""
        network = network_of(address)
        if (network, sha256) in self._trusted:
            return 0.0
        used, when = self._failed.get(network, (0.0, now))
        over = used - (now - when) / REFILL - (FREE - 1)
        return max(0.0, over * REFILL)

    def failed(self, address: str, now: float) -> None:
        """Count a wrong key."""
        network = network_of(address)
        used, when = self._failed.pop(network, (0.0, now))
        self._failed[network] = (max(0.0, used - (now - when) / REFILL) + 1.0, now)
        _shorten(self._failed, MAX_ADDRESSES)

    def worked(self, address: str, sha256: str) -> None:
        """Remember that a key is known there."""
        trusted = (network_of(address), sha256)
        self._trusted[trusted] = None
        self._trusted.move_to_end(trusted)
        _shorten(self._trusted, MAX_TRUSTED)


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


def _shorten(kept: "OrderedDict[str, tuple[float, float]] | OrderedDict[tuple[str, str], None]", most: int) -> None:
    while len(kept) > most:
        kept.popitem(last=False)
