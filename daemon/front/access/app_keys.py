"""AppKeys: programs that ask for a key, and people who decide. Pure: the time is passed in.

The app knows one token, by which it asks for the answer; who decides knows another, so that no app allows itself in.
"""

import hashlib
import secrets

from daemon.errors import TooManyRequests
from daemon.front.access.pairing import ALPHABET
from daemon.front.access.scopes import Scope
from gcode.frozen import mutable

POLL = 15.0
WINDOW = 600.0
"""Seconds: an app that does not ask for so long has gone; nobody decides later than that."""

COLLECT = 60.0
"""Seconds that a key can be fetched, also twice: an answer may be lost on its way."""

MAX_PENDING = 16
MAX_PER_ADDRESS = 3
MAX_NAME = 60


@mutable
class AppRequest:
    """A program that asks for a key."""

    app: str
    address: str
    app_token: str
    user_token: str
    asked: float
    polled: float

    @property
    def mark(self) -> str:
        """Four letters that both see, the app's user and who decides: so nobody allows another one in its place."""
        letters = hashlib.sha256(self.app_token.encode()).digest()
        return "".join(ALPHABET[letter % len(ALPHABET)] for letter in letters[:4])


class AppKeys:
    """Requests that wait for a decision, and keys that wait to be fetched."""

    def __init__(self) -> None:
        self._pending: list[AppRequest] = []
        self._granted: dict[str, tuple[str, float]] = {}  # token of the app → key, when

    def ask(self, app: str, address: str, now: float) -> AppRequest:
        """Take a request.

        Raises:
            TooManyRequests: too many wait, from everywhere or from this address.
        """
        pending = self.pending(now)
        same = sum(each.address == address for each in pending)
        if len(pending) >= MAX_PENDING or same >= MAX_PER_ADDRESS:
            raise TooManyRequests("too many apps are waiting for a decision, try again later")
        request = AppRequest(app, address, secrets.token_urlsafe(24), secrets.token_hex(8), now, now)
        self._pending.append(request)
        return request

    def pending(self, now: float) -> list[AppRequest]:
        """Return what waits for a decision; who has not asked for it lately has gone."""
        self._pending = [each for each in self._pending if now - each.polled <= POLL and now - each.asked <= WINDOW]
        self._granted = {token: each for token, each in self._granted.items() if now - each[1] <= COLLECT}
        return [*self._pending]

    def find(self, now: float, *, app_token: str = "", user_token: str = "") -> AppRequest | None:
        """Return the request of one of its tokens."""
        for each in self.pending(now):
            if app_token == each.app_token or user_token == each.user_token:
                return each
        return None

    def poll(self, app_token: str, now: float) -> AppRequest | str | None:
        """Return the request while it waits, the key once it is granted; None when there is nothing to hope for."""
        if (request := self.find(now, app_token=app_token)) is not None:
            request.polled = now
            return request
        key, _ = self._granted.get(app_token, (None, 0.0))
        return key

    def deny(self, request: AppRequest) -> None:
        """Forget a request."""
        self._pending = [each for each in self._pending if each is not request]

    def grant(self, request: AppRequest, key: str, now: float) -> None:
        """Keep the key until the app fetches it."""
        self.deny(request)
        self._granted[request.app_token] = (key, now)


def scope_of(text: object) -> Scope:
    """Return the scope that a decision names; control where it names none.

    Raises:
        ValueError: it is none.
    """
    return Scope.CONTROL if text in (None, "") else Scope.named(str(text))
