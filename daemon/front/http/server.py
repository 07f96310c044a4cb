"""The HTTP server: which address leads to which handler, and the limits that hold for every connection."""

import errno
import importlib
import logging
import re
import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import tornado.httputil
import tornado.web
from tornado.httpserver import HTTPServer

from daemon.config import HttpConfig
from daemon.errors import AddressInUse
from daemon.front.access import hosts
from daemon.front.http import health, page, public, push
from daemon.front.http.analysis import ThumbnailHandler
from daemon.front.http.base import NotFoundHandler
from daemon.front.http.bounded_server import BoundedServer, room_for_connections
from daemon.front.http.files import AllFilesHandler, FileHandler, SdCardHandler
from daemon.front.http.job import JobHandler
from daemon.front.http.printer import (
    BedHandler,
    ChamberHandler,
    CommandHandler,
    CustomControlsHandler,
    PrinterErrorHandler,
    PrinterHandler,
    PrintheadHandler,
    SdHandler,
    TemperaturesHandler,
    ToolHandler,
)
from daemon.front.http.seats import SeatLimits
from daemon.front.http.server_info import ServerHandler, SystemInfoHandler, VersionHandler
from daemon.front.http.uploads import UploadHandler
from daemon.front.push.hub import Hub
from daemon.front.views.job import JobView
from daemon.front.views.listing import Listing
from daemon.front.views.temperatures import TemperatureHistory
from gcode.frozen import frozen

if TYPE_CHECKING:
    from daemon.front.front import Front

IDLE = 75.0
BODY = 30.0
"""Seconds: for a connection without a request or with half its headers, and for a body (uploads set their own)."""

MAX_HEADERS = 32 * 1024  # bytes

BACKLOG = 128  # connections that wait to be accepted

log = logging.getLogger("nozzled.http")


class Application(tornado.web.Application):
    """Tornado's, but `//api//version` is `/api/version`, as Home Assistant writes it, and a slash may be escaped.

    OctoDash asks for `/api/files%2Flocal%2Fa.gcode`; no name of a file has a slash in it.
    """

    def find_handler(self, request: tornado.httputil.HTTPServerRequest, **kwargs: Any) -> Any:
        """Return what handles the request."""
        path = request.path
        if path.startswith("/api/files%2"):
            path = re.sub("%2[Ff]", "/", path)
        request.path = re.sub("/{2,}", "/", path)
        return super().find_handler(request, **kwargs)

    def get_handler_delegate(self, request: Any, target_class: Any, *args: Any, **kwargs: Any) -> Any:
        """Return what takes a request, with a handler that is loaded by now."""
        return super().get_handler_delegate(request, loaded(target_class), *args, **kwargs)


class Late(tornado.web.RequestHandler):
    """Stands for a handler whose module is loaded for the first request to it: most are never asked for."""

    module = name = ""


def loaded(handler: Any) -> Any:
    """Return a handler, whatever stood for it."""
    return getattr(importlib.import_module(handler.module), handler.name) if issubclass(handler, Late) else handler


def late(module: str, name: str) -> type[Late]:
    """Return what stands for a handler of a module here."""
    return type(name, (Late,), {"module": f"{__package__}.{module}", "name": name})


