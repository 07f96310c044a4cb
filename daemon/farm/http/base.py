"""FarmHandler: what every request has in common. The key comes first, every error is JSON, every body is bounded."""

import asyncio
import json
import logging
import math
import re
import socket
from collections.abc import Callable
from http.client import responses
from types import TracebackType
from typing import Any, TypeVar

import msgspec
import tornado.web

from daemon.errors import KeyRefused, TooManyAttempts
from daemon.farm.http.errors import FarmRefusal, answer
from daemon.farm.http.keys import FarmKey, FarmKeys, FarmScope
from daemon.farm.http.seams import FarmSeams
from daemon.farm.list.job_list import JobList

MAX_JSON = 64 * 1024
MAX_DRAINED = 64 * 1024 * 1024
"""Bytes of a JSON body, and of a refused body that are read to no use before the connection is closed."""

MAX_WORD = 64
"""Characters of a word in the query."""

UNTIL = "Nozzled-Until"
"""The header that tells until when a request may be done: a date in s since 1970, by this computer's clock."""

LONGEST = 10.0
"""Seconds from a request to what it asks of a printer: a person who got no answer has gone on by then."""

_DATE = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")

T = TypeVar("T")

log = logging.getLogger("nozzled.farm.http")


@tornado.web.stream_request_body
class FarmHandler(tornado.web.RequestHandler):
    """Base of all handlers: subclasses write `get`, `post`, … and raise what goes wrong."""

    reads = FarmScope.READ
    writes = FarmScope.CONTROL
    """What a key must allow for GET and HEAD, and for all other methods."""

    for_everybody = False  # needs no key
    max_body = MAX_JSON

    key: FarmKey = FarmKey("", "", 0.0)

    def initialize(self, farm: FarmSeams) -> None:
        """Take what the handler works on; the body is collected in `body`."""
        self.farm = farm
        self.body = bytearray()
        self._received = 0
        self._refused = False
        self._came = asyncio.get_running_loop().time()

    def set_default_headers(self) -> None:
        """Nothing of ours is to be guessed at, framed or kept by a browser."""
        self.set_header("Server", "nozzled-farm")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cache-Control", "no-store")

    def compute_etag(self) -> str | None:
        """Hash no answers: they change all the time."""
        return None

    async def prepare(self) -> None:
        """Refuse what can be refused by its headers, before a byte of the body is kept."""
        try:
            await self._let_in()
            self.admit()
        except Exception as error:  # noqa: BLE001 - the one funnel: `_refuse` logs what is a bug
            self._refuse(error)

    async def _let_in(self) -> None:
        keys: FarmKeys = self.settings["farm_keys"]
        if self.for_everybody:
            return
        self.key, scope = await keys.identify(self._given_key(), self.request.remote_ip or "")
        needed = self.reads if self.request.method in ("GET", "HEAD") else self.writes
        if scope < needed:
            raise KeyRefused(f"the key {self.key.name!r} does not allow this; it takes a key of scope {needed.label}")
        self._check_size(self._announced())
        if self.request.method not in ("GET", "HEAD"):
            self.require_in_time()

    def require_in_time(self) -> None:
        """Refuse what its sender has given up by now: a server that stood still would do it behind somebody's back.

        Raises:
            FarmRefusal: the date in the header is over, the client has gone, or the request came long ago.
        """
        until = self.request.headers.get(UNTIL)
        if until is not None and not _DATE.fullmatch(until):
            raise FarmRefusal(400, f"{UNTIL} must be a Unix time, in s")
        late = until is not None and self.farm.wall() > float(until)
        if late or self._has_gone():
            raise FarmRefusal(408, "this came too late and was not carried out; look how it is, then try again")

    def require_at_once(self) -> None:
        """Refuse what a printer would be asked for too late, for a handler that has waited; raises FarmRefusal."""
        self.require_in_time()
        if asyncio.get_running_loop().time() - self._came > LONGEST:
            raise FarmRefusal(408, "the server was held up and did not do this; look how it is, then try again")

    def _has_gone(self) -> bool:
        """Tell whether the client has closed the connection."""
        stream = getattr(self.request.connection, "stream", None)
        if stream is None or stream.closed():
            return stream is not None
        try:
            return not stream.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except (BlockingIOError, ValueError):  # ValueError: of TLS, which has no peeking
            return False
        except OSError:
            return True

    def _given_key(self) -> str:
        if "X-Api-Key" in self.request.headers:
            return self.request.headers["X-Api-Key"]
        scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""

    def _announced(self) -> int:
        length = self.request.headers.get("Content-Length", "")
        return int(length) if length.isascii() and length.isdecimal() and len(length) < 19 else 0  # noqa: PLR2004 - digits

    def admit(self) -> None:
        """Refuse by headers, before the body comes; for subclasses."""

    # -- the body ------------------------------------------------------------------------------------------

    async def data_received(self, chunk: bytes) -> None:
        """Take or drop the next bytes of the body; the next ones come when this has returned."""
        self._received += len(chunk)
        if self._refused:
            if self._received > MAX_DRAINED:
                self.request.connection.close()  # type: ignore[union-attr]  # Tornado's type leaves it to HTTP1Connection
            return
        try:
            self._check_size(self._received)
            await self.take(chunk)
        except Exception as error:  # noqa: BLE001 - as in `prepare`
            await self.give_up()
            self._refuse(error)

    async def take(self, chunk: bytes) -> None:
        """Keep the next bytes of the body; for subclasses that do better."""
        self.body += chunk

    async def give_up(self) -> None:
        """Let go of what the body has filled so far; for subclasses."""

    def _check_size(self, size: int) -> None:
        if size > self.max_body:
            raise FarmRefusal(413, f"the body is too large: at most {self.max_body} bytes are accepted")

    def _refuse(self, error: Exception) -> None:
        """Answer with this error at once, and drop what is still to come of the body.

        Closing at once would reset the connection while the client still sends: it might never see the answer.
        """
        self._refused = True
        self.clear()
        code, text = self._told(error)
        self.set_status(code)
        payload = json.dumps({"error": text}).encode()
        self.set_header("Content-Type", "application/json")
        self.set_header("Content-Length", str(len(payload)))
        self.write(payload)
        self.flush()
        setattr(self, (self.request.method or "GET").lower(), _nothing_more)  # Tornado finishes the answer behind it

    def decoded(self, kind: type[T]) -> T:
        """Return the body as this type.

        Raises:
            FarmRefusal: 415 for another content type, 400 for what is no JSON, or not of this type.
        """
        given = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if given != "application/json":
            raise FarmRefusal(415, "the content type must be application/json")
        try:
            return msgspec.json.decode(bytes(self.body), type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise FarmRefusal(400, f"the body means nothing here: {error}") from error

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """Return a number of the query; raises FarmRefusal."""
        text = self.get_query_argument(name, "")
        if not text:
            return default
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise FarmRefusal(400, f"{name} must be a number from {low:g} to {high:g}, not {text[:40]!r}")
        return value

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        """Return a whole number of the query; raises FarmRefusal."""
        value = self.number(name, default, low, high)
        if value != int(value):
            raise FarmRefusal(400, f"{name} must be a whole number")
        return int(value)

    def word(self, name: str) -> str:
        """Return a word of the query; raises FarmRefusal."""
        text = self.get_query_argument(name, "")
        if len(text) > MAX_WORD or not text.isprintable():
            raise FarmRefusal(400, f"{name} must be a word of at most {MAX_WORD} characters")
        return text

    async def ask(self, function: Callable[[JobList], T]) -> T:
        """Call a function with the list, in its thread."""
        return await self.farm.jobs.call(function)

    # -- the answer ----------------------------------------------------------------------------------------

    async def head(self, *path: str) -> None:
        """Answer as GET does; Tornado leaves the body away."""
        result: Any = self.get(*path)
        if result is not None:
            await result

    def answer(self, value: object, status: int = 200) -> None:
        """Answer with JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.write(msgspec.json.encode(value))

    def no_content(self) -> None:
        """Answer 204."""
        self.set_status(204)

    # -- errors --------------------------------------------------------------------------------------------

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Answer with the status that the error stands for."""
        if "exc_info" in kwargs and kwargs["exc_info"][1] is not None:
            status_code, kwargs["text"] = self._told(kwargs["exc_info"][1])
        super().send_error(status_code, **kwargs)

    def _told(self, error: BaseException) -> tuple[int, str]:
        if isinstance(error, TooManyAttempts):
            self.set_header("Retry-After", str(math.ceil(error.wait)))
        if (told := answer(error)) is not None:
            return told
        log.error("%s %s failed", self.request.method, self.request.path, exc_info=error)
        return 500, "Internal Server Error"

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Write any error as JSON; nothing of the program's inside is in it."""
        if status_code == 405:  # noqa: PLR2004 - the status itself
            self.set_header("Allow", ", ".join(self.allowed()))
        self.finish({"error": kwargs.get("text") or responses.get(status_code, "Unknown")})

    @classmethod
    def allowed(cls) -> list[str]:
        """Return the methods that this address has."""
        unset = tornado.web.RequestHandler
        own = {
            name for name in unset.SUPPORTED_METHODS if getattr(cls, name.lower()) is not getattr(unset, name.lower())
        } - {"HEAD"}
        return [name for name in unset.SUPPORTED_METHODS if name in own or (name == "HEAD" and "GET" in own)]

    def log_exception(
        self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Say nothing here: `send_error` logs the bugs."""


async def _nothing_more(*_: str) -> None:
    """Stand in for the method of a request that has its answer."""


class FarmNowhere(FarmHandler):
    """Every address that leads nowhere."""

    def admit(self) -> None:
        """Refuse whatever the method."""
        raise FarmRefusal(404, "Not Found")
