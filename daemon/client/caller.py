"""JSON requests: the key, errors, and retries."""

import asyncio
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode, urlsplit

from daemon.client.body import FormBody
from daemon.client.errors import BadAnswer, ClientError, NeverSent, RequestRefused, Unreachable, refusal
from daemon.client.exchange import Exchange, HttpAnswer, Request

PAUSES_S = (0.5, 1.0)
"""Seconds before each retry of a request; a restart of the daemon takes about one."""

TIMEOUT = 30.0
"""Seconds that a request waits for its answer."""

_TEMPORARY_STATUSES = (502, 503, 504)  # a proxy whose server restarts
_STANDARD_STATUSES = frozenset(HTTPStatus)
_MAX_TEXT = 300


class Caller:
    """Sends requests to one server with one key."""

    def __init__(self, url: str, key: str, exchange: Exchange) -> None:
        """Prepare.

        Raises:
            ClientError: the URL is wrong, or the key cannot be sent.
        """
        if not (key.isascii() and key.isprintable()):  # Tornado's error would quote it
            raise ClientError("the API key has a line break or another character that no key has; is it two lines?")
        self.url = base_url(url)
        self.exchange = exchange
        self._headers = {"X-Api-Key": key} if key else {}

    @property
    def headers(self) -> dict[str, str]:
        """The headers that authenticate the client."""
        return dict(self._headers)

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """Return the JSON at a path; retries if there is no answer."""
        return await self._call("GET", _with_query(path, query))

    async def fetch(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """Return the bytes at a path, for content other than JSON."""
        request = Request("GET", self.url + _with_query(path, query), dict(self._headers), None, TIMEOUT)
        answer = await self._send(request)
        return answer.body

    async def fetch_range(self, path: str, first: int, length: int, seconds: float) -> HttpAnswer:
        """Return the answer to a request for a range of bytes; a server that knows no ranges sends them all."""
        headers = {**self._headers, "Range": f"bytes={first}-{first + length - 1}"}
        return await self._send(Request("GET", self.url + path, headers, None, seconds))

    async def head(self, path: str) -> None:
        """Ask for a path without its content; raises NotFound if nothing is there."""
        await self._call("HEAD", path)

    async def command(self, path: str, command: str, **parameters: Any) -> Any:
        """Send a command, without the parameters that are None."""
        arguments = {name: value for name, value in parameters.items() if value is not None}
        return await self.post(path, {"command": command, **arguments})

    async def post(
        self, path: str, data: Mapping[str, Any], seconds: float = TIMEOUT, headers: Mapping[str, str] | None = None
    ) -> Any:
        """Send JSON; return the answer, None if it is empty."""
        return await self._call("POST", path, json.dumps(data).encode(), "application/json", seconds, headers)

    async def patch(self, path: str, data: Mapping[str, Any]) -> Any:
        """Send JSON that changes a part of a resource; return the answer."""
        return await self._call("PATCH", path, json.dumps(data).encode(), "application/json")

    async def send_form(
        self, path: str, form: FormBody, seconds: float, headers: Mapping[str, str] | None = None
    ) -> Any:
        """Send a form with a file; return the answer."""
        return await self._call("POST", path, form, form.content_type, seconds, headers)

    async def send_fields(self, path: str, fields: Mapping[str, str]) -> Any:
        """Send a form without a file; return the answer."""
        return await self._call("POST", path, urlencode(fields).encode(), "application/x-www-form-urlencoded")

    async def delete(self, path: str) -> None:
        """Delete the resource at a path."""
        await self._call("DELETE", path)

    async def _call(
        self,
        method: str,
        path: str,
        body: bytes | FormBody | None = None,
        kind: str = "",
        seconds: float = TIMEOUT,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        all_headers = {**self._headers, **({"Content-Type": kind} if kind else {}), **(headers or {})}
        request = Request(method, self.url + path, all_headers, body, seconds)
        answer = await self._send(request)
        if not answer.body:
            return None
        try:
            return json.loads(answer.body)
        except (ValueError, RecursionError) as error:
            raise BadAnswer(f"the answer to {request} is not JSON: is this OctoPrint's API?") from error

    async def _send(self, request: Request) -> HttpAnswer:
        """Return the answer to a request; retry it if it only reads, or if it certainly was never sent."""
        for pause in PAUSES_S:
            try:
                return await self._send_once(request)
            except ClientError as error:
                if not _may_retry(request, error):
                    raise
            await asyncio.sleep(pause)
        return await self._send_once(request)

    async def _send_once(self, request: Request) -> HttpAnswer:
        answer = await self.exchange.send(request)
        if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise refusal(str(request), answer.status, _reason(answer))
        return answer


def _with_query(path: str, query: Mapping[str, str] | None) -> str:
    return f"{path}?{urlencode(query, safe=',')}" if query else path


def base_url(text: str) -> str:
    """Return an address as `scheme://host:port/path`, without a slash at its end.

    Raises:
        ClientError: the address is wrong.
    """
    url = (text if "://" in text else f"http://{text}").rstrip("/")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        (parts.hostname or "").encode("idna")
    except ValueError:  # UnicodeError among them: a name that no resolver takes
        usable = False
    if not usable or parts.query or parts.fragment:
        raise ClientError(f"{text!r} is not a server's address such as http://printer.local:5000")
    return url


def _may_retry(request: Request, error: ClientError) -> bool:
    if isinstance(error, NeverSent):
        return True
    is_temporary = isinstance(error, RequestRefused) and error.status in _TEMPORARY_STATUSES
    return request.method in ("GET", "HEAD") and (isinstance(error, Unreachable) or is_temporary)


def _reason(answer: HttpAnswer) -> str:
    """Return the server's reason: OctoPrint's JSON, plain text, or the target of a redirect."""
    try:
        return str(json.loads(answer.body)["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    if target := answer.headers.get("location"):
        return f"it has moved to {target}"
    html = "html" in answer.headers.get("content-type", "")
    text = "" if html else answer.body.decode("utf-8", "replace").strip()[:_MAX_TEXT]
    if text or answer.status not in _STANDARD_STATUSES:
        return text
    return HTTPStatus(answer.status).phrase
