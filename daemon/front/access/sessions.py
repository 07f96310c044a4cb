"""Sessions: what a login gives, for the socket alone, which cannot send a header. In memory, bounded, mortal. Pure."""

import secrets
from collections import OrderedDict

from daemon.front.access.scopes import Identity
from gcode.frozen import mutable

LIFETIME = 24 * 3600.0
"""Seconds after its last use that a session ends."""

MAX_SESSIONS = 64
"""Of one key; no key ends the sessions of another, however often it logs in. How many keys there are is bounded."""


@mutable
class Session:
    """A login: by which key, and when it was last of use (the loop's time)."""

    id: str
    identity: Identity
    used: float


class Sessions:
    """The sessions that are open, those used last at the end."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, Session] = OrderedDict()

    def begin(self, identity: Identity, now: float) -> Session:
        """Open a session; of those of the same key the one longest unused goes where there are too many."""
        same = [each for each in self._open.values() if each.identity.digest == identity.digest]
        for each in same[: len(same) - MAX_SESSIONS + 1]:
            del self._open[each.id]
        session = Session(secrets.token_urlsafe(24), identity, now)
        self._open[session.id] = session
        return session

    def find(self, given: str, user: str, now: float) -> Session | None:
        """Return the session of this id and user, and count that as a use; None for one that has ended."""
        session = self._open.get(given)
        if session is None or session.identity.name != user:
            return None
        if now - session.used > LIFETIME:
            del self._open[given]
            return None
        session.used = now
        self._open.move_to_end(given)
        return session

    def is_open(self, session: Session) -> bool:
        """Tell whether nobody has ended it."""
        return session.id in self._open

    def end(self, digest: str, only: str | None = None) -> None:
        """End the sessions of a key, or one of them."""
        for session in [*self._open.values()]:
            if session.identity.digest == digest and only in (None, session.id):
                del self._open[session.id]
