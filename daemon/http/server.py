"""The HTTP server: which address leads to which handler, and the limits that hold for every connection."""

import errno
import logging
import re
import socket
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import tornado.httputil
import tornado.web
from tornado.httpserver import HTTPServer

from daemon.errors import AddressInUse
from daemon.http.base import ApiHandler, NotFound
from daemon.http.connection import ConnectionHandler
from daemon.http.downloads import DownloadHandler
from daemon.http.files import AllFilesHandler, FileHandler, SdCardHandler
from daemon.http.job import JobHandler
from daemon.http.printer import (
    BedHandler,
    ChamberHandler,
    CommandHandler,
    CustomControlsHandler,
    PrinterErrorHandler,
    PrinterHandler,
    PrintheadHandler,
    SdHandler,
    ToolHandler,
)
from daemon.http.server_info import ServerHandler, VersionHandler
from daemon.http.temperatures import TemperatureHistory
from daemon.http.uploads import UploadHandler

if TYPE_CHECKING:
    from daemon.app import Service

IDLE = 75.0
BODY = 30.0
"""Seconds: for a connection without a request or with half its headers, and for a body (uploads set their own)."""

BACKLOG = 128  # connections that wait to be accepted

log = logging.getLogger("nozzled.http")


class Application(tornado.web.Application):
    """Tornado's, but `//api//version` is `/api/version`: Home Assistant writes it so."""

    def find_handler(self, request: tornado.httputil.HTTPServerRequest, **kwargs: Any) -> Any:
        """Return what handles the request."""
        request.path = re.sub("/{2,}", "/", request.path)
        return super().find_handler(request, **kwargs)


def make_app(service: "Service") -> Application:
    """Return the application, with every address of the API."""
    given: dict[str, Any] = {"service": service}
    history = TemperatureHistory(service.wall)
    service.connection.subscribe(history.on_event)
    heated = {**given, "history": history}
    routes: list[tuple[str, type[ApiHandler], dict[str, Any]]] = [
        (r"/api/(?:control/)?job", JobHandler, given),  # /api/control/job is in the docs of OctoPrint 1.1 and 1.2
        (r"/api/files", AllFilesHandler, given),
        (r"/api/files/local", UploadHandler, given),
        (r"/api/files/local/(.+)", FileHandler, given),
        (r"/api/files/sdcard", SdCardHandler, given),
        (r"/downloads/files/local/(.+)", DownloadHandler, given),
        (r"/api/connection", ConnectionHandler, given),
        (r"/api/printer", PrinterHandler, heated),
        (r"/api/printer/tool", ToolHandler, heated),
        (r"/api/printer/bed", BedHandler, heated),
        (r"/api/printer/chamber", ChamberHandler, heated),
        (r"/api/printer/printhead", PrintheadHandler, given),
        (r"/api/printer/sd", SdHandler, given),
        (r"/api/printer/error", PrinterErrorHandler, given),
        (r"/api/printer/command", CommandHandler, given),
        (r"/api/printer/command/custom", CustomControlsHandler, given),
        (r"/api/version", VersionHandler, given),
        (r"/api/server", ServerHandler, given),
    ]
    return Application(routes, default_handler_class=NotFound, default_handler_args=given, log_function=log_request)


def log_request(handler: tornado.web.RequestHandler) -> None:
    """Log a finished request without its query, where a key may be."""
    request = handler.request
    log.debug("%s %s %d", request.method, request.path, handler.get_status())


@dataclass(frozen=True, slots=True)
class Listening:
    """A server that listens; `stop` ends that and closes what is open."""

    server: HTTPServer
    url: str

    def stop(self) -> None:
        """Take no more connections."""
        self.server.stop()

    async def close(self) -> None:
        """Take no more connections, and end those that are open; uploads under way leave nothing behind."""
        self.server.stop()
        await self.server.close_all_connections()


def listen(service: "Service") -> Listening:
    """Listen on the configured address.

    Raises:
        AddressInUse: somebody else does, or the address is not this machine's; says who.
    """
    http = service.config.http
    try:
        bound = _bind(http.host, http.port)
    except OSError as error:
        raise AddressInUse(_explain(http.host, http.port, error)) from error
    # sizes are limited where the answer can say so in JSON: in the handlers
    server = HTTPServer(make_app(service), idle_connection_timeout=IDLE, body_timeout=BODY, max_body_size=sys.maxsize)
    server.add_socket(bound)
    host = f"[{http.host}]" if ":" in http.host else http.host
    return Listening(server, f"http://{host}:{bound.getsockname()[1]}/")


def _bind(host: str, port: int) -> socket.socket:
    six = ":" in host
    family = socket.AF_INET6 if six else socket.AF_INET
    both = host == "::" and socket.has_dualstack_ipv6()  # every network of this machine, of either kind
    bound = socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=both)
    bound.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    return bound


def _explain(host: str, port: int, error: OSError) -> str:
    if error.errno != errno.EADDRINUSE:
        return f"cannot listen on {host}:{port}: {error.strerror or error}"
    from hal import holders  # noqa: PLC0415 - only wanted when it fails

    return f"the HTTP port {host}:{port} is taken by {holders.describe(holders.of_tcp_port(port))}"
