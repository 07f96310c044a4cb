"""The farm's HTTP server: its routes and limits."""

import asyncio
import logging
import ssl
import sys
from pathlib import Path
from typing import Any

import tornado.web
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.iostream import IOStream

from daemon.errors import AddressInUse
from daemon.farm.http.about import FarmAboutHandler, FarmKeyHandler, FarmKeysHandler, FarmOpenApiHandler
from daemon.farm.http.base import FarmNotFound
from daemon.farm.http.feed import EventsHandler, FarmFeed
from daemon.farm.http.history import FarmHistoryHandler, FarmHistoryTableHandler
from daemon.farm.http.jobs import (
    CopyHandler,
    CopyVerbHandler,
    FarmJobHandler,
    FarmLogHandler,
    HandOverHandler,
    JobsHandler,
    JobVerbHandler,
    OrphansHandler,
)
from daemon.farm.http.keys import FarmKeys
from daemon.farm.http.metrics import FarmMetricsHandler
from daemon.farm.http.pages import FarmPageHandler
from daemon.farm.http.printers import (
    VERBS,
    FarmPrinterHandler,
    PrinterPictureHandler,
    PrintersHandler,
    PrinterVerbHandler,
)
from daemon.farm.http.seams import FarmSeams
from daemon.farm.http.uploads import SHA256, FarmFilesHandler, FileFactsHandler, ThumbnailsHandler, remove_leftovers
from daemon.farm.messages import PRINTER_ID
from daemon.http.request_target import use_origin_form

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
JOB = rf"{UUID}|[0-9]{{1,9}}"
"""The id of a job, or its number, which users prefer."""

MAX_HEADERS = 16 * 1024  # bytes of a request
MAX_CONNECTIONS = 512  # at once
IDLE_TIMEOUT = 120.0  # without a request
BODY_TIMEOUT = 3600.0  # for the body of a request


class FarmApplication(tornado.web.Application):
    """Tornado's application, which accepts each form of a request target."""

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        """Find the handler of the request's path."""
        use_origin_form(request)
        return super().find_handler(request, **kwargs)


def make_app(farm: FarmSeams) -> tornado.web.Application:
    """Return the application; call `prepare` before its first request."""
    shared: dict[str, Any] = {"farm": farm}
    api, printer = "/api/farm", f"/api/farm/printers/({PRINTER_ID})"
    routes = [
        (f"{api}", FarmAboutHandler, shared),
        (f"{api}/jobs", JobsHandler, shared),
        (f"{api}/jobs/({JOB})", FarmJobHandler, shared),
        (f"{api}/jobs/({JOB})/(move|hold|release)", JobVerbHandler, shared),
        (f"{api}/jobs/({JOB})/hand_over", HandOverHandler, shared),
        (f"{api}/copies/({UUID})", CopyHandler, shared),
        (f"{api}/copies/({UUID})/(cancel|again|settle)", CopyVerbHandler, shared),
        (f"{api}/printers", PrintersHandler, shared),
        (f"{printer}", FarmPrinterHandler, shared),
        (f"{printer}/({'|'.join(VERBS)})", PrinterVerbHandler, shared),
        (f"{printer}/picture", PrinterPictureHandler, shared),
        (f"{api}/orphans", OrphansHandler, shared),
        (f"{api}/events", EventsHandler, shared),
        (f"{api}/history", FarmHistoryHandler, shared),
        (rf"{api}/history\.csv", FarmHistoryTableHandler, shared),
        (f"{api}/log", FarmLogHandler, shared),
        (f"{api}/files", FarmFilesHandler, shared),
        (f"{api}/files/({SHA256})", FileFactsHandler, shared),
        (f"{api}/files/({SHA256})/thumbnail", ThumbnailsHandler, shared),
        (f"{api}/keys", FarmKeysHandler, shared),
        (f"{api}/keys/([^/]+)", FarmKeyHandler, shared),
        (rf"{api}/openapi\.json", FarmOpenApiHandler, shared),
        ("/metrics", FarmMetricsHandler, shared),
        (r"/()", FarmPageHandler, shared),
        (r"/page/([a-z0-9_-]+\.[a-z0-9]+)", FarmPageHandler, shared),
        (r"/page/(vendor/[a-z0-9_-]+\.[a-z0-9]+)", FarmPageHandler, shared),
    ]
    return FarmApplication(
        routes,
        default_handler_class=FarmNotFound,
        default_handler_args=shared,
        log_function=_log_request,
        farm_keys=FarmKeys(farm),
        farm_feed=FarmFeed(farm),
        farm_uploads=set(),
        farm_tasks=set(),  # work that outlives its request
    )


async def prepare(app: tornado.web.Application, farm: FarmSeams) -> Path | None:
    """Delete leftovers of an earlier process, and make the first key if there is none; return its file, or None."""
    await asyncio.to_thread(remove_leftovers, farm.folder)
    keys: FarmKeys = app.settings["farm_keys"]
    return await keys.ensure_one()


def _log_request(handler: tornado.web.RequestHandler) -> None:
    logging.getLogger("nozzled.farm.http").debug(
        "%s %s %d", handler.request.method, handler.request.path, handler.get_status()
    )


class FarmServer(HTTPServer):
    """An HTTP server with a limit on its connections; excess connections are closed at once."""

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        """Prepare; there are no connections yet."""
        super().initialize(*args, **kwargs)
        self._open_streams: set[IOStream] = set()
        self.port = 0

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        """Accept a connection, unless there are too many."""
        self._open_streams = {each for each in self._open_streams if not each.closed()}
        if len(self._open_streams) >= MAX_CONNECTIONS:
            stream.close()
            return
        self._open_streams.add(stream)
        super().handle_stream(stream, address)

    async def close(self) -> None:
        """Accept no more connections, and close those that are open."""
        self.stop()
        feed: FarmFeed = self.request_callback.settings["farm_feed"]  # type: ignore[union-attr]  # our app
        await feed.close()
        await self.close_all_connections()


def listen(app: tornado.web.Application, host: str, port: int, tls: ssl.SSLContext | None = None) -> FarmServer:
    """Listen on an address; port 0 takes any free one.

    Raises:
        AddressInUse: the address is in use, or not one of this computer's.
    """
    logging.getLogger("tornado.general").setLevel(logging.WARNING)  # at level info it quotes malformed requests
    server = FarmServer(
        app,
        ssl_options=tls,
        idle_connection_timeout=IDLE_TIMEOUT,
        body_timeout=BODY_TIMEOUT,
        max_body_size=sys.maxsize,  # the handlers limit it: their answer names the limit
        max_header_size=MAX_HEADERS,
    )
    try:
        sockets = tornado.netutil.bind_sockets(port, host)
    except OSError as error:
        raise AddressInUse(f"the farm cannot listen on {host}:{port}: {error.strerror or error}") from error
    server.add_sockets(sockets)
    server.port = sockets[0].getsockname()[1]
    return server
