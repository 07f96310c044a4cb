"""The HTTP server: the routes of the API, and the limits on connections."""

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
from daemon.front.http.bounded_server import BoundedServer, make_room_for_connections
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
from daemon.http.request_target import use_origin_form
from gcode.frozen import frozen

if TYPE_CHECKING:
    from daemon.front.front import Front

IDLE_TIMEOUT = 75.0  # s for a connection to send a complete request header
BODY_TIMEOUT = 30.0  # s for a body to arrive; uploads set their own

MAX_HEADERS = 32 * 1024  # bytes

BACKLOG = 128  # connections that wait to be accepted

log = logging.getLogger("nozzled.http")


class Application(tornado.web.Application):
    """Tornado's application, lenient about slashes.

    Home Assistant asks for `//api//version`, OctoDash for `/api/files%2Flocal%2Fa.gcode`; no file name has a slash.
    """

    def find_handler(self, request: tornado.httputil.HTTPServerRequest, **kwargs: Any) -> Any:
        """Find the handler of the request's normalised path."""
        use_origin_form(request)
        path = request.path
        if path.startswith("/api/files%2"):
            path = re.sub("%2[Ff]", "/", path)
        request.path = re.sub("/{2,}", "/", path)
        return super().find_handler(request, **kwargs)

    def get_handler_delegate(self, request: Any, target_class: Any, *args: Any, **kwargs: Any) -> Any:
        """Load the handler, if it is lazy, and return its delegate."""
        return super().get_handler_delegate(request, load_handler(target_class), *args, **kwargs)


class LazyHandler(tornado.web.RequestHandler):
    """Placeholder for a handler whose module is imported at the first request to it: most are never requested."""

    module = name = ""


def load_handler(handler: Any) -> Any:
    """Return the handler behind a placeholder; any other handler as it is."""
    return (
        getattr(importlib.import_module(handler.module), handler.name) if issubclass(handler, LazyHandler) else handler
    )


def lazy(module: str, name: str) -> type[LazyHandler]:
    """Return a placeholder for a handler of a module in this package."""
    return type(name, (LazyHandler,), {"module": f"{__package__}.{module}", "name": name})


