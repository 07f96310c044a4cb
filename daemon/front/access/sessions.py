"""Sessions: logins for the push socket, which cannot send a key in a header. In memory, bounded, expiring. Pure."""

import secrets
from collections import OrderedDict

from daemon.front.access.scopes import Identity
from gcode.frozen import mutable

LIFETIME_S = 24 * 3600.0  # after its last use
MAX_SESSIONS = 64  # of one key, so that no key can end the sessions of another; the number of keys is bounded


@mutable
class Session:
    """A login; `used_at` is the time of its last use, by the loop's clock."""

    id: str
    identity: Identity
    used_at: float


class Sessions:
    """The open sessions, the least recently used first."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def begin(self, identity: Identity, now: float) -> Session:
        """Open a session; if the key has too many, its least recently used one ends."""
        sessions_of_key = [each for each in self._sessions.values() if each.identity.digest == identity.digest]
        for each in sessions_of_key[: len(sessions_of_key) - MAX_SESSIONS + 1]:
            del self._sessions[each.id]
        session = Session(secrets.token_urlsafe(24), identity, now)
        self._sessions[session.id] = session
        return session

    def find(self, session_id: str, user: str, now: float) -> Session | None:
        """Return the session with this id and user, which counts as a use; None if it has ended."""
        session = self._sessions.get(session_id)
        if session is None or session.identity.name != user:
            return None
        if now - session.used_at > LIFETIME_S:
            del self._sessions[session_id]
            return None
        session.used_at = now
        self._sessions.move_to_end(session_id)
        return session

    def is_open(self, session: Session) -> bool:
        """Tell whether a session has not been ended."""
        return session.id in self._sessions

    def end(self, digest: str, only: str | None = None) -> None:
        """End all sessions of a key, or only one of them."""
        for session in [*self._sessions.values()]:
            if session.identity.digest == digest and only in (None, session.id):
                del self._sessions[session.id]
