"""/api/login, /api/logout, /api/currentuser: log in with a key instead of a password, for a session without cookies.

A session is only for the push socket, whose client sends it explicitly: a foreign page cannot use it.
"""

from typing import Any
from urllib.parse import parse_qsl

from daemon.errors import KeyRefused
from daemon.front.access.scopes import Identity, groups, permissions
from daemon.front.access.sessions import Session
from daemon.front.http.base import ApiHandler, is_true
from daemon.front.http.users import user
from daemon.http.errors import Refused

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
MAX_FIELDS = 16

GUEST: dict[str, Any] = {"name": None, "permissions": [], "groups": ["guests"]}


class LoginHandler(ApiHandler):
    """/api/login."""

    is_public = True

    def post(self) -> None:
        """Return the key's user with a session for the socket; without a key, a guest."""
        data = self._fields()
        passive = is_true(data.get("passive", False))
        if not passive and {"user", "pass"} <= data.keys():
            raise KeyRefused("there are no passwords here: use an API key, with a passive login")
        if "passive" not in data:  # OctoPrint does not look at its value either
            raise Refused(400, "Mandatory parameters missing")
        if self.identity is None:
            self.write({"needs": {"role": [], "group": ["guests"]}, "groups": ["guests"], "permissions": []})
        else:
            self.write(_user(self.identity, self.service.access.begin_session(self.identity)))

    def _fields(self) -> dict[str, Any]:
        """Return the fields of the body, JSON or a form, and of the query."""
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if not self.body:
            fields: dict[str, Any] = {}
        elif kind == FORM:
            try:
                fields = dict(parse_qsl(self.body.decode("utf-8", "replace"), max_num_fields=MAX_FIELDS))
            except ValueError as error:
                raise Refused(400, f"a form may have at most {MAX_FIELDS} fields") from error
        elif kind == MULTIPART:
            fields = self._form()
        else:
            fields = self.json_body()
        return {name: self.get_query_argument(name) for name in self.request.query_arguments} | fields

    def _form(self) -> dict[str, Any]:
        from tornado.httputil import HTTPInputError, parse_body_arguments  # noqa: PLC0415 - rarely used

        fields: dict[str, list[bytes]] = {}
        try:
            parse_body_arguments(self.request.headers["Content-Type"], bytes(self.body), fields, {})
        except HTTPInputError as error:
            raise Refused(400, "the form cannot be read") from error
        return {name: _text(values[-1]) for name, values in [*fields.items()][:MAX_FIELDS]}


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _user(identity: Identity, session: Session) -> dict[str, Any]:
    """Return the record of a user who has just logged in."""
    return {
        **user(identity.name, identity.scope),
        "session": session.id,
        "_is_external_client": False,
        "_login_mechanism": "apikey",
    }


class LogoutHandler(ApiHandler):
    """/api/logout."""

    write_scope = ApiHandler.read_scope

    def post(self) -> None:
        """End all sessions of this key, or only the one that the body names as `session`."""
        only = self.json_body().get("session") if self.body else None
        if self.identity is not None:
            self.service.access.sessions.end(self.identity.digest, only if isinstance(only, str) else None)
        self.no_content()


class CurrentUserHandler(ApiHandler):
    """/api/currentuser."""

    is_public = True

    def get(self) -> None:
        """Show name and permissions; 200 even without a key."""
        if self.identity is None:
            self.write(GUEST)
            return
        allowed, member = permissions(self.identity.scope), groups(self.identity.scope)
        self.write({"name": self.identity.name, "permissions": allowed, "groups": member})
