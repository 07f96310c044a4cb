"""BaseHandler: the base of all HTTP handlers. Every error is answered as JSON, and the size of every body is limited.

Handlers get a body in chunks while it arrives (Tornado's streaming mode), so the key is checked before anything is
stored.
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
"""Bytes of a refused body that are read and dropped; a client that sends more is disconnected."""

DEADLINE = "Nozzled-Until"
"""The header with a request's deadline: a Unix time in s, by this machine's clock."""

_MAX_LENGTH_DIGITS = 18  # of a Content-Length; Python itself reads 4300

_UNIX_TIME = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")


@tornado.web.stream_request_body
class BaseHandler(tornado.web.RequestHandler):
    """Base of all handlers. Subclasses define `get`, `post`, …, and raise an error to refuse a request."""

    server: ClassVar[str]  # the name in the header `Server`
    statuses: ClassVar[Mapping[type[BaseException], int]]  # the HTTP status of each error
    logger: ClassVar[logging.Logger]

    max_body: int = MAX_JSON  # bytes

    def __init__(self, application: tornado.web.Application, request: HTTPServerRequest, **kwargs: Any) -> None:
        self.body = bytearray()
        self._received = 0  # bytes of the body, including those that were dropped
        self._is_refused = False
        super().__init__(application, request, **kwargs)

    def set_default_headers(self) -> None:
        """Forbid browsers to guess content types, to show our pages in frames, and to store our answers."""
        self.set_header("Server", self.server)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cache-Control", "no-store")

    def compute_etag(self) -> str | None:
        """Send no ETag: most answers are small and change all the time."""
        return None

    async def head(self, *path: str) -> None:
        """Answer like GET; Tornado omits the body."""
        result: Awaitable[None] | None = self.get(*path)
        if result is not None:
            await result

    def no_content(self) -> None:
        """Answer 204."""
        self.set_status(204)

    # -- before the body -----------------------------------------------------------------------------------

    def admit(self) -> None:
        """Refuse a request because of its headers, before its body arrives. Subclasses override this."""

    def check_content_length(self) -> None:
        """Refuse a body that is too large according to its Content-Length."""
        self._check_size(self.content_length or 0)

    @property
    def content_length(self) -> int | None:
        """The Content-Length in bytes; None: the header is missing, or is not a number."""
        length = self.request.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal()):
            return None
        return int(length) if len(length) <= _MAX_LENGTH_DIGITS else sys.maxsize

    def time_left(self, now: float) -> float | None:
        """Return the seconds until the request's deadline; None: it has none.

        A server that was held up reads requests that clients have given up on long ago and may have sent again.

        Args:
            now: the Unix time, in s.

        Raises:
            Refused: the deadline has passed, or the header is not a Unix time.
        """
        if (until := self.request.headers.get(DEADLINE)) is None:
            return None
        if not _UNIX_TIME.fullmatch(until):
            raise Refused(400, f"{DEADLINE} must be a Unix time, in s")
        if (late := now - float(until)) > 0:
            raise Refused(
                408, f"this request came {late:.0f} s too late and was not carried out; check the state, then try again"
            )
        return -late

    def has_client_gone(self) -> bool:
        """Tell whether the client has closed the connection."""
        stream = getattr(self.request.connection, "stream", None)
        if stream is None:
            return False
        if stream.closed():
            return True
        try:
            return not stream.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except (BlockingIOError, ValueError):  # ValueError: TLS sockets have no MSG_PEEK
            return False
        except OSError:
            return True

    # -- the body ------------------------------------------------------------------------------------------

    async def data_received(self, chunk: bytes) -> None:
        """Use or drop a chunk of the body. Tornado awaits this before it reads the next chunk."""
        self._received += len(chunk)
        if self._is_refused:
            if self._received > MAX_DRAINED:
                self.hang_up()
            return
        try:
            self._check_size(self._received)  # with Transfer-Encoding: chunked there is no Content-Length
            await self.take(chunk)
        except Exception as error:  # noqa: BLE001 - `refuse` answers every error, and logs bugs
            await self.give_up()
            self.refuse(error)

    async def take(self, chunk: bytes) -> None:
        """Add a chunk to `body`. Subclasses may write it to a file instead."""
        self.body += chunk

    async def give_up(self) -> None:
        """Delete what `take` has written: the request is refused. Subclasses override this."""

    def _check_size(self, size: int) -> None:
        if size > self.max_body:
            raise Refused(413, f"the body is too large: at most {self.max_body} bytes are accepted")

    def refuse(self, error: Exception) -> None:
        """Answer with this error at once, and drop the rest of the body.

        Closing the connection now would reset it while the client is still sending, and the answer might be lost.
        """
        self._is_refused = True
        if "Expect" in self.request.headers and not self._received:
            # the client waits for "100 Continue" and sends no body
            self.send_error(500, exc_info=(type(error), error, None))
            return
        self.clear()
        code, text = self._status_and_text(error)
        self.set_status(code)
        payload = json.dumps({"error": text}).encode()
        self.set_header("Content-Type", "application/json")
        self.set_header("Content-Length", str(len(payload)))
        self.write(payload)
        self.flush()
        self.skip_method()  # Tornado finishes the answer after the method

    def hang_up(self) -> None:
        """Close the connection at once, even in the middle of a body; unsent parts of an answer are lost."""
        self._is_refused = True
        self.skip_method()
        self.request.connection.close()  # type: ignore[union-attr]  # only HTTP1Connection has it

    def skip_method(self) -> None:
        """Prevent Tornado from calling the method of the request when the body has ended."""
        setattr(self, (self.request.method or "GET").lower(), _do_nothing)

    # -- errors --------------------------------------------------------------------------------------------

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Answer with the status of the error."""
        if "exc_info" in kwargs and kwargs["exc_info"][1] is not None:
            status_code, kwargs["text"] = self._status_and_text(kwargs["exc_info"][1])
        super().send_error(status_code, **kwargs)

    def _status_and_text(self, error: BaseException) -> tuple[int, str]:
        if isinstance(error, TooManyAttempts):
            self.set_header("Retry-After", str(math.ceil(error.wait)))
        if (reason := answer(error, self.statuses)) is not None:
            return reason
        self.logger.error("%s %s failed", self.request.method, self.request.path, exc_info=error)
        return 500, "Internal Server Error"

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with the error as JSON, without a traceback or other internals."""
        if status_code == 405:  # noqa: PLR2004 - the status itself
            self.set_header("Allow", ", ".join(self.allowed_methods()))
        self.finish({"error": kwargs.get("text") or responses.get(status_code, "Unknown")})

    @classmethod
    def allowed_methods(cls) -> list[str]:
        """Return the methods that this handler supports."""
        base = tornado.web.RequestHandler
        own = {name for name in base.SUPPORTED_METHODS if _method(cls, name) is not _method(base, name)}
        own -= {"HEAD", "OPTIONS"}
        return [name for name in base.SUPPORTED_METHODS if name in own or (name == "HEAD" and "GET" in own)]

    def log_exception(
        self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Log nothing: Tornado would log the URL, which may contain a key. `send_error` logs bugs."""


async def _do_nothing(*_: str) -> None:
    """Replace the method of a request that is already answered."""


def _method(handler: type[tornado.web.RequestHandler], name: str) -> object:
    return getattr(handler, name.lower())
