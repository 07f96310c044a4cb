"""Signing: addresses that work without a key for a while, for an `<img>` or a link, which cannot send one. Pure.

The signature covers the address, its expiry and the key that requested it. The secret is only in memory.
"""

import hmac
import re
import secrets
from urllib.parse import quote, unquote

PERIOD = 600.0
"""Seconds in which the same signed address is issued again, so that browsers' caches work. It is valid for one to two
periods."""

KEY_DIGITS = 16  # of a key's hash, by which the key is found

_SIGNED = re.compile(r"(.*[?&])expires=(\d{1,12})&by=([0-9a-f]{16})&signature=([0-9a-f]{64})", re.ASCII | re.DOTALL)


class Signing:
    """Signs addresses, and verifies them."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def sign(self, address: str, digest: str, now: float) -> str:
        """Return the address with a signature appended.

        Args:
            address: path and query on this server.
            digest: of the key that requests it.
            now: the loop's time.
        """
        bare = f"{_canonical(address)}{'&' if '?' in address else '?'}"
        ends, by = int((now // PERIOD + 2) * PERIOD), digest[:KEY_DIGITS]
        return f"{bare}expires={ends}&by={by}&signature={self._signature(bare, ends, by)}"

    def find_signer(self, address: str, now: float) -> str | None:
        """Return the first digits of the hash of the key that signed an address; None: the signature is not valid."""
        if len(address) > 8192 or (match := _SIGNED.fullmatch(address)) is None:  # noqa: PLR2004 - a bound, any will do
            return None
        bare, ends, by, signature = match[1], int(match[2]), match[3], match[4]
        expected = self._signature(f"{_canonical(bare[:-1])}{bare[-1]}", ends, by)
        return by if hmac.compare_digest(signature, expected) and now < ends else None

    def _signature(self, bare: str, ends: int, by: str) -> str:
        return hmac.new(self._secret, f"{bare}{ends} {by}".encode("utf-8", "surrogateescape"), "sha256").hexdigest()


def _canonical(address: str) -> str:
    """Return an address with the escapes that browsers use."""
    path, mark, query = address.partition("?")
    return f"{quote(unquote(path))}{mark}{query}"