def make_app(service: "Front") -> Application:
    """Return the application, with every address of the API."""
    given: dict[str, Any] = {"service": service}
    history = TemperatureHistory(service.wall)
    service.connection.subscribe(history.on_event)
    view = JobView(service)
    heated = {**given, "history": history}
    hub = Hub(service, view, history)
    routes: list[tuple[str, type[tornado.web.RequestHandler], dict[str, Any]]] = [
        *page.routes(given),
        (r"/online\.txt", public.OnlineHandler, given),
        (r"/robots\.txt", public.RobotsHandler, given),
        (r"/favicon\.ico", public.IconHandler, given),
        *push.routes(service, hub),
        *health.routes(given),
        (
            r"/api/(?:control/)?job",
            JobHandler,
            {**given, "view": view},
        ),  # /api/control/job is in the docs of OctoPrint 1.1 and 1.2
        (r"/api/job/keyed", late("keyed", "KeyedPrintHandler"), given),
        (r"/api/job/filament", late("filament", "JobFilamentHandler"), given),
        (r"/api/files", AllFilesHandler, given),
        (r"/api/files/local", UploadHandler, given),
        # a folder may be called toolpath, too
        (r"/api/files/local/(.+\.[gG][cCoOdDeE]*)/toolpath", late("toolpath", "ToolpathHandler"), given),
        (r"/api/files/local/(.+)", FileHandler, given),
        (r"/api/files/sdcard", SdCardHandler, given),
        (r"/downloads/files/local/(.+)", late("downloads", "DownloadHandler"), given),
        (r"/downloads/thumbnails/local/(.+)", ThumbnailHandler, given),
        (r"/downloads/logs/([^/]+)", late("logs", "LogHandler"), given),
        (r"/webcam/", late("webcam", "WebcamHandler"), given),
        (r"/webcam/([^/]+)/", late("webcam", "WebcamHandler"), given),
        (r"/api/links", late("links", "LinksHandler"), given),
        (r"/api/logs", late("logs", "LogsHandler"), given),
        (r"/plugin/logging/logs", late("logs", "LogsHandler"), given),
        (r"/plugin/logging/logs/([^/]+)", late("logs", "LogHandler"), given),
        (r"/api/connection", late("connection", "ConnectionHandler"), given),
        (r"/api/printer", PrinterHandler, heated),
        (r"/api/printer/temperatures", TemperaturesHandler, heated),
        (r"/api/printer/tool", ToolHandler, heated),
        (r"/api/printer/preheat", late("preheat", "PreheatHandler"), given),
        (r"/api/printer/bed", BedHandler, heated),
        (r"/api/printer/chamber", ChamberHandler, heated),
        (r"/api/printer/printhead", PrintheadHandler, given),
        (r"/api/printer/sd", SdHandler, given),
        (r"/api/printer/error", PrinterErrorHandler, given),
        (r"/api/printer/command", CommandHandler, given),
        (r"/api/printer/command/custom", CustomControlsHandler, given),
        (r"/api/macros", late("macros", "MacrosHandler"), given),
        (r"/api/queue", late("queue", "QueueHandler"), given),
        (r"/api/queue/([0-9]+)", late("queue", "QueueEntryHandler"), given),
        (r"/api/history", late("history", "HistoryHandler"), given),
        (r"/api/history/totals", late("history", "TotalsHandler"), given),
        (r"/api/history\.(csv|json)", late("history", "ExportHandler"), given),
        (r"/api/history/(-?[0-9]+)", late("history", "PrintHandler"), given),
        (r"/api/history/(-?[0-9]+)/thumbnail", late("history", "PictureHandler"), given),
        (r"/api/resume-at", late("resume_at", "ResumeAtHandler"), given),
        (r"/api/pair", late("pairing", "PairHandler"), given),
        (r"/api/pair/codes", late("pairing", "CodesHandler"), given),
        (r"/api/stepup", late("pairing", "StepUpHandler"), given),
        (r"/api/keys", late("pairing", "KeysHandler"), given),
        (r"/api/keys/([^/]+)", late("pairing", "KeyHandler"), {**given, "hub": hub}),
        (r"/api/version", VersionHandler, given),
        (r"/api/server", ServerHandler, given),
        (r"/api/system/info", SystemInfoHandler, given),
        (r"/api/users", late("users", "UsersHandler"), given),
        (r"/api/users/([^/]+)", late("users", "UserHandler"), given),
        (r"/api/access/users", late("users", "UsersHandler"), given),
        (r"/api/access/users/([^/]+)", late("users", "UserHandler"), given),
        (r"/api/access/groups", late("users", "GroupsHandler"), given),
        (r"/api/access/groups/([^/]+)", late("users", "GroupHandler"), given),
        (r"/api/access/permissions", late("users", "PermissionsHandler"), given),
        (r"/plugin/pluginmanager/plugins", late("plugins", "PluginsHandler"), given),
        (r"/api/plugin/pluginmanager", late("plugins", "PluginsHandler"), given),
        (r"/plugin/pluginmanager/plugins/versions", late("plugins", "VersionsHandler"), given),
        (r"/plugin/softwareupdate/check", late("plugins", "UpdatesHandler"), given),
        (r"/api/login", late("login", "LoginHandler"), given),
        (r"/api/logout", late("login", "LogoutHandler"), given),
        (r"/api/currentuser", late("login", "CurrentUserHandler"), given),
        (r"/api/settings", late("settings", "SettingsHandler"), given),
        (r"/api/printerprofiles", late("profiles", "ProfilesHandler"), given),
        (r"/api/printerprofiles/([^/]+)", late("profiles", "ProfileHandler"), given),
        (r"/api/printerpresets", late("presets", "PresetsHandler"), given),
        (r"/api/system/commands", late("system", "AllSystemCommandsHandler"), given),
        (r"/api/system/commands/([^/]+)", late("system", "SourceHandler"), given),
        (r"/api/system/commands/core/([^/]+)", late("system", "SystemCommandHandler"), given),
        (r"/api/openapi\.json", late("description", "OpenApiHandler"), given),
        (r"/api/docs", late("description", "DocsHandler"), given),
        (r"/metrics", late("metrics", "MetricsHandler"), given),
        (r"/api/plugin/psucontrol", late("psu", "PsuHandler"), given),
        (r"/api/companions", late("companions", "CompanionsHandler"), given),
        (r"/api/companions/([a-z]+)", late("companions", "CompanionHandler"), given),
        (r"/api/companions/([a-z]+)/requests", late("companions", "RequestsHandler"), given),
        (r"/api/companions/([a-z]+)/ask", late("companions", "AskHandler"), given),
        (r"/api/timelapse", late("timelapse", "TimelapseHandler"), given),
        (r"/api/timelapse/unrendered/([^/]+)", late("timelapse", "UnrenderedHandler"), given),
        (r"/api/timelapse/([^/]+)", late("timelapse", "OneFilmHandler"), given),
        (r"/downloads/timelapse/([^/]+)", late("timelapse", "FilmHandler"), given),
        (r"/api/slicing", late("empty", "SlicingHandler"), given),
        (r"/api/plugin/appkeys", late("app_keys", "ManageHandler"), given),
        (r"/api/plugin/action_command_notification", late("panel", "NotificationHandler"), given),
        (r"/api/plugin/action_command_prompt", late("panel", "PromptHandler"), given),
        (r"/client/octoprint\.mjs", late("client_library", "ClientLibraryHandler"), given),
        (r"/plugin/appkeys/probe", late("app_keys", "ProbeHandler"), given),
        (r"/plugin/appkeys/request", late("app_keys", "RequestHandler"), given),
        (r"/plugin/appkeys/request/([^/]+)", late("app_keys", "PollHandler"), given),
        (r"/plugin/appkeys/decision/([^/]+)", late("app_keys", "DecisionHandler"), given),
        (r"/plugin/appkeys/auth/([^/]+)", late("app_keys", "DialogHandler"), given),
    ]
    return Application(
        routes,
        default_handler_class=NotFoundHandler,
        default_handler_args=given,
        log_function=log_request,
        allow_origins=hosts.as_sent(service.config.http.allow_origins)[0],
        hub=hub,
        host=service.config.http.host,
        listing=Listing(service),
        know=lambda _stream: None,  # a server that counts connections has another
        stood_still=lambda: False,  # and of this
        answers={},  # how many, by status
        began=service.wall(),
        websocket_ping_interval=push.HEARTBEAT,
        websocket_max_message_size=push.MAX_MESSAGE,
    )


