"""Pairing: codes that can be exchanged for a key, once. Pure: the time is passed in.

A link with a code may remain in a browser's history, a chat or on a screen, but a used code is worthless. Codes are
stored as hashes, in memory. Wrong guesses do not invalidate them: otherwise anyone could invalidate a code, and 60 bits
cannot be guessed at the rate that `attempts` allows.
"""

import hmac
import secrets

from daemon.errors import KeyRefused, TooManyRequests
from daemon.front.access.keyring import digest
from daemon.front.access.scopes import Scope
from gcode.frozen import frozen

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's, without letters that are easily confused."""

LENGTH = 12  # letters of five bits
LIFETIME_S = 600.0
MAX_CODES = 16

_CONFUSABLE = str.maketrans("ILOU", "110V")


@frozen
class _Code:
    sha256: str
    scope: Scope
    expires_at: float


class Pairing:
    """The unused codes."""

    def __init__(self) -> None:
        self._codes: list[_Code] = []

    def make(self, scope: Scope, now: float) -> str:
        """Return a new code, in groups of four letters.

        Raises:
            TooManyRequests: too many are unused.
        """
        self._drop_expired(now)
        if len(self._codes) >= MAX_CODES:
            raise TooManyRequests(f"{MAX_CODES} pairing codes are still unused: try again later")
        letters = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
        self._codes.append(_Code(digest(letters), scope, now + LIFETIME_S))
        return "-".join(letters[at : at + 4] for at in range(0, LENGTH, 4))

    def use(self, code: str, now: float) -> Scope:
        """Use up a code, and return its scope.

        Raises:
            KeyRefused: the code is wrong, used or expired.
        """
        self._drop_expired(now)
        sha256 = digest(normalise(code))
        matching = [each for each in self._codes if hmac.compare_digest(each.sha256, sha256)]
        if matching:
            self._codes.remove(matching[0])
            return matching[0].scope
        raise KeyRefused("this code is wrong, used or expired; `nozzled pair` makes a new one")

    def _drop_expired(self, now: float) -> None:
        self._codes = [code for code in self._codes if now < code.expires_at]


def normalise(code: str) -> str:
    """Normalise a code: users add spaces and dashes, write small letters, and mistake O for 0."""
    letters = "".join(each for each in code.upper() if each.isascii() and each.isalnum())
    return letters.translate(_CONFUSABLE)
