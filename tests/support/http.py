"""The HTTP API in memory: requests go straight into Tornado's application, without a socket, on any clock.

The service behind it is the real one, on the simulated printer.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tornado.httputil import HTTPConnection, HTTPHeaders, RequestStartLine, ResponseStartLine

from daemon import app
from daemon.config import Config
from daemon.front.http.server import make_app
from support.both import Service
from support.waiting import TIMEOUT

KEY = "0123456789abcdef-key"
NOW = 1_700_000_000.0  # what wall() says


@dataclass
class Response:
    status: int = 0
    headers: HTTPHeaders = field(default_factory=HTTPHeaders)
    body: bytes = b""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        assert self.headers["Content-Type"].startswith("application/json")
        assert list(self.json) == ["error"]
        return self.json["error"]


class ResponseRecorder(HTTPConnection):
    """The server's side of a connection; records the response."""

    def __init__(self, method, peer):
        self.method = method
        self.context = SimpleNamespace(remote_ip=peer, protocol="http")
        self.response = Response()
        self.finished = asyncio.Event()
        self.body_timeout = None

    def set_close_callback(self, callback):
        self.on_close = callback

    def set_body_timeout(self, timeout):
        self.body_timeout = timeout

    def close(self):
        self.finished.set()

    def _done(self):
        future = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future

    def write_headers(self, start_line: ResponseStartLine, headers, chunk=None):
        assert not self.response.status, "a request has one answer"
        self.response.status, self.response.headers = start_line.code, headers.copy()
        self.response.body = chunk or b""
        return self._done()

    def write(self, chunk):
        self.response.body += chunk
        return self._done()

    def finish(self):
        length = self.response.headers.get("Content-Length")
        assert length is None or self.method == "HEAD" or int(length) == len(self.response.body)
        self.finished.set()


@dataclass
class Api:
    """A running service and its HTTP application."""

    service: Service
    application: Any

    async def request(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] = b"",
        headers: dict[str, str] | None = None,
        key: str | None = KEY,
        hang_up: bool = False,
        peer: str = "192.0.2.9",
    ) -> Response:
        """Send a request and return its answer; a body in pieces arrives in these pieces.

        With `hang_up` the client disconnects after the body, and there may be no answer.
        """
        pieces = [body] if isinstance(body, bytes) else list(body)
        all_headers = HTTPHeaders({"Host": "printer.local:5000", **({"X-Api-Key": key} if key else {})})
        if size := sum(map(len, pieces)):
            all_headers["Content-Length"] = str(size)
        for name, value in (headers or {}).items():
            all_headers[name] = value
        connection = ResponseRecorder(method, peer)
        delegate = self.application.start_request(None, connection)
        if (ready := delegate.headers_received(RequestStartLine(method, path, "HTTP/1.1"), all_headers)) is not None:
            await ready
        for piece in pieces:
            if not piece or connection.finished.is_set():
                continue
            if (handled := delegate.data_received(piece)) is not None:
                await handled
        if hang_up:
            delegate.on_connection_close()
            return connection.response
        if not connection.finished.is_set():
            delegate.finish()
        await asyncio.wait_for(connection.finished.wait(), TIMEOUT)
        return connection.response

    async def get(self, path: str, **more: Any) -> Response:
        return await self.request("GET", path, **more)

    async def delete(self, path: str, **more: Any) -> Response:
        return await self.request("DELETE", path, **more)

    async def post(self, path: str, data: Any = None, **more: Any) -> Response:
        """Send JSON."""
        headers = {"Content-Type": "application/json", **more.pop("headers", {})}
        return await self.request("POST", path, json.dumps(data).encode(), headers=headers, **more)

    async def upload(self, *parts: tuple[str, bytes] | tuple[str, str, bytes], **more: Any) -> Response:
        """Send a form of (field, value) and (field, file name, content)."""
        body, kind = form(*parts)
        return await self.request("POST", "/api/files/local", body, headers={"Content-Type": kind}, **more)

    async def print(self, content: bytes, seconds: float = 5.0) -> None:
        """Upload `a.gcode`, print it, and let the printer run for some seconds."""
        assert (await self.upload(("file", "a.gcode", content), ("print", b"true"))).status == 201
        await self.settle(seconds)

    async def settle(self, seconds: float = 1.0) -> None:
        """Let the printer run for some seconds."""
        await asyncio.sleep(seconds)

    def uploaded(self) -> dict[str, bytes]:
        """Return every file below the uploads, even those that clients do not see."""
        return self.service.uploaded()


def form(*parts: tuple[str, bytes] | tuple[str, str, bytes], boundary: str = "frontier") -> tuple[bytes, str]:
    """Return a multipart body and its content type."""
    body = b""
    for name, *filename, content in parts:
        extra = f'; filename="{filename[0]}"' if filename else ""
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'.encode()
        body += content + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def config(folder: Path, address: str = "sim", **sections: dict[str, Any]) -> Config:
    """Return a configuration with other values in some sections: `config(tmp_path, profile={"extruders": 2})`."""
    # analysis would start a process for each upload
    analysis = {"enabled": False, **sections.pop("analysis", {})}
    # lines arrive as they are in the file
    link = {"compact": "off", **sections.pop("link", {})}
    changes = {"printer": {"address": address}, "paths": {"state_dir": str(folder)}, "analysis": analysis, "link": link}
    changes |= sections
    base = Config()
    return replace(base, **{name: replace(getattr(base, name), **values) for name, values in changes.items()})


@asynccontextmanager
async def api(
    folder: Path,
    address: str = "sim",
    *,
    wait: bool = True,
    switched_on: Collection[str] = (),
    **sections: dict[str, Any],
) -> AsyncIterator[Api]:
    """Run the service. If there is an address, `wait` until the printer is connected."""
    settings = config(folder, address, **sections)
    async with AsyncExitStack() as stack:
        both = await app.start(stack, settings, {"NOZZLED_API_KEY": KEY}, lambda: NOW, switched_on=switched_on)
        service = Service(both)
        while address and wait and not service.connection.ready:  # noqa: ASYNC110 - works on any clock
            await asyncio.sleep(0.1)
        yield Api(service, make_app(both.front))