def make_app(service: "Front") -> Application:
    """Return the application with all routes of the API."""
    arguments: dict[str, Any] = {"service": service}
    history = TemperatureHistory(service.wall)
    service.connection.subscribe(history.on_event)
    view = JobView(service)
    with_history = {**arguments, "history": history}
    hub = Hub(service, view, history)
    routes: list[tuple[str, type[tornado.web.RequestHandler], dict[str, Any]]] = [
        *page.routes(arguments),
        (r"/online\.txt", public.OnlineHandler, arguments),
        (r"/robots\.txt", public.RobotsHandler, arguments),
        (r"/favicon\.ico", public.IconHandler, arguments),
        *push.routes(service, hub),
        *health.routes(arguments),
        # /api/control/job is in the docs of OctoPrint 1.1 and 1.2
        (r"/api/(?:control/)?job", JobHandler, {**arguments, "view": view}),
        (r"/api/job/keyed", lazy("keyed", "KeyedPrintHandler"), arguments),
        (r"/api/job/filament", lazy("filament", "JobFilamentHandler"), arguments),
        (r"/api/files", AllFilesHandler, arguments),
        (r"/api/files/local", UploadHandler, arguments),
        # only below a G-code file: a folder may be called toolpath, too
        (r"/api/files/local/(.+\.[gG][cCoOdDeE]*)/toolpath", lazy("toolpath", "ToolpathHandler"), arguments),
        (r"/api/files/local/(.+)", FileHandler, arguments),
        (r"/api/files/sdcard", SdCardHandler, arguments),
        (r"/downloads/files/local/(.+)", lazy("downloads", "DownloadHandler"), arguments),
        (r"/downloads/thumbnails/local/(.+)", ThumbnailHandler, arguments),
        (r"/downloads/logs/([^/]+)", lazy("logs", "LogHandler"), arguments),
        (r"/webcam/", lazy("webcam", "WebcamHandler"), arguments),
        (r"/webcam/([^/]+)/", lazy("webcam", "WebcamHandler"), arguments),
        (r"/api/links", lazy("links", "LinksHandler"), arguments),
        (r"/api/logs", lazy("logs", "LogsHandler"), arguments),
        (r"/plugin/logging/logs", lazy("logs", "LogsHandler"), arguments),
        (r"/plugin/logging/logs/([^/]+)", lazy("logs", "LogHandler"), arguments),
        (r"/api/connection", lazy("connection", "ConnectionHandler"), arguments),
        (r"/api/printer", PrinterHandler, with_history),
        (r"/api/printer/temperatures", TemperaturesHandler, with_history),
        (r"/api/printer/tool", ToolHandler, with_history),
        (r"/api/printer/preheat", lazy("preheat", "PreheatHandler"), arguments),
        (r"/api/printer/bed", BedHandler, with_history),
        (r"/api/printer/chamber", ChamberHandler, with_history),
        (r"/api/printer/printhead", PrintheadHandler, arguments),
        (r"/api/printer/sd", SdHandler, arguments),
        (r"/api/printer/error", PrinterErrorHandler, arguments),
        (r"/api/printer/command", CommandHandler, arguments),
        (r"/api/printer/command/custom", CustomControlsHandler, arguments),
        (r"/api/macros", lazy("macros", "MacrosHandler"), arguments),
        (r"/api/queue", lazy("queue", "QueueHandler"), arguments),
        (r"/api/queue/([0-9]+)", lazy("queue", "QueueEntryHandler"), arguments),
        (r"/api/history", lazy("history", "HistoryHandler"), arguments),
        (r"/api/history/totals", lazy("history", "TotalsHandler"), arguments),
        (r"/api/history\.(csv|json)", lazy("history", "ExportHandler"), arguments),
        (r"/api/history/(-?[0-9]+)", lazy("history", "PrintHandler"), arguments),
        (r"/api/history/(-?[0-9]+)/thumbnail", lazy("history", "PictureHandler"), arguments),
        (r"/api/resume-at", lazy("resume_at", "ResumeAtHandler"), arguments),
        (r"/api/pair", lazy("pairing", "PairHandler"), arguments),
        (r"/api/pair/codes", lazy("pairing", "CodesHandler"), arguments),
        (r"/api/stepup", lazy("pairing", "StepUpHandler"), arguments),
        (r"/api/keys", lazy("pairing", "KeysHandler"), arguments),
        (r"/api/keys/([^/]+)", lazy("pairing", "KeyHandler"), {**arguments, "hub": hub}),
        (r"/api/version", VersionHandler, arguments),
        (r"/api/server", ServerHandler, arguments),
        (r"/api/system/info", SystemInfoHandler, arguments),
        (r"/api/users", lazy("users", "UsersHandler"), arguments),
        (r"/api/users/([^/]+)", lazy("users", "UserHandler"), arguments),
        (r"/api/access/users", lazy("users", "UsersHandler"), arguments),
        (r"/api/access/users/([^/]+)", lazy("users", "UserHandler"), arguments),
        (r"/api/access/groups", lazy("users", "GroupsHandler"), arguments),
        (r"/api/access/groups/([^/]+)", lazy("users", "GroupHandler"), arguments),
        (r"/api/access/permissions", lazy("users", "PermissionsHandler"), arguments),
        (r"/plugin/pluginmanager/plugins", lazy("plugins", "PluginsHandler"), arguments),
        (r"/api/plugin/pluginmanager", lazy("plugins", "PluginsHandler"), arguments),
        (r"/plugin/pluginmanager/plugins/versions", lazy("plugins", "VersionsHandler"), arguments),
        (r"/plugin/softwareupdate/check", lazy("plugins", "UpdatesHandler"), arguments),
        (r"/api/login", lazy("login", "LoginHandler"), arguments),
        (r"/api/logout", lazy("login", "LogoutHandler"), arguments),
        (r"/api/currentuser", lazy("login", "CurrentUserHandler"), arguments),
        (r"/api/settings", lazy("settings", "SettingsHandler"), arguments),
        (r"/api/printerprofiles", lazy("profiles", "ProfilesHandler"), arguments),
        (r"/api/printerprofiles/([^/]+)", lazy("profiles", "ProfileHandler"), arguments),
        (r"/api/printerpresets", lazy("presets", "PresetsHandler"), arguments),
        (r"/api/system/commands", lazy("system", "AllSystemCommandsHandler"), arguments),
        (r"/api/system/commands/([^/]+)", lazy("system", "SourceHandler"), arguments),
        (r"/api/system/commands/core/([^/]+)", lazy("system", "SystemCommandHandler"), arguments),
        (r"/api/openapi\.json", lazy("description", "OpenApiHandler"), arguments),
        (r"/api/docs", lazy("description", "DocsHandler"), arguments),
        (r"/metrics", lazy("metrics", "MetricsHandler"), arguments),
        (r"/api/plugin/psucontrol", lazy("psu", "PsuHandler"), arguments),
        (r"/api/companions", lazy("companions", "CompanionsHandler"), arguments),
        (r"/api/companions/([a-z]+)", lazy("companions", "CompanionHandler"), arguments),
        (r"/api/companions/([a-z]+)/requests", lazy("companions", "RequestsHandler"), arguments),
        (r"/api/companions/([a-z]+)/ask", lazy("companions", "AskHandler"), arguments),
        (r"/api/timelapse", lazy("timelapse", "TimelapseHandler"), arguments),
        (r"/api/timelapse/unrendered/([^/]+)", lazy("timelapse", "UnrenderedHandler"), arguments),
        (r"/api/timelapse/([^/]+)", lazy("timelapse", "OneFilmHandler"), arguments),
        (r"/downloads/timelapse/([^/]+)", lazy("timelapse", "FilmDownloadHandler"), arguments),
        (r"/api/slicing", lazy("empty", "SlicingHandler"), arguments),
        (r"/api/plugin/appkeys", lazy("app_keys", "ManageHandler"), arguments),
        (r"/api/plugin/action_command_notification", lazy("panel", "NotificationHandler"), arguments),
        (r"/api/plugin/action_command_prompt", lazy("panel", "PromptHandler"), arguments),
        (r"/client/octoprint\.mjs", lazy("client_library", "ClientLibraryHandler"), arguments),
        (r"/plugin/appkeys/probe", lazy("app_keys", "ProbeHandler"), arguments),
        (r"/plugin/appkeys/request", lazy("app_keys", "RequestHandler"), arguments),
        (r"/plugin/appkeys/request/([^/]+)", lazy("app_keys", "PollHandler"), arguments),
        (r"/plugin/appkeys/decision/([^/]+)", lazy("app_keys", "DecisionHandler"), arguments),
        (r"/plugin/appkeys/auth/([^/]+)", lazy("app_keys", "DialogHandler"), arguments),
    ]
    return Application(
        routes,
        default_handler_class=NotFoundHandler,
        default_handler_args=arguments,
        log_function=log_request,
        allow_origins=hosts.parse_origins(service.config.http.allow_origins)[0],
        hub=hub,
        host=service.config.http.host,
        listing=Listing(service),
        note_key=lambda _stream: None,  # `listen` replaces this function
        stood_still=lambda: False,  # and this one
        answers={},  # their number, by status
        began=service.wall(),
        websocket_ping_interval=push.HEARTBEAT_INTERVAL,
        websocket_max_message_size=push.MAX_MESSAGE,
    )


