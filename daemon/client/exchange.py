"""Sends one request and returns its answer, with Tornado's HTTP client: the daemon depends on Tornado anyway."""

import asyncio
import errno
import socket
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest, HTTPResponse
from tornado.iostream import UnsatisfiableReadError
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from daemon.client.body import FormBody
from daemon.client.errors import NeverSent, Unreachable

LATE_ANSWER_TIMEOUT = 2.0  # for an answer that arrives after the server has closed the connection
CONNECT_TIMEOUT = 10.0
MAX_ANSWER = 32 * 1024 * 1024  # bytes; a list of 10,000 files has some 7 million

_NEVER_SENT = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH)


@dataclass(frozen=True, slots=True)
class Request:
    """A request; its body is bytes, or a form that is read while it is sent."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | FormBody | None = None
    seconds: float = 30.0

    def __str__(self) -> str:
        return f"{self.method} {self.url}"


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer of any status; the names of the headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Exchange(Protocol):
    """Delivers requests to the server; tests replace it by one without a socket."""

    async def send(self, request: Request) -> HttpAnswer:
        """Send a request and return the answer.

        Raises:
            Unreachable: there is none.
        """

    def close(self) -> None:
        """Close connections."""


class TornadoExchange:
    """Requests over the network, each on a connection of its own."""

    def __init__(self) -> None:
        self._client: AsyncHTTPClient | None = None  # can only be made where a loop runs

    async def send(self, request: Request) -> HttpAnswer:
        """Send a request and return the answer.

        Raises:
            Unreachable: there is none.
        """
        if self._client is None:
            self._client = SimpleAsyncHTTPClient(force_instance=True, max_buffer_size=MAX_ANSWER)
        form = request.body if isinstance(request.body, FormBody) else None
        try:
            response = self._client.fetch(_tornado_request(request, form), raise_error=False)
            return _answer(await (response if form is None else _await_response(response, form)))
        except Exception as error:
            if form is not None and form.failure is not None:  # Tornado raises an error of its own instead
                raise form.failure from None
            if not isinstance(error, HTTPClientError | UnsatisfiableReadError | OSError):
                raise
            kind = NeverSent if _was_never_sent(error) else Unreachable
            raise kind(f"no answer to {request}: {error}") from error

    def close(self) -> None:
        """Close connections."""
        if self._client is not None:
            self._client.close()
            self._client = None


async def _await_response(response: Awaitable[HTTPResponse], form: FormBody) -> HTTPResponse:
    """Return the response. Without this, Tornado would wait for ever if a form cannot be sent completely.

    Raises:
        ConnectionResetError: the server has closed the connection without an answer.
    """
    fetching, hang_up = asyncio.ensure_future(response), asyncio.ensure_future(form.hang_up.wait())
    try:
        await asyncio.wait({fetching, hang_up}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({fetching}, timeout=LATE_ANSWER_TIMEOUT)
        if not fetching.done():
            raise ConnectionResetError("the server closed the connection in the middle of the file")
        return fetching.result()
    finally:
        hang_up.cancel()
        fetching.cancel()


def _tornado_request(request: Request, form: FormBody | None) -> HTTPRequest:
    headers = dict(request.headers)
    if form is not None:
        headers["Content-Length"] = str(form.length)  # otherwise chunked, and the server would not know the size
    return HTTPRequest(
        request.url,
        request.method,
        headers,
        request.body if isinstance(request.body, bytes) else None,
        connect_timeout=min(CONNECT_TIMEOUT, request.seconds),
        request_timeout=request.seconds,
        follow_redirects=False,  # another server must not get the key
        expect_100_continue=form is not None,  # a refusal comes before the bytes
        body_producer=form.write_to if form else None,  # type: ignore[arg-type]  # any coroutine will do, say its docs
        allow_nonstandard_methods=True,  # a POST may have no body
    )


def _answer(response: HTTPResponse) -> HttpAnswer:
    headers = {name.lower(): value for name, value in response.headers.get_all()}
    return HttpAnswer(response.code, headers, response.body or b"")


def _was_never_sent(error: Exception) -> bool:
    if isinstance(error, socket.gaierror):
        return True
    return isinstance(error, OSError) and error.errno in _NEVER_SENT
