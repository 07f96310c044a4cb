"""/api/pair and /api/keys: a browser gets a key of its own for a code; people see their keys and take them away."""

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from daemon.errors import BadKeyName, KeyNameTaken, KeyRefused, NoSuchKey
from daemon.front.access import hosts
from daemon.front.access.keyring import NamedKey
from daemon.front.access.raised import LIFETIME
from daemon.front.access.scopes import FIRST, Scope
from daemon.front.http.base import ApiHandler
from daemon.front.invitation import invite, roots
from daemon.http.errors import Refused

if TYPE_CHECKING:
    from daemon.front.front import Front
    from daemon.front.push.hub import Hub

MAX_NAME = 60
MAX_CODE = 64  # characters
MAX_KEY = 256  # characters of a key
QUIET = 4  # modules around a QR code that stay light
MAX_TWINS = 50  # keys of one name: each browser of a kind that is paired calls itself the same


class PairHandler(ApiHandler):
    """/api/pair: a code for a key."""

    for_everybody = True
    judges_keys = False

    async def post(self) -> None:
        """Give a key, by the name that the browser has for itself; it is shown this once."""
        data = self.json_body()
        code, name = data.get("code"), data.get("name", "Browser")
        if not isinstance(code, str) or len(code) > MAX_CODE:
            raise Refused(400, f"code must be a text of at most {MAX_CODE} characters")
        if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME or not name.isprintable():
            raise BadKeyName(f"name must be that of the browser, with 1 to {MAX_NAME} characters")
        scope = self.service.access.pair(code, self.client)
        name, key = await asyncio.to_thread(_new_key, self.service, name.strip(), scope)
        self.set_status(201)
        self.write({"key": key, "name": name, "scope": scope.label})


def _new_key(service: "Front", name: str, scope: Scope) -> tuple[str, str]:
    """Make a key, with a number behind its name where that is taken. Blocks."""
    for number in range(1, MAX_TWINS):
        numbered = name if number == 1 else f"{name} {number}"
        try:
            return numbered, service.access.keyring.add(numbered, scope)
        except KeyNameTaken:
            continue
    raise KeyNameTaken(f"{name} has {MAX_TWINS - 1} keys, revoke some first")


class CodesHandler(ApiHandler):
    """/api/pair/codes."""

    writes = Scope.ADMIN

    async def post(self) -> None:
        """Make a code, and the link to the page with it."""
        data = self.json_body()
        given = data.get("scope", Scope.CONTROL.label)
        try:
            scope = Scope.named(given if isinstance(given, str) else "")
        except ValueError as error:
            raise Refused(400, str(error)) from error
        now = asyncio.get_running_loop().time()
        made = invite(self.service.access, scope, await self._roots(), now)
        self.set_status(201)
        qr = await asyncio.to_thread(drawn, made.links[0])
        told = {"qr": qr, "code": made.code, "link": made.links[0], "links": made.links, "expires": round(made.lasts)}
        self.write({**told, "scope": scope.label})

    async def _roots(self) -> list[str]:
        """Return the page's addresses: the one that was asked under, unless nobody else can come there."""
        asked = hosts.host_of(self.request.host)
        if not (hosts.is_loopback(asked) or asked == "localhost"):
            return [self.url("/")]
        hostnames, host = self.service.config.http.hostnames, self.settings["host"]
        if hosts.name_for_others(host, hostnames) is None:
            return [self.url("/")]
        return await asyncio.to_thread(roots, host, urlsplit(f"//{self.request.host}").port or 80, hostnames)


def drawn(link: str) -> dict[str, Any]:
    """Return a link as a QR code: its size with the quiet zone, in modules, and the path of an SVG that fills it."""
    import segno  # noqa: PLC0415 - for that alone

    rows = [*segno.make(link, error="m").matrix_iter(border=QUIET)]
    squares = [f"M{x} {y}h1v1h-1z" for y, row in enumerate(rows) for x, dark in enumerate(row) if dark]
    return {"size": len(rows), "path": "".join(squares)}


class StepUpHandler(ApiHandler):
    """/api/stepup: a key that may do less does what an admin may, for a while."""

    writes = Scope.READ

    def post(self) -> None:
        """Give a key for that, for a code or a key of scope admin; the page keeps it in memory alone."""
        data = self.json_body()
        given = [name for name in ("code", "key") if isinstance(data.get(name), str) and 0 < len(data[name]) <= MAX_KEY]
        if len(given) != 1 or self.identity is None:
            raise Refused(400, "either code or key must be given, of scope admin")
        secret = data[given[0]]
        key = self.service.access.step_up(self.identity, secret, self.client, is_code=given[0] == "code")
        self.set_status(201)
        self.write({"key": key, "expires": round(LIFETIME)})

    def delete(self) -> None:
        """Step down again; whatever this key was given for a while is worth nothing."""
        if self.identity is not None:
            self.service.access.raised.end(self.identity.digest)
        self.no_content()


class KeysHandler(ApiHandler):
    """/api/keys."""

    def get(self) -> None:
        """List the keys: names, scopes and dates in s; who is no admin sees the own one."""
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
    """/api/keys/NAME."""

    writes = Scope.READ  # its own key anybody may give back

    def initialize(self, service: "Front", hub: "Hub") -> None:  # type: ignore[override]  # Tornado passes what the route says
        """Take those who listen besides."""
        super().initialize(service)
        self.hub = hub

    async def delete(self, name: str) -> None:
        """Take a key away; who uses it is refused from now on, and sockets end."""
        own = self.identity
        if own is None or (own.scope < Scope.ADMIN and own.name != name):
            raise KeyRefused("this needs a key of scope admin; other keys may only revoke themselves")
        if name == FIRST:
            raise NoSuchKey(f"the key {FIRST} is changed by `nozzled key --rotate`")
        await asyncio.to_thread(self.service.access.keyring.revoke, name)
        self.hub.look_at_keys()
        self.no_content()
