"""HTTP requests to plugs, which may answer anything: time and size are limited, and redirects are not followed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

from tornado.httpclient import HTTPRequest
from tornado.simple_httpclient import HTTPStreamClosedError, HTTPTimeoutError, SimpleAsyncHTTPClient

from daemon.companions.power.devices import MAX_ANSWER
from daemon.companions.power.devices.answers import excerpt
from daemon.companions.power.errors import DeviceError
from daemon.one_line import is_one_line

_NO_ANSWER = 599  # the status that Tornado reports if there was no answer


@dataclass(frozen=True, slots=True)
class WebReply:
    """The answer to a request; the names of the headers are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Web:
    """HTTP client of one device."""

    def __init__(self, address: str, timeout_s: float, name: str) -> None:
        """Prepare.

        Args:
            address: its address, with or without the scheme; empty: `send` gets whole URLs.
            timeout_s: the longest time for a request and its answer together.
            name: its name in messages.

        Raises:
            DeviceError: the address is not valid.
        """
        self.base = base_url(address, name) if address else ""
        self.path = urlsplit(self.base).path
        self.name = name
        self._timeout_s = timeout_s
        self._client: SimpleAsyncHTTPClient | None = None  # needs a running event loop

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> WebReply:
        """Return the answer to a GET, whatever its status. Raises DeviceError if there is no answer."""
        return await self.send("GET", self.base + path, headers)

    async def send(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: str | None = None
    ) -> WebReply:
        """Do as `get`, with any method and whole URL. No message contains the URL, which may hold a password."""
        if self._client is None:
            self._client = SimpleAsyncHTTPClient(
                force_instance=True,
                max_buffer_size=MAX_ANSWER,
                max_header_size=MAX_ANSWER // 4,
                max_body_size=MAX_ANSWER,
            )
        request = HTTPRequest(
            url,
            method,
            dict(headers or {}),
            body,
            connect_timeout=self._timeout_s,
            request_timeout=self._timeout_s,
            follow_redirects=False,
            decompress_response=False,
            allow_nonstandard_methods=True,  # a POST may have no body
        )
        try:
            response = await self._client.fetch(request, raise_error=False)
        except Exception as error:  # Tornado raises all kinds of errors for a malformed answer
            raise DeviceError(f"{self.name} does not answer: {self._reason(error)}") from error
        if response.code == _NO_ANSWER:
            raise DeviceError(f"{self.name} does not answer: {self._reason(response.error)}")
        return WebReply(response.code, {k.lower(): v for k, v in response.headers.get_all()}, response.body or b"")

    def _reason(self, error: BaseException | None) -> str:
        if isinstance(error, HTTPTimeoutError):
            return f"timed out after {self._timeout_s:g} s"
        if isinstance(error, HTTPStreamClosedError):
            return "it closed the connection, or sent too much"
        if isinstance(error, OSError):
            return excerpt(error.strerror or str(error))
        return "it does not speak HTTP, or sent too much"

    def check_body(self, reply: WebReply) -> bytes:
        """Return the body of a successful answer.

        Raises:
            DeviceError: the status is an error or a redirect.
        """
        if reply.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise DeviceError(f"{self.name} refuses the user name, password or token: check user and password_file")
        if HTTPStatus.MULTIPLE_CHOICES <= reply.status < HTTPStatus.BAD_REQUEST:
            target = _redirect_target(reply.headers.get("location", ""))
            raise DeviceError(f"{self.name} redirects to {target}: correct its address")
        if not HTTPStatus.OK <= reply.status < HTTPStatus.MULTIPLE_CHOICES:
            raise DeviceError(f"{self.name} answered with status {reply.status}: {excerpt(reply.body) or 'no text'}")
        return reply.body

    def close(self) -> None:
        """Close its connections."""
        if self._client is not None:
            self._client.close()
            self._client = None


def _redirect_target(location: str) -> str:
    """Return scheme, host and port of a Location header: path and query may repeat secrets of the request."""
    try:
        parts = urlsplit(location)
        host, port = parts.hostname, f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an invalid address"
    return excerpt(f"{parts.scheme or 'http'}://{host}{port}") if host else "another of its paths"


def base_url(address: str, name: str) -> str:
    """Return an address as http://host:port/path, without a trailing slash.

    Raises:
        DeviceError: the address of device `name` is not valid.
    """
    url = (address if "://" in address else f"http://{address}").rstrip("/")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or not is_one_line(url) or " " in url or parts.query or parts.fragment or "@" in parts.netloc:
        raise DeviceError(f"{name}: {excerpt(address)!r} is not an address such as http://plug.local")
    return url
