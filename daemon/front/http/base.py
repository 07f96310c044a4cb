"""ApiHandler: what every request has in common. The key comes first, every error is JSON, every body is bounded.

Bodies are taken as they come in (Tornado's streaming mode), so the key is checked before a byte of one is kept.
"""

import asyncio
import hashlib
import json
import logging
import math
import re
import socket
import sys
from collections.abc import Awaitable, Collection, Mapping
from http.client import responses
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

import tornado.web

from daemon.bridge.front_end import patience_of_client
from daemon.bridge.status import Status
from daemon.errors import KeyRefused, TooManyAttempts
from daemon.front import compression
from daemon.front.access import hosts, strangers
from daemon.front.access.scopes import Identity, Scope
from daemon.front.http.errors import Refused, answer
from daemon.front.http.identity import client_of, given_key, identify
from daemon.front.views.seen import seen_of

if TYPE_CHECKING:
    from daemon.front.front import Front

MAX_JSON = 64 * 1024
MAX_DRAINED = 64 * 1024 * 1024
"""Bytes of a JSON body, and of a refused body that are read to no use before the connection is closed."""

LONGEST_LENGTH = 19  # digits of a Content-Length that is looked at

TRUE = ("true", "yes", "y", "1")  # OctoPrint's booleans in forms and queries, in any case


UNTIL = "Nozzled-Until"
"""The header that tells until when a request may be done: a date in s since 1970, by this machine's clock."""

ASKED = ("Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", UNTIL, "X-Api-Key")
MOST_NAMED = 32
"""Headers that pages of an allowed origin may send besides those that the browser names, and how many it may name."""

EXPOSED = (
    "Content-Disposition, Content-Range, ETag, Idempotent-Replayed, Location, Nozzled-Entry, Nozzled-Job, Retry-After"
)

_DATE = re.compile(r"\d{1,12}(\.\d{1,6})?", re.ASCII)
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}", re.ASCII)

log = logging.getLogger("nozzled.http")


def is_true(value: object) -> bool:
    """Read a boolean as OctoPrint does: true, yes, y, 1."""
    return str(value).lower() in TRUE


