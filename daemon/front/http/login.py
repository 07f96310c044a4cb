"""/api/login, /api/logout, /api/currentuser: who the client is. Keys and no passwords, sessions and no cookies.

A session is for the socket alone, and is asked for by hand: a page of somebody else cannot use it.
"""

from typing import Any

from daemon.errors import KeyRefused
from daemon.front.access.scopes import Identity, groups, permissions
from daemon.front.access.sessions import Session
from daemon.front.http.base import ApiHandler
from daemon.front.http.errors import Refused

GUEST: dict[str, Any] = {"name": None, "permissions": [], "groups": ["guests"]}


class LoginHandler(ApiHandler):
    """/api/login."""

    for_everybody = True

    def post(self) -> None:
        """Tell who comes with the key, with a session for the socket; without a key only that it is nobody."""
        data = self.json_body()
        if not data.get("passive") and {"user", "pass"} <= data.keys():
            raise KeyRefused("there are no passwords here: use an API key, with a passive login")
        if not data.get("passive"):
            raise Refused(400, "Mandatory parameters missing")
        if self.identity is None:
            self.write({"needs": {"role": [], "group": ["guests"]}, "groups": ["guests"], "permissions": []})
        else:
            self.write(_user(self.identity, self.service.access.begin_session(self.identity)))


def _user(identity: Identity, session: Session) -> dict[str, Any]:
    """Return OctoPrint's record of a user; the key itself is in no answer."""
    allowed, member = permissions(identity.scope), groups(identity.scope)
    return {
        "name": identity.name,
        "session": session.id,
        "active": True,
        "user": True,
        "admin": "admins" in member,
        "apikey": None,
        "groups": member,
        "roles": ["admin", "user"] if "admins" in member else ["user"],
        "permissions": allowed,
        "needs": {"role": [name.lower() for name in allowed], "group": member},
        "settings": {},
        "_is_external_client": False,
        "_login_mechanism": "apikey",
    }


class LogoutHandler(ApiHandler):
    """/api/logout."""

    writes = ApiHandler.reads

    def post(self) -> None:
        """End the sessions of this key, or the one that the body names as `session`."""
        only = self.json_body().get("session") if self.body else None
        if self.identity is not None:
            self.service.access.sessions.end(self.identity.digest, only if isinstance(only, str) else None)
        self.no_content()


class CurrentUserHandler(ApiHandler):
    """/api/currentuser."""

    for_everybody = True

    def get(self) -> None:
        """Tell name and permissions; 200 also for nobody."""
        if self.identity is None:
            self.write(GUEST)
            return
        allowed, member = permissions(self.identity.scope), groups(self.identity.scope)
        self.write({"name": self.identity.name, "permissions": allowed, "groups": member})
