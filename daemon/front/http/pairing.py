"""/api/pair and /api/keys: a browser trades a pairing code for a key; users list and revoke keys."""

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from daemon.errors import BadKeyName, KeyRefused, NoSuchKey
from daemon.front.access import hosts
from daemon.front.access.keyring import NamedKey
from daemon.front.access.scopes import OWNER, Scope
from daemon.front.access.step_ups import LIFETIME_S
from daemon.front.http.base import ApiHandler
from daemon.front.invitation import invite, roots
from daemon.http.errors import Refused

if TYPE_CHECKING:
    from daemon.front.front import Front
    from daemon.front.push.hub import Hub

MAX_NAME = 60  # characters
MAX_CODE = 64  # characters
MAX_KEY = 256  # characters of a key
QUIET_ZONE = 4  # modules around a QR code that stay light
MAX_SAME_NAME = 50  # keys of one name: browsers of one kind all give the same name


class PairHandler(ApiHandler):
    """/api/pair."""

    is_public = True
    checks_keys = False

    async def post(self) -> None:
        """Trade a code for a key, under the name that the browser gives; the key is shown only now."""
        data = self.json_body()
        code, name = data.get("code"), data.get("name", "Browser")
        if not isinstance(code, str) or len(code) > MAX_CODE:
            raise Refused(400, f"code must be a string of at most {MAX_CODE} characters")
        if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME or not name.isprintable():
            raise BadKeyName(f"name must be the browser's name, of 1 to {MAX_NAME} characters")
        scope = self.service.access.pair(code, self.client)
        name, key = await asyncio.to_thread(
            self.service.access.keyring.add_numbered, name.strip(), scope, MAX_SAME_NAME
        )
        self.set_status(201)
        self.write({"key": key, "name": name, "scope": scope.label})


class CodesHandler(ApiHandler):
    """/api/pair/codes."""

    write_scope = Scope.ADMIN

    async def post(self) -> None:
        """Create a code, and links to the page that carry it."""
        data = self.json_body()
        label = data.get("scope", Scope.CONTROL.label)
        try:
            scope = Scope.named(label if isinstance(label, str) else "")
        except ValueError as error:
            raise Refused(400, str(error)) from error
        now = asyncio.get_running_loop().time()
        invitation = invite(self.service.access, scope, await self._roots(), now)
        self.set_status(201)
        qr = await asyncio.to_thread(qr_code, invitation.links[0])
        links = {"link": invitation.links[0], "links": invitation.links}
        expires = round(invitation.lifetime_s)
        self.write({"qr": qr, "code": invitation.code, **links, "expires": expires, "scope": scope.label})

    async def _roots(self) -> list[str]:
        """Return the page's address in this request or, if that works only on this machine, those for other devices."""
        host_name = hosts.host_of(self.request.host)
        if not hosts.is_for_this_machine(host_name):
            return [self.url("/")]
        hostnames, host = self.service.config.http.hostnames, self.settings["host"]
        if hosts.name_for_others(host, hostnames) is None:
            return [self.url("/")]
        try:
            port = urlsplit(f"//{self.request.host}").port or 80
        except ValueError as error:
            raise Refused(400, "the header Host does not have a valid port") from error
        return await asyncio.to_thread(roots, host, port, hostnames)


def qr_code(link: str) -> dict[str, Any]:
    """Return a link as a QR code: its size with the quiet zone, in modules, and an SVG path of its dark modules."""
    import segno  # noqa: PLC0415 - only needed here

    rows = [*segno.make(link, error="m").matrix_iter(border=QUIET_ZONE)]
    squares = [f"M{x} {y}h1v1h-1z" for y, row in enumerate(rows) for x, dark in enumerate(row) if dark]
    return {"size": len(rows), "path": "".join(squares)}


class StepUpHandler(ApiHandler):
    """/api/stepup: a key with a smaller scope gets scope admin for a while."""

    write_scope = Scope.READ

    def post(self) -> None:
        """Create a temporary key, in exchange for a code or key of scope admin; the page keeps it only in memory."""
        data = self.json_body()
        names = [name for name in ("code", "key") if isinstance(data.get(name), str) and 0 < len(data[name]) <= MAX_KEY]
        if len(names) != 1 or self.identity is None:
            raise Refused(400, "either a code or a key of scope admin must be given")
        secret = data[names[0]]
        key = self.service.access.step_up(self.identity, secret, self.client, is_code=names[0] == "code")
        self.set_status(201)
        self.write({"key": key, "expires": round(LIFETIME_S)})

    def delete(self) -> None:
        """Revoke the temporary keys of this key."""
        if self.identity is not None:
            self.service.access.step_ups.end(self.identity.digest)
        self.no_content()


class KeysHandler(ApiHandler):
    """/api/keys."""

    def get(self) -> None:
        """List the keys, with Unix times in s; without scope admin, only the client's own."""
        own = self.identity
        keys = [self._as_json(key) for key in self.service.access.keyring.keys]
        if own is None or own.scope < Scope.ADMIN:
            keys = [key for key in keys if key["own"]]
        self.write({"keys": keys})

    def _as_json(self, key: NamedKey) -> dict[str, Any]:
        own = self.identity is not None and self.identity.digest == key.sha256
        dates = {"made": key.created, "used": key.last_used}
        return {"name": key.name, "scope": key.scope, **dates, "app": key.app, "own": own}


class KeyHandler(ApiHandler):
    """/api/keys/<name>."""

    write_scope = Scope.READ  # every key may revoke itself

    def initialize(self, service: "Front", hub: "Hub") -> None:  # type: ignore[override]  # Tornado passes what the route says
        """Store the service and the hub."""
        super().initialize(service)
        self.hub = hub

    async def delete(self, name: str) -> None:
        """Revoke a key; its sockets get no more messages."""
        own = self.identity
        if own is None or (own.scope < Scope.ADMIN and own.name != name):
            raise KeyRefused("this needs a key of scope admin; other keys may only revoke themselves")
        if name == OWNER:
            raise NoSuchKey(f"the key {OWNER} cannot be revoked: `nozzled key --rotate` replaces it")
        await asyncio.to_thread(self.service.access.keyring.revoke, name)
        self.hub.check_keys()
        self.no_content()
