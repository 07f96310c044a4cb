"""BaseHandler: what every request has in common. Every error is JSON, every body is bounded.

Bodies are taken as they come in (Tornado's streaming mode), so the key is checked before a byte of one is kept.
"""

import json
import logging
import math
import re
import socket
import sys
from collections.abc import Awaitable, Mapping
from http.client import responses
from types import TracebackType
from typing import Any, ClassVar

import tornado.web
from tornado.httputil import HTTPServerRequest

from daemon.errors import TooManyAttempts
from daemon.http.errors import Refused, answer

MAX_JSON = 64 * 1024
"""Bytes of a JSON body."""

MAX_DRAINED = 64 * 1024 * 1024
"""Bytes of a refused body that are read and dropped before the connection is closed."""

UNTIL = "Nozzled-Until"
"""The header with the date until which a request may be carried out, in s since 1970, by this machine's clock."""

_MAX_LENGTH_DIGITS = 18  # of a Content-Length; Python itself reads 4300

_DATE = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")


@tornado.web.stream_request_body
class BaseHandler(tornado.web.RequestHandler):
    """Base of all handlers: subclasses write `get`, `post`, … and raise what goes wrong."""

    server: ClassVar[str]  # the name in the header `Server`
    statuses: ClassVar[Mapping[type[BaseException], int]]  # the HTTP status of each error
    logger: ClassVar[logging.Logger]

    max_body: int = MAX_JSON  # bytes

    def __init__(self, application: tornado.web.Application, request: HTTPServerRequest, **kwargs: Any) -> None:
        self.body = bytearray()
        self._received = 0  # bytes of the body, those that were dropped included
        self._refused = False
        super().__init__(application, request, **kwargs)

    def set_default_headers(self) -> None:
        """Let browsers guess no content types, frame no page and keep no answer of ours."""
        self.set_header("Server", self.server)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cache-Control", "no-store")

    def compute_etag(self) -> str | None:
        """Hash no answers: most are small and change all the time."""
        return None

    async def head(self, *path: str) -> None:
        """Answer as GET does; Tornado leaves the body away."""
        result: Awaitable[None] | None = self.get(*path)
        if result is not None:
            await result

    def no_content(self) -> None:
        """Answer 204."""
        self.set_status(204)

    # -- before the body -----------------------------------------------------------------------------------

    def admit(self) -> None:
        """Refuse by headers, before the body comes; for subclasses."""

    def check_announced(self) -> None:
        """Refuse a body whose length, by the headers, is too large."""
        self._check_size(self.announced or 0)

    @property
    def announced(self) -> int | None:
        """The bytes that the body will have by its headers; None where they do not say, or say no number."""
        length = self.request.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal()):
            return None
        return int(length) if len(length) <= _MAX_LENGTH_DIGITS else sys.maxsize

    def time_left(self, now: float) -> float | None:
        """Return for how many seconds the client still wants this done; None where it does not say.

        A server that hung reads requests whose senders have given up, and have done something else meanwhile.

        Args:
            now: the date, in s since 1970.

        Raises:
            Refused: the time is over, or the header is no date.
        """
        if (until := self.request.headers.get(UNTIL)) is None:
            return None
        if not _DATE.fullmatch(until):
            raise Refused(400, f"{UNTIL} must be a Unix time, in s")
        if (late := now - float(until)) > 0:
            raise Refused(
                408, f"this came {late:.0f} s too late and was not carried out; check the state, then try again"
            )
        return -late

    def has_client_gone(self) -> bool:
        """Tell whether the client has closed the connection."""
        stream = getattr(self.request.connection, "stream", None)
        if stream is None or stream.closed():
            return stream is not None
        try:
            return not stream.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except (BlockingIOError, ValueError):  # ValueError: TLS sockets have no MSG_PEEK
            return False
        except OSError:
            return True

    # -- the body ------------------------------------------------------------------------------------------

    async def data_received(self, chunk: bytes) -> None:
        """Take or drop the next bytes of the body; the next ones come when this has returned."""
        self._received += len(chunk)
        if self._refused:
            if self._received > MAX_DRAINED:
                self.hang_up()
            return
        try:
            self._check_size(self._received)  # a body in chunks comes without its length
            await self.take(chunk)
        except Exception as error:  # noqa: BLE001 - the one funnel: `refuse` logs what is a bug
            await self.give_up()
            self.refuse(error)

    async def take(self, chunk: bytes) -> None:
        """Keep the next bytes of the body; for subclasses that do better."""
        self.body += chunk

    async def give_up(self) -> None:
        """Let go of what the body has filled so far; for subclasses."""

    def _check_size(self, size: int) -> None:
        if size > self.max_body:
            raise Refused(413, f"the body is too large: at most {self.max_body} bytes are accepted")

    def refuse(self, error: Exception) -> None:
        """Answer with this error at once, and drop what is still to come of the body.

        Closing at once would reset the connection while the client still sends: it might never see the answer.
        """
        self._refused = True
        if (
            "Expect" in self.request.headers and not self._received
        ):  # the client waits for "100 Continue": no body comes
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
        self.skip_method()  # Tornado finishes the answer after it

    def hang_up(self) -> None:
        """End the connection at once, even in the middle of a body; what was not written yet is lost."""
        self._refused = True
        self.skip_method()
        self.request.connection.close()  # type: ignore[union-attr]  # Tornado's type leaves it to HTTP1Connection

    def skip_method(self) -> None:
        """Replace the method that Tornado calls when the body has ended."""
        setattr(self, (self.request.method or "GET").lower(), _do_nothing)

    # -- errors --------------------------------------------------------------------------------------------

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Answer with the status that the error stands for."""
        if "exc_info" in kwargs and kwargs["exc_info"][1] is not None:
            status_code, kwargs["text"] = self._write_reason(kwargs["exc_info"][1])
        super().send_error(status_code, **kwargs)

    def _write_reason(self, error: BaseException) -> tuple[int, str]:
        if isinstance(error, TooManyAttempts):
            self.set_header("Retry-After", str(math.ceil(error.wait)))
        if (reason := answer(error, self.statuses)) is not None:
            return reason
        self.logger.error("%s %s failed", self.request.method, self.request.path, exc_info=error)
        return 500, "Internal Server Error"

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Write any error as JSON, without anything of the program's inside."""
        if status_code == 405:  # noqa: PLR2004 - the status itself
            self.set_header("Allow", ", ".join(self.allowed()))
        self.finish({"error": kwargs.get("text") or responses.get(status_code, "Unknown")})

    @classmethod
    def allowed(cls) -> list[str]:
        """Return the methods that this address takes."""
        unset = tornado.web.RequestHandler
        own = {name for name in unset.SUPPORTED_METHODS if _method(cls, name) is not _method(unset, name)}
        own -= {"HEAD", "OPTIONS"}
        return [name for name in unset.SUPPORTED_METHODS if name in own or (name == "HEAD" and "GET" in own)]

    def log_exception(
        self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Log nothing here: Tornado would log the address with the key in it; `send_error` logs the bugs."""


async def _do_nothing(*_: str) -> None:
    """Stand in for the method of a request that has its answer."""


def _method(handler: type[tornado.web.RequestHandler], name: str) -> object:
    return getattr(handler, name.lower())
