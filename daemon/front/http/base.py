"""ApiHandler: the base of all handlers of the API. It checks the key, the scope and the deadline of every request.

It does so before the body arrives, see `daemon.http.base`.
"""

import asyncio
import hashlib
import json
import logging
import re
import sys
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import tornado.web

from daemon.bridge.front_end import patience_of_client
from daemon.bridge.status import Status
from daemon.errors import KeyRefused
from daemon.front import compression
from daemon.front.access import anonymous, hosts
from daemon.front.access.scopes import Identity, Scope
from daemon.front.http.errors import STATUSES
from daemon.front.http.identity import client_of, identify, request_key
from daemon.front.views.status import status_of
from daemon.http.base import DEADLINE, BaseHandler
from daemon.http.errors import Refused

if TYPE_CHECKING:
    from daemon.front.front import Front

TRUE = ("true", "yes", "y", "1")  # OctoPrint's booleans in forms and queries, case-insensitive

ALLOWED_HEADERS = ("Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", DEADLINE, "X-Api-Key")
"""Request headers that pages of an allowed origin may always send."""

MAX_NAMED_HEADERS = 32  # further ones that a preflight request may name

EXPOSED_HEADERS = (
    "Content-Disposition, Content-Range, ETag, Idempotent-Replayed, Location, Nozzled-Entry, Nozzled-Job, Retry-After"
)

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}", re.ASCII)

log = logging.getLogger("nozzled.http")


def is_true(value: object) -> bool:
    """Read a boolean as OctoPrint does: true, yes, y, 1."""
    return str(value).lower() in TRUE


