"""AppKeys: apps request keys, and users decide. Pure: the time is passed in.

The app polls with one token; users decide with another, which the app does not know, so it cannot admit itself.
"""

import hashlib
import secrets

from daemon.errors import TooManyRequests
from daemon.front.access.pairing import ALPHABET
from daemon.front.access.scopes import Scope
from gcode.frozen import mutable

POLL_TIMEOUT = 15.0  # s without a poll after which an app counts as gone
DECISION_TIMEOUT = 600.0  # s to decide
FETCH_TIMEOUT = 60.0  # s in which an app can fetch its key, more than once: an answer may be lost

MAX_REQUESTS = 16
MAX_PER_ADDRESS = 3
MAX_NAME = 60  # characters


@mutable
class AppRequest:
    """An app's request for a key; `is_being_granted`: a user has allowed it, and the key is being stored."""

    app: str
    address: str
    app_token: str
    user_token: str
    asked_at: float
    polled_at: float
    is_being_granted: bool = False

    @property
    def mark(self) -> str:
        """Four letters that the app and the page show beside the request, so that users do not admit another app."""
        letters = hashlib.sha256(self.app_token.encode()).digest()
        return "".join(ALPHABET[letter % len(ALPHABET)] for letter in letters[:4])


class AppKeys:
    """The open requests, and the keys that wait to be fetched."""

    def __init__(self) -> None:
        self._requests: list[AppRequest] = []
        self._keys: dict[str, tuple[str, float]] = {}  # token of the app → granted key, time of the grant

    def ask(self, app: str, address: str, now: float) -> AppRequest:
        """Add a request.

        Raises:
            TooManyRequests: too many are open, in total or from this address.
        """
        requests = self.open_requests(now)
        from_address = sum(each.address == address for each in requests)
        if len(requests) >= MAX_REQUESTS or from_address >= MAX_PER_ADDRESS:
            raise TooManyRequests("too many apps are waiting for a decision, try again later")
        request = AppRequest(app, address, secrets.token_urlsafe(24), secrets.token_hex(8), now, now)
        self._requests.append(request)
        return request

    def open_requests(self, now: float) -> list[AppRequest]:
        """Return the open requests, without those of apps that have gone."""
        self._requests = [
            each
            for each in self._requests
            if now - each.polled_at <= POLL_TIMEOUT and now - each.asked_at <= DECISION_TIMEOUT
        ]
        self._keys = {token: each for token, each in self._keys.items() if now - each[1] <= FETCH_TIMEOUT}
        return [*self._requests]

    def find(self, now: float, *, app_token: str = "", user_token: str = "") -> AppRequest | None:
        """Return the request with this token."""
        for each in self.open_requests(now):
            if app_token == each.app_token or user_token == each.user_token:
                return each
        return None

    def poll(self, app_token: str, now: float) -> AppRequest | str | None:
        """Return the request while it is open, then the granted key; None if it was denied or has expired."""
        if (request := self.find(now, app_token=app_token)) is not None:
            request.polled_at = now
            return request
        key, _ = self._keys.get(app_token, (None, 0.0))
        return key

    def deny(self, request: AppRequest) -> None:
        """Remove a request."""
        self._requests = [each for each in self._requests if each is not request]

    def grant(self, request: AppRequest, key: str, now: float) -> None:
        """Store the key until the app fetches it."""
        self.deny(request)
        self._keys[request.app_token] = (key, now)


def scope_of(text: object) -> Scope:
    """Return the scope that a decision names, by default control.

    Raises:
        ValueError: there is no such scope.
    """
    return Scope.CONTROL if text in (None, "") else Scope.named(str(text))
