"""The farm's HTTP server: its addresses, and its limits."""

import asyncio
import logging
import ssl
import sys
from pathlib import Path
from typing import Any

import tornado.web
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream

from daemon.errors import AddressInUse
from daemon.farm.http.about import FarmAboutHandler, FarmKeyHandler, FarmKeysHandler, FarmOpenApiHandler
from daemon.farm.http.base import FarmNowhere
from daemon.farm.http.history import FarmHistoryHandler, FarmHistoryTableHandler
from daemon.farm.http.hub import EventsHandler, FarmHub
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

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
JOB = rf"{UUID}|[0-9]{{1,9}}"
"""A job is called by its id, or by its number, as people do."""

MAX_HEADERS = 16 * 1024
MAX_CONNECTIONS = 512
IDLE = 120.0
BODY = 3600.0
"""Bytes of a request's headers, connections at once, seconds without a request, seconds for a body."""


def make_app(farm: FarmSeams) -> tornado.web.Application:
    """Return the application; `prepare` comes before its first request."""
    given: dict[str, Any] = {"farm": farm}
    api, printer = "/api/farm", f"/api/farm/printers/({PRINTER_ID})"
    routes = [
        (f"{api}", FarmAboutHandler, given),
        (f"{api}/jobs", JobsHandler, given),
        (f"{api}/jobs/({JOB})", FarmJobHandler, given),
        (f"{api}/jobs/({JOB})/(move|hold|release)", JobVerbHandler, given),
        (f"{api}/jobs/({JOB})/hand_over", HandOverHandler, given),
        (f"{api}/copies/({UUID})", CopyHandler, given),
        (f"{api}/copies/({UUID})/(cancel|again|settle)", CopyVerbHandler, given),
        (f"{api}/printers", PrintersHandler, given),
        (f"{printer}", FarmPrinterHandler, given),
        (f"{printer}/({'|'.join(VERBS)})", PrinterVerbHandler, given),
        (f"{printer}/picture", PrinterPictureHandler, given),
        (f"{api}/orphans", OrphansHandler, given),
        (f"{api}/events", EventsHandler, given),
        (f"{api}/history", FarmHistoryHandler, given),
        (rf"{api}/history\.csv", FarmHistoryTableHandler, given),
        (f"{api}/log", FarmLogHandler, given),
        (f"{api}/files", FarmFilesHandler, given),
        (f"{api}/files/({SHA256})", FileFactsHandler, given),
        (f"{api}/files/({SHA256})/thumbnail", ThumbnailsHandler, given),
        (f"{api}/keys", FarmKeysHandler, given),
        (f"{api}/keys/([^/]+)", FarmKeyHandler, given),
        (rf"{api}/openapi\.json", FarmOpenApiHandler, given),
        ("/metrics", FarmMetricsHandler, given),
        (r"/()", FarmPageHandler, given),
        (r"/page/([a-z0-9_-]+\.[a-z0-9]+)", FarmPageHandler, given),
        (r"/page/(vendor/[a-z0-9_-]+\.[a-z0-9]+)", FarmPageHandler, given),
    ]
    return tornado.web.Application(
        routes,
        default_handler_class=FarmNowhere,
        default_handler_args=given,
        log_function=_log_request,
        farm_keys=FarmKeys(farm),
        farm_hub=FarmHub(farm),
        farm_uploads=set(),
        farm_tasks=set(),  # what goes on behind an answer
    )


async def prepare(app: tornado.web.Application, farm: FarmSeams) -> Path | None:
    """Make the first key where there is none, and clear away what an earlier process left; return the key's file."""
    await asyncio.to_thread(remove_leftovers, farm.folder)
    keys: FarmKeys = app.settings["farm_keys"]
    return await keys.have_one()


def _log_request(handler: tornado.web.RequestHandler) -> None:
    logging.getLogger("nozzled.farm.http").debug(
        "%s %s %d", handler.request.method, handler.request.path, handler.get_status()
    )


class FarmServer(HTTPServer):
    """Takes a bounded number of connections; more are closed at once."""

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        """Count from none."""
        super().initialize(*args, **kwargs)
        self._open: set[IOStream] = set()
        self.port = 0

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        """Take a connection."""
        self._open = {each for each in self._open if not each.closed()}
        if len(self._open) >= MAX_CONNECTIONS:
            stream.close()
            return
        self._open.add(stream)
        super().handle_stream(stream, address)

    async def close(self) -> None:
        """Take no more connections, and end those that are open."""
        self.stop()
        hub: FarmHub = self.request_callback.settings["farm_hub"]  # type: ignore[union-attr]  # our app
        await hub.close()
        await self.close_all_connections()


def listen(app: tornado.web.Application, host: str, port: int, tls: ssl.SSLContext | None = None) -> FarmServer:
    """Listen on an address; port 0: any that is free.

    Raises:
        AddressInUse: it cannot be listened on.
    """
    logging.getLogger("tornado.general").setLevel(logging.WARNING)  # at info it quotes what is malformed
    server = FarmServer(
        app,
        ssl_options=tls,
        idle_connection_timeout=IDLE,
        body_timeout=BODY,
        max_body_size=sys.maxsize,  # the handlers bound it, where the answer can say so
        max_header_size=MAX_HEADERS,
    )
    try:
        sockets = tornado.netutil.bind_sockets(port, host)
    except OSError as error:
        raise AddressInUse(f"the farm cannot listen on {host}:{port}: {error.strerror or error}") from error
    server.add_sockets(sockets)
    server.port = sockets[0].getsockname()[1]
    return server