@tornado.web.stream_request_body
class ApiHandler(tornado.web.RequestHandler):
    """Base of all handlers: subclasses write `get`, `post`, … and raise what goes wrong."""

    max_body = MAX_JSON
    reads = Scope.READ
    writes = Scope.CONTROL
    """What a key must allow for GET and HEAD, and for all other methods."""

    is_never_too_late = False  # it is done also for a client that has given up
    for_everybody = False  # answers without a key too; `identity` is None then
    judges_keys = True  # False, for what needs none: a wrong one is no different from none
    signable = False  # GET takes an address that was signed (`access.signing`) in the place of a key
    any_name = False  # answers also under a name that is not this machine's: nothing of the printer is told

    identity: Identity | None = None

    def initialize(self, service: "Front") -> None:
        """Take what the handler works on; the body is collected in `body`."""
        self.service = service
        self.body = bytearray()
        self._received = 0
        self._refused = False

    def set_default_headers(self) -> None:
        """Nothing of ours is to be guessed at, framed or kept by a browser."""
        self.set_header("Server", "nozzled")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cache-Control", "no-store")
        if self._is_allowed_origin():
            self.set_header("Access-Control-Allow-Origin", self.request.headers["Origin"])
            self.set_header("Access-Control-Expose-Headers", EXPOSED)
        if self.settings["allow_origins"]:
            self.set_header("Vary", "Origin")

    def compute_etag(self) -> str | None:
        """Hash no answers: they are small and change all the time. `Cached` does."""
        return None

    def options(self, *_: str) -> None:
        """Tell a browser that a page of another origin may ask, where it may."""
        if not self._is_allowed_origin():
            raise Refused(405, "Method Not Allowed")
        asked = self.request.headers.get("Access-Control-Request-Headers", "")
        named = [name for name in (each.strip() for each in asked.split(",")) if _HEADER.fullmatch(name)]
        self.set_header("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE")
        self.set_header("Access-Control-Allow-Headers", ", ".join([*ASKED, *named[:MOST_NAMED]]))
        self.add_header("Vary", "Access-Control-Request-Headers")
        self.set_header("Access-Control-Max-Age", "600")
        self.no_content()

    async def head(self, *path: str) -> None:
        """Answer as GET does; Tornado leaves the body away."""
        result: Awaitable[None] | None = self.get(*path)
        if result is not None:
            await result

    # -- before the body -----------------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Refuse what can be refused by its headers, in the order: key, size, what the resource says."""
        refusal: Exception | None = None
        try:
            await self.service.access.refresh()
            if not self._is_preflight():
                self.identity = self._identify()
            self._check_scope()
            self._check_size()
            self._check_date()
            self.admit()
        except Exception as error:  # noqa: BLE001 - the one funnel: `_refuse` logs what is a bug
            refusal = error
        if self.identity is not None:
            self.settings["know"](getattr(self.request.connection, "stream", None))
        if self.identity is None and not self.service.access.bears(self.client, self.cost()):
            self._hang_up()
        elif self.identity is None and "Transfer-Encoding" in self.request.headers:
            # a chunk of one byte costs as much as a long one, and only Tornado sees the chunks
            self._refuse(refusal or Refused(411, "a request without an API key must give the length of its body"))
            self._hang_up()
        elif refusal is not None:
            self._refuse(refusal)

    def _identify(self) -> Identity | None:
        if self.any_name:
            key = given_key(self.request)
            return self.service.access.identity_of(key) if key else None
        if self.signable and self.request.method in ("GET", "HEAD") and not given_key(self.request):
            if (signer := self.service.access.signer(self.request.uri or "")) is not None:
                return signer
            if "signature" in self.request.query_arguments:
                raise KeyRefused("this address has expired: get a new one by POST /api/links")
        return identify(self.service, self.request, for_everybody=self.for_everybody, judges_keys=self.judges_keys)

    def _hang_up(self) -> None:
        """End the connection at once, also in the middle of a body; what was not written yet is lost."""
        self._refused = True
        self._answer_with_nothing()
        self.request.connection.close()  # type: ignore[union-attr]  # Tornado's type leaves it to HTTP1Connection

    def _answer_with_nothing(self) -> None:
        """Have the method do nothing that Tornado calls when the body has ended."""
        setattr(self, (self.request.method or "GET").lower(), _nothing_more)

    def _check_date(self) -> None:
        """Refuse what its sender has given up by now: a front that hung would do it behind somebody's back."""
        if self.request.method in ("GET", "HEAD", "OPTIONS"):
            return
        if self.settings["stood_still"]() and not self.is_never_too_late and self._has_gone():
            raise Refused(408, "nozzled was held up and the client has gone, so nothing was done")
        if (until := self.request.headers.get(UNTIL)) is None:
            return
        if not _DATE.fullmatch(until):
            raise Refused(400, f"{UNTIL} must be a Unix time, in s")
        if (late := self.service.wall() - float(until)) > 0:
            raise Refused(
                408, f"this came {late:.0f} s too late and was not carried out; check the state, then try again"
            )
        patience_of_client.set(-late)  # a core that hangs does not do it later, either

    def admit(self) -> None:
        """Refuse by headers, before the body comes; for subclasses."""

    def cost(self) -> float:
        """Return what this counts for somebody without a key."""
        return strangers.REQUEST

    @property
    def client(self) -> str:
        """The client's address; a proxy's word counts only where it is configured."""
        return client_of(self.service, self.request)

    def _is_allowed_origin(self) -> bool:
        """Tell whether this comes from a page of another origin that the configuration names."""
        # a setting of the application: Tornado asks for the headers before `initialize`
        return hosts.is_allowed_origin(self.request.headers.get("Origin", ""), self.settings["allow_origins"])

    def _is_preflight(self) -> bool:
        """Tell whether a browser asks whether it may send the key; it asks without it."""
        return self.request.method == "OPTIONS" and self._is_allowed_origin()

    def _check_scope(self) -> None:
        needed = self.reads if self.request.method in ("GET", "HEAD") else self.writes
        if self.identity is not None and self.identity.scope < needed and not self.for_everybody:
            raise KeyRefused(
                f"the key {self.identity.name!r} does not allow this; it takes a key of scope {needed.label}"
            )

    def _has_gone(self) -> bool:
        """Tell whether the client has closed the connection."""
        stream = getattr(self.request.connection, "stream", None)
        if stream is None or stream.closed():
            return stream is not None
        try:
            return not stream.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _check_size(self) -> None:
        if (self.announced or 0) > self.max_body:
            raise self._too_large()

    @property
    def announced(self) -> int | None:
        """The bytes that the body will have by its headers; None where they do not say, or nothing that is a number."""
        length = self.request.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal()):
            return None
        return int(length) if len(length) < LONGEST_LENGTH else sys.maxsize  # Python reads 4300 digits at most

    def _check_received(self) -> None:
        """A body may come in chunks, without its length."""
        if self._received > self.max_body:
            raise self._too_large()

    def _too_large(self) -> Refused:
        return Refused(413, f"the body is too large: at most {self.max_body} bytes are accepted")

    # -- the body ------------------------------------------------------------------------------------------

    async def data_received(self, chunk: bytes) -> None:
        """Take or drop the next bytes of the body; the next ones come when this has returned."""
        self._received += len(chunk)
        if self.identity is None and not self.service.access.bears(self.client, strangers.PIECE):
            self._hang_up()
            return
        if self._refused:
            if self._received > MAX_DRAINED:
                self._hang_up()
            return
        try:
            self._check_received()
            await self.take(chunk)
        except Exception as error:  # noqa: BLE001 - as in `prepare`
            await self.give_up()
            self._refuse(error)

    async def take(self, chunk: bytes) -> None:
        """Keep the next bytes of the body; for subclasses that do better."""
        self.body += chunk

    async def give_up(self) -> None:
        """Let go of what the body has filled so far; for subclasses."""

    def _refuse(self, error: Exception) -> None:
        """Answer with this error at once, and drop what is still to come of the body.

        Closing at once would reset the connection while the client still sends: it might never see the answer.
        """
        self._refused = True
        if "Expect" in self.request.headers and not self._received:  # it waits for our word, and no body is to come
            self.send_error(500, exc_info=(type(error), error, None))
            return
        self.clear()
        code, text = self._write_reason(error)
        self.set_status(code)
        payload = json.dumps({"error": text}).encode()
        self.set_header("Content-Type", "application/json")
        self.set_header("Content-Length", str(len(payload)))
        self.write(payload)
        self.flush()
        self._answer_with_nothing()  # Tornado finishes the answer behind it

    def json_body(self) -> dict[str, Any]:
        """Return the body, which must be a JSON object.

        Raises:
            Refused: 415 for another content type, 400 for what is no JSON or no object.
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

    def command(self, known: Mapping[str, Collection[str]]) -> tuple[str, dict[str, Any]]:
        """Return the command of a JSON body and the body itself.

        Args:
            known: the commands that the resource takes, each with its mandatory parameters.

        Raises:
            Refused: no JSON object, an unknown command, or a parameter missing.
        """
        data = self.json_body()
        command = data.get("command")
        if not isinstance(command, str) or command not in known:
            raise Refused(400, "command is invalid")
        if any(name not in data for name in known[command]):
            raise Refused(400, "Mandatory parameters missing")
        return command, data

    # -- what is told --------------------------------------------------------------------------------------

    def status(self) -> Status:
        """Return what clients see of connection and job."""
        return seen_of(self.service)

    def require_operational(self) -> Status:
        """Return the status; refuse when no printer is there."""
        seen = self.status()
        if not seen.flags["operational"]:
            raise Refused(409, "Printer is not operational")
        return seen

    def write_json(self, data: object) -> None:
        """Answer with any JSON; `write` takes objects alone."""
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.write(json.dumps(data))

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> "asyncio.Future[None]":
        """End the answer; a text is compressed for who takes that."""
        if chunk is not None:
            self.write(chunk)
        if self._can_be_packed(compression.LARGE):
            self._write_packed(compression.packed(b"".join(self._write_buffer)))
        return super().finish()

    async def pack(self) -> None:
        """Compress what is written, also where it is large; for handlers whose answers can be."""
        if self._can_be_packed(sys.maxsize):
            self._write_packed(await asyncio.to_thread(compression.packed, b"".join(self._write_buffer)))

    def _can_be_packed(self, most: int) -> bool:
        if self._headers_written or "Content-Encoding" in self._headers:
            return False
        size = sum(map(len, self._write_buffer))
        if not compression.is_worth_it(self._headers.get("Content-Type", ""), size):
            return False
        self.add_header("Vary", "Accept-Encoding")
        return size <= most and compression.accepts(self.request.headers.get("Accept-Encoding", ""))

    def _write_packed(self, data: bytes) -> None:
        self.set_header("Content-Encoding", "gzip")
        self._write_buffer = [data]

    def no_content(self) -> None:
        """Answer 204."""
        self.set_status(204)

    def query_flag(self, name: str) -> bool:
        """Return a boolean of the query."""
        return is_true(self.get_query_argument(name, ""))

    def url(self, path: str) -> str:
        """Return the absolute URL of a path on this server, as the client would write it."""
        protocol = self.request.protocol
        if hosts.is_proxy(self.request.remote_ip or "", self.service.config.http.trusted_proxies):
            given = self.request.headers.get("X-Forwarded-Proto", protocol)
            protocol = given if given in ("http", "https") else protocol
        return f"{protocol}://{self.request.host}{path}"

    # -- errors --------------------------------------------------------------------------------------------

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Answer with the status that the error stands for."""
        if "exc_info" in kwargs and kwargs["exc_info"][1] is not None:
            status_code, kwargs["text"] = self._write_reason(kwargs["exc_info"][1])
        super().send_error(status_code, **kwargs)

    def _write_reason(self, error: BaseException) -> tuple[int, str]:
        told = answer(error)
        if isinstance(error, TooManyAttempts):
            self.set_header("Retry-After", str(math.ceil(error.wait)))
        if told is None:
            log.error("%s %s failed", self.request.method, self.request.path, exc_info=error)
            return 500, "Internal Server Error"
        return told

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Write any error as JSON; nothing of the program's inside is in it."""
        if status_code == 405:  # noqa: PLR2004 - the status itself
            self.set_header("Allow", ", ".join(self._allowed()))
        self.finish({"error": kwargs.get("text") or responses.get(status_code, "Unknown")})

    def _allowed(self) -> list[str]:
        unset = tornado.web.RequestHandler
        own = {name for name in unset.SUPPORTED_METHODS if _method(type(self), name) is not _method(unset, name)}
        own -= {"HEAD", "OPTIONS"}
        return [name for name in unset.SUPPORTED_METHODS if name in own or (name == "HEAD" and "GET" in own)]

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Say nothing here: Tornado would log the address with the key in it; `send_error` logs the bugs."""


async def _nothing_more(*_: str) -> None:
    """Stand in for the method of a request that has its answer."""


def _method(handler: type[tornado.web.RequestHandler], name: str) -> object:
    return getattr(handler, name.lower())


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")  # Python takes NaN and Infinity, the standard does not


class Cached(ApiHandler):
    """Base of answers that change seldom: with an ETag, so that clients need not fetch them twice."""

    tag: str | None = None  # what the ETag is made of; None: the whole answer

    def set_default_headers(self) -> None:
        """Let it be kept, but asked for again each time."""
        super().set_default_headers()
        self.set_header("Cache-Control", "no-cache")

    def compute_etag(self) -> str | None:
        """Return the hash that the client compares; Tornado answers 304 where it is the same."""
        if self.request.method not in ("GET", "HEAD"):
            return None
        if self.tag is None:
            return tornado.web.RequestHandler.compute_etag(self)
        weak = "W/" if "Content-Encoding" in self._headers else ""  # other bytes, and the same answer
        return f'{weak}"{hashlib.sha1(self.tag.encode(), usedforsecurity=False).hexdigest()}"'


class NotFoundHandler(ApiHandler):
    """Every address that leads nowhere."""

    def admit(self) -> None:
        """Refuse whatever the method."""
        raise Refused(404, "Not Found")
