"""Requests to plugs, which are small, slow, and may be anything: bounded in time and size, and nobody is followed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

from tornado.httpclient import HTTPRequest
from tornado.simple_httpclient import HTTPStreamClosedError, HTTPTimeoutError, SimpleAsyncHTTPClient

from daemon.companions.power.devices import LONGEST
from daemon.companions.power.devices.words import excerpt
from daemon.companions.power.errors import DeviceError
from daemon.one_line import is_one_line

_NO_ANSWER = 599  # Tornado's status where there was none


@dataclass(frozen=True, slots=True)
class WebReply:
    """What came back; the names of the headers are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Web:
    """The way to one device."""

    def __init__(self, base: str, seconds: float, who: str) -> None:
        """Prepare.

        Args:
            base: its address, with or without the scheme.
            seconds: that a request may take in all.
            who: what it is called in messages.

        Raises:
            DeviceError: that is no address.
        """
        self.base = base_url(base, who) if base else ""
        self.path = urlsplit(self.base).path
        self.who = who
        self._seconds = seconds
        self._client: SimpleAsyncHTTPClient | None = None  # can only be made where a loop runs

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> WebReply:
        """Ask; an answer that says no is one, too. Raises DeviceError where there is none."""
        return await self.send("GET", self.base + path, headers)

    async def send(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: str | None = None
    ) -> WebReply:
        """Send a request; the URL, which may hold a password, is told to nobody. Raises as `get`."""
        if self._client is None:
            self._client = SimpleAsyncHTTPClient(
                force_instance=True, max_buffer_size=LONGEST, max_header_size=LONGEST // 4, max_body_size=LONGEST
            )
        request = HTTPRequest(
            url,
            method,
            dict(headers or {}),
            body,
            connect_timeout=self._seconds,
            request_timeout=self._seconds,
            follow_redirects=False,
            decompress_response=False,
            allow_nonstandard_methods=True,  # a POST may have no body
        )
        try:
            response = await self._client.fetch(request, raise_error=False)
        except Exception as error:  # whatever Tornado makes of bytes from a stranger
            raise DeviceError(f"{self.who} does not answer: {self._why(error)}") from error
        if response.code == _NO_ANSWER:
            raise DeviceError(f"{self.who} does not answer: {self._why(response.error)}")
        return WebReply(response.code, {k.lower(): v for k, v in response.headers.get_all()}, response.body or b"")

    def _why(self, error: BaseException | None) -> str:
        if isinstance(error, HTTPTimeoutError):
            return f"it has not done so within {self._seconds:g} s"
        if isinstance(error, HTTPStreamClosedError):
            return "it closes the connection, or sends far too much"
        if isinstance(error, OSError):
            return excerpt(error.strerror or str(error))
        return "it does not speak HTTP, or sends far too much"

    def accepted_body(self, reply: WebReply) -> bytes:
        """Return the body of an answer that is a yes.

        Raises:
            DeviceError: it is a no, or sends us elsewhere.
        """
        if reply.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise DeviceError(f"{self.who} refuses the user name or password: see password_file")
        if HTTPStatus.MULTIPLE_CHOICES <= reply.status < HTTPStatus.BAD_REQUEST:
            raise DeviceError(
                f"{self.who} sends us on to {_place(reply.headers.get('location', ''))}: put that into its address"
            )
        if not HTTPStatus.OK <= reply.status < HTTPStatus.MULTIPLE_CHOICES:
            raise DeviceError(f"{self.who} answers with {reply.status}: {excerpt(reply.body) or 'no text'}")
        return reply.body

    def close(self) -> None:
        """Let go of the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None


def _place(location: str) -> str:
    """Return whose address it is: the rest repeats what was asked."""
    try:
        parts = urlsplit(location)
        host, port = parts.hostname, f":{parts.port}" if parts.port else ""
    except ValueError:
        return "what is no address"
    return excerpt(f"{parts.scheme or 'http'}://{host}{port}") if host else "another place of its own"


def base_url(text: str, who: str) -> str:
    """Return an address as http://host:port/path, without a slash at its end.

    Raises:
        DeviceError: it is none.
    """
    url = (text if "://" in text else f"http://{text}").rstrip("/")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or not is_one_line(url) or " " in url or parts.query or parts.fragment or "@" in parts.netloc:
        raise DeviceError(f"{who}: {excerpt(text)!r} is not an address, like http://plug.local")
    return url
