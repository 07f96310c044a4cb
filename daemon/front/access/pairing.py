"""Pairing: codes that are exchanged for a key, once. Pure: the time is passed in.

A link with such a code may lie in a browser's history, a chat or on a screen: it is worth nothing once it was used.
Codes are kept as hashes, in memory. Wrong ones end none of them, else any stranger could: 60 bits cannot be guessed at
the rate that `attempts` leaves to an address.
"""

import hmac
import secrets

from daemon.errors import KeyRefused, TooManyRequests
from daemon.front.access.keyring import digest
from daemon.front.access.scopes import Scope
from gcode.frozen import frozen

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's: what is easily read as something else is not in it."""

LENGTH = 12  # letters of five bits
LIFETIME = 600.0  # s
MAX_CODES = 16

_ALIKE = str.maketrans("ILOU", "110V")


@frozen
class _Code:
    sha256: str
    scope: Scope
    ends: float


class Pairing:
    """The codes that wait to be used."""

    def __init__(self) -> None:
        self._codes: list[_Code] = []

    def make(self, scope: Scope, now: float) -> str:
        """Make a code, as people read it.

        Raises:
            TooManyRequests: too many wait.
        """
        self._forget(now)
        if len(self._codes) >= MAX_CODES:
            raise TooManyRequests(f"{MAX_CODES} pairing codes are waiting to be used, try again later")
        letters = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
        self._codes.append(_Code(digest(letters), scope, now + LIFETIME))
        return "-".join(letters[at : at + 4] for at in range(0, LENGTH, 4))

    def use(self, given: str, now: float) -> Scope:
        """Return what a code allows; it can be used no more.

        Raises:
            KeyRefused: it is none, was used, or has expired.
        """
        self._forget(now)
        sha256 = digest(plain(given))
        found = [code for code in self._codes if hmac.compare_digest(code.sha256, sha256)]
        if found:
            self._codes.remove(found[0])
            return found[0].scope
        raise KeyRefused("this code is wrong, used or expired; `nozzled pair` makes a new one")

    def _forget(self, now: float) -> None:
        self._codes = [code for code in self._codes if now < code.ends]


def plain(given: str) -> str:
    """Return a code without what people add or mistake: blanks, dashes, small letters, O for 0."""
    letters = "".join(each for each in given.upper() if each.isascii() and each.isalnum())
    return letters.translate(_ALIKE)