def log_request(handler: tornado.web.RequestHandler) -> None:
    """Count a finished request, and log it without its query, which may hold a key."""
    request = handler.request
    answers = handler.settings["answers"]
    answers[handler.get_status()] = answers.get(handler.get_status(), 0) + 1
    log.debug("%s %s %d", request.method, request.path, handler.get_status())


@frozen
class Listening:
    """A listening server."""

    server: HTTPServer
    url: str
    hub: Hub
    host: str

    @property
    def port(self) -> int:
        """The TCP port."""
        return int(self.url.rstrip("/").rpartition(":")[2])

    def stop(self) -> None:
        """Accept no more connections."""
        self.server.stop()

    async def close(self) -> None:
        """Accept no more connections, and close the open ones; unfinished uploads leave no file behind."""
        self.server.stop()
        self.hub.close()
        await self.server.close_all_connections()


def listen(service: "Front", handed_in: Sequence[socket.socket] = ()) -> Listening:
    """Listen on the configured address, or on the sockets that systemd has opened for us.

    Args:
        service: what the handlers work on.
        handed_in: listening sockets; the configured address is used only if there are none.

    Raises:
        AddressInUse: another process listens there (it is named), or the address is not this machine's.
    """
    sockets = [*handed_in] or [_bind_configured(service.config.http)]
    # at level INFO Tornado quotes malformed headers and addresses, which may hold a key
    logging.getLogger("tornado.general").setLevel(logging.WARNING)
    for each in hosts.parse_origins(service.config.http.allow_origins)[1]:
        log.warning(
            "http.allow_origins: %r matches no origin: write it like https://example.org or "
            "http://192.168.1.5:8080, or * for all", each,
        )  # fmt: skip
    if hosts.ANY_ORIGIN in service.config.http.allow_origins:
        log.warning("http.allow_origins has a *: any web page that has an API key may use the API")
    application = make_app(service)
    server = BoundedServer(
        application,
        limits=_limits(service.config.http),
        access=service.access,
        idle_connection_timeout=IDLE_TIMEOUT,
        body_timeout=BODY_TIMEOUT,
        max_body_size=sys.maxsize,  # the handlers limit it, and answer in JSON
        max_header_size=MAX_HEADERS,
    )
    server.add_sockets(sockets)
    url = _url(service.config.http, sockets[0], handed_in=bool(handed_in))
    host = sockets[0].getsockname()[0] if handed_in else service.config.http.host
    application.settings["host"] = host
    application.settings["note_key"] = server.note_key
    application.settings["stood_still"] = server.standstill.was_recent
    return Listening(server, url, application.settings["hub"], host)


def _limits(http: HttpConfig) -> SeatLimits:
    """Return the limits on connections, within the system's limit on open files."""
    room = make_room_for_connections()
    if http.max_connections > room:
        log.warning(
            "http.max_connections is %d, but the limit on open files allows only %d", http.max_connections, room
        )
    total = min(http.max_connections, room)
    half = max(1, total // 2)
    return SeatLimits(total, min(http.max_connections_per_client, half), half)


def _url(http: HttpConfig, bound: socket.socket, *, handed_in: bool) -> str:
    """Return the server's URL; a socket of our own is shown with the configured host."""
    host, port = bound.getsockname()[:2]
    host = host if handed_in else http.host
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _bind_configured(http: HttpConfig) -> socket.socket:
    try:
        return _bind(http.host, http.port)
    except OSError as error:
        raise AddressInUse.of(http.host, http.port, error) from error


def _bind(host: str, port: int) -> socket.socket:
    six = ":" in host
    family = socket.AF_INET6 if six else socket.AF_INET
    both = host == "::" and socket.has_dualstack_ipv6()  # all interfaces, by IPv4 and IPv6
    bound = socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=both)
    bound.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    return bound