def log_request(handler: tornado.web.RequestHandler) -> None:
    """Count a finished request, and log it without its query, where a key may be."""
    request = handler.request
    answers = handler.settings["answers"]
    answers[handler.get_status()] = answers.get(handler.get_status(), 0) + 1
    log.debug("%s %s %d", request.method, request.path, handler.get_status())


@frozen
class Listening:
    """A server that listens; `stop` ends that and closes what is open."""

    server: HTTPServer
    url: str
    hub: Hub
    host: str

    @property
    def port(self) -> int:
        """The TCP port."""
        return int(self.url.rstrip("/").rpartition(":")[2])

    def stop(self) -> None:
        """Take no more connections."""
        self.server.stop()

    async def close(self) -> None:
        """Take no more connections, and end those that are open; uploads under way leave nothing behind."""
        self.server.stop()
        self.hub.close()
        await self.server.close_all_connections()


def listen(service: "Front", handed_in: Sequence[socket.socket] = ()) -> Listening:
    """Listen on the configured address, or go on where systemd has listened meanwhile.

    Args:
        service: what answers.
        handed_in: sockets that listen already; the configured address counts only where there are none.

    Raises:
        AddressInUse: somebody else does, or the address is not this machine's; says who.
    """
    sockets = [*handed_in] or [_bound(service.config.http)]
    # sizes are limited where the answer can say so in JSON: in the handlers
    # at info it quotes what is malformed: a header or an address, where a key may be
    logging.getLogger("tornado.general").setLevel(logging.WARNING)
    for each in hosts.as_sent(service.config.http.allow_origins)[1]:
        log.warning(
            "http.allow_origins: %r lets nobody in: an origin looks like https://example.org or "
            "http://192.168.1.5:8080, and * means all", each,
        )  # fmt: skip
    if hosts.ANY_ORIGIN in service.config.http.allow_origins:
        log.warning("http.allow_origins has a *: every page that a browser shows may use the API, if it has a key")
    application = make_app(service)
    server = BoundedServer(
        application,
        limits=_limits(service.config.http),
        access=service.access,
        idle_connection_timeout=IDLE,
        body_timeout=BODY,
        max_body_size=sys.maxsize,
        max_header_size=MAX_HEADERS,
    )
    server.add_sockets(sockets)
    url = _url(service.config.http, sockets[0], handed_in=bool(handed_in))
    host = sockets[0].getsockname()[0] if handed_in else service.config.http.host
    application.settings["host"] = host
    application.settings["know"] = server.know
    application.settings["stood_still"] = server.standstill.was_lately
    return Listening(server, url, application.settings["hub"], host)


def _limits(http: HttpConfig) -> SeatLimits:
    """Return the limits on connections, within what the system allows; an `accept` that fails is tried for ever."""
    room = room_for_connections()
    if http.max_connections > room:
        log.warning(
            "http.max_connections is %d, the limit on open files leaves room for %d", http.max_connections, room
        )
    most = min(http.max_connections, room)
    half = max(1, most // 2)
    return SeatLimits(most, min(http.max_connections_per_client, half), half)


def _url(http: HttpConfig, bound: socket.socket, *, handed_in: bool) -> str:
    """Return where to go; a host is shown as it is configured, where that counts."""
    host, port = bound.getsockname()[:2]
    host = host if handed_in else http.host
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _bound(http: HttpConfig) -> socket.socket:
    try:
        return _bind(http.host, http.port)
    except OSError as error:
        raise AddressInUse(_explain(http.host, http.port, error)) from error


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