class ApiHandler(BaseHandler):
    """Base of all handlers. Subclasses define `get`, `post`, …, and raise an error to refuse a request."""

    server = "nozzled"
    statuses = STATUSES
    logger = log

    read_scope = Scope.READ
    write_scope = Scope.CONTROL
    """The scope that GET and HEAD need, and the one that all other methods need."""

    ignores_gone_client = False  # carried out even if the client has given up while the front hung
    is_public = False  # answers without a key too; then `identity` is None
    checks_keys = True  # False: a wrong key is treated as no key
    accepts_signed_address = False  # for GET, a signed address (`access.signing`) replaces the key
    answers_any_host = False  # answers even if the Host header is not this machine's; must not reveal the printer

    identity: Identity | None = None

    def initialize(self, service: "Front") -> None:
        """Store the service; Tornado passes it with the route."""
        self.service = service

    def set_default_headers(self) -> None:
        """Also let pages of allowed origins read the answer."""
        super().set_default_headers()
        if self._is_allowed_origin():
            self.set_header("Access-Control-Allow-Origin", self.request.headers["Origin"])
            self.set_header("Access-Control-Expose-Headers", EXPOSED_HEADERS)
        if self.settings["allow_origins"]:
            self.set_header("Vary", "Origin")

    def options(self, *_: str) -> None:
        """Answer a preflight request from an allowed origin."""
        if not self._is_allowed_origin():
            raise Refused(405, "Method Not Allowed")
        requested = self.request.headers.get("Access-Control-Request-Headers", "")
        named = [name for name in (each.strip() for each in requested.split(",")) if _HEADER.fullmatch(name)]
        self.set_header("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE")
        self.set_header("Access-Control-Allow-Headers", ", ".join([*ALLOWED_HEADERS, *named[:MAX_NAMED_HEADERS]]))
        self.add_header("Vary", "Access-Control-Request-Headers")
        self.set_header("Access-Control-Max-Age", "600")
        self.no_content()

    # -- before the body -----------------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Check key, scope, Content-Length and deadline, then call the handler's `admit`; refuse or continue."""
        refusal: Exception | None = None
        try:
            await self.service.access.refresh()
            if not self._is_preflight():
                self.identity = self._identify()
            self._check_scope()
            self.check_content_length()
            self._check_deadline()
            self.admit()
        except Exception as error:  # noqa: BLE001 - `refuse` answers every error, and logs bugs
            refusal = error
        if self.identity is not None:
            self.settings["note_key"](getattr(self.request.connection, "stream", None))
        if self.identity is None and not self.service.access.spend_anonymous(self.client, self.cost()):
            self.hang_up()
        elif self.identity is None and "Transfer-Encoding" in self.request.headers:
            # each chunk costs the same, even one of a single byte, and only Tornado could count the chunks
            self.refuse(refusal or Refused(411, "a request without an API key must give the length of its body"))
            self.hang_up()
        elif refusal is not None:
            self.refuse(refusal)

    def _identify(self) -> Identity | None:
        if self.answers_any_host:
            key = request_key(self.request)
            return self.service.access.identity_of(key) if key else None
        if self.accepts_signed_address and self.request.method in ("GET", "HEAD") and not request_key(self.request):
            if (signer := self.service.access.identify_signer(self.request.uri or "")) is not None:
                return signer
            if "signature" in self.request.query_arguments:
                raise KeyRefused("this address has expired: get a new one by POST /api/links")
        return identify(self.service, self.request, is_public=self.is_public, checks_keys=self.checks_keys)

    def _check_deadline(self) -> None:
        """Refuse a request that the client has given up: carried out after the front hung, it would surprise users."""
        if self.request.method in ("GET", "HEAD", "OPTIONS"):
            return
        if self.settings["stood_still"]() and not self.ignores_gone_client and self.has_client_gone():
            raise Refused(408, "nozzled was held up and the client has gone, so nothing was done")
        self.check_time_left()

    def check_time_left(self) -> None:
        """Refuse if the request's deadline has passed; called again after a wait, before the core is asked.

        Raises:
            Refused: as `time_left`.
        """
        if (left := self.time_left(self.service.wall())) is not None:
            patience_of_client.set(left)  # the core may hang, so it checks the deadline again

    def cost(self) -> float:
        """Return what this request costs a client without a key."""
        return anonymous.REQUEST_COST

    @property
    def client(self) -> str:
        """The client's address; forwarding headers count only from a configured proxy."""
        return client_of(self.service, self.request)

    def _is_allowed_origin(self) -> bool:
        """Tell whether this request comes from a page of an allowed origin."""
        # from the application's settings: Tornado calls `set_default_headers` before `initialize` sets `service`
        return hosts.is_allowed_origin(self.request.headers.get("Origin", ""), self.settings["allow_origins"])

    def _is_preflight(self) -> bool:
        """Tell whether this is a browser's preflight request, which carries no key."""
        return self.request.method == "OPTIONS" and self._is_allowed_origin()

    def _check_scope(self) -> None:
        needed = self.read_scope if self.request.method in ("GET", "HEAD") else self.write_scope
        if self.identity is not None and self.identity.scope < needed and not self.is_public:
            raise KeyRefused(
                f"the key {self.identity.name!r} does not allow this: a key of scope {needed.label} is needed"
            )

    # -- the body ------------------------------------------------------------------------------------------

    async def data_received(self, chunk: bytes) -> None:
        """Take a chunk of the body; disconnect a client without a key that has spent its budget."""
        if self.identity is None and not self.service.access.spend_anonymous(self.client, anonymous.PIECE_COST):
            self.hang_up()
        else:
            await super().data_received(chunk)

    def json_body(self) -> dict[str, Any]:
        """Return the body, which must be a JSON object.

        Raises:
            Refused: 415 for another content type, 400 if it is not JSON or not an object.
        """
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
            raise Refused(415, "the content type must be application/json")
        try:
            data = json.loads(self.body, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise Refused(400, "the body is not valid JSON") from error
        if not isinstance(data, dict):
            raise Refused(400, "command is invalid")
        return data

    def command(self, commands: Mapping[str, Collection[str]]) -> tuple[str, dict[str, Any]]:
        """Return the command of a JSON body and the body itself.

        Args:
            commands: the commands of the resource, each with its mandatory parameters.

        Raises:
            Refused: the body is not a JSON object, the command is unknown, or a parameter is missing.
        """
        data = self.json_body()
        command = data.get("command")
        if not isinstance(command, str) or command not in commands:
            raise Refused(400, "command is invalid")
        if any(name not in data for name in commands[command]):
            raise Refused(400, "Mandatory parameters missing")
        return command, data

    # -- the answer ----------------------------------------------------------------------------------------

    def status(self) -> Status:
        """Return the status of connection and job, as shown to clients."""
        return status_of(self.service)

    def require_operational(self) -> Status:
        """Return the status; refuse if the printer is not operational."""
        status = self.status()
        if not status.flags["operational"]:
            raise Refused(409, "Printer is not operational")
        return status

    def write_json(self, data: object) -> None:
        """Answer with any JSON value; `write` accepts only objects."""
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.write(json.dumps(data))

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> "asyncio.Future[None]":
        """End the answer; text is compressed if the client accepts it."""
        if chunk is not None:
            self.write(chunk)
        if self._can_compress(compression.LARGE):
            self._write_compressed(compression.gzipped(b"".join(self._write_buffer)))
        return super().finish()

    async def compress(self) -> None:
        """Compress a large answer in a thread; handlers with such answers call this before they return."""
        if self._can_compress(sys.maxsize):
            self._write_compressed(await asyncio.to_thread(compression.gzipped, b"".join(self._write_buffer)))

    def _can_compress(self, max_size: int) -> bool:
        if self._headers_written or "Content-Encoding" in self._headers:
            return False
        size = sum(map(len, self._write_buffer))
        if not compression.is_worth_it(self._headers.get("Content-Type", ""), size):
            return False
        if "Accept-Encoding" not in self._headers.get("Vary", ""):
            self.add_header("Vary", "Accept-Encoding")
        return size <= max_size and compression.accepts(self.request.headers.get("Accept-Encoding", ""))

    def _write_compressed(self, data: bytes) -> None:
        self.set_header("Content-Encoding", "gzip")
        self._write_buffer = [data]

    def query_flag(self, name: str) -> bool:
        """Return a boolean query argument; False if it is missing."""
        return is_true(self.get_query_argument(name, ""))

    def url(self, path: str) -> str:
        """Return the absolute URL of a path on this server, as the client would reach it."""
        protocol = self.request.protocol
        if hosts.is_proxy(self.request.remote_ip or "", self.service.config.http.trusted_proxies):
            forwarded = self.request.headers.get("X-Forwarded-Proto", protocol)
            protocol = forwarded if forwarded in ("http", "https") else protocol
        return f"{protocol}://{self.request.host}{path}"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")  # Python's parser accepts NaN and Infinity, the standard does not


class CachedHandler(ApiHandler):
    """Base of handlers whose answers change rarely: an ETag spares clients from fetching them twice."""

    tag: str | None = None  # what the ETag is computed from; None: the whole answer

    def set_default_headers(self) -> None:
        """Allow browsers to store the answer, but have them revalidate it each time."""
        super().set_default_headers()
        self.set_header("Cache-Control", "no-cache")

    def compute_etag(self) -> str | None:
        """Return the ETag; Tornado answers 304 if the client has the same one."""
        if self.request.method not in ("GET", "HEAD"):
            return None
        if self.tag is None:
            return tornado.web.RequestHandler.compute_etag(self)
        weak = "W/" if "Content-Encoding" in self._headers else ""  # other bytes, but the same answer
        return f'{weak}"{hashlib.sha1(self.tag.encode(), usedforsecurity=False).hexdigest()}"'


class NotFoundHandler(ApiHandler):
    """The handler of all paths that have no other."""

    def admit(self) -> None:
        """Refuse every method."""
        raise Refused(404, "Not Found")
