"""/sockjs: push messages over a raw WebSocket, or in SockJS's framing over WebSocket or streamed HTTP.

The protocol: https://sockjs.github.io/sockjs-protocol/sockjs-protocol-0.3.3.html. A socket opens without a key, since
browsers cannot send one there; until it shows a session of `/api/login`, it gets only the greeting and requests to log
in.
"""

import asyncio
import json
import secrets
from collections.abc import Sequence
from contextlib import suppress
from http.client import responses
from typing import TYPE_CHECKING, Any

import tornado.web
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError, WebSocketHandler, WebSocketProtocol, WebSocketProtocol13

from daemon.errors import KeyRefused
from daemon.front.access import anonymous, hosts
from daemon.front.http.base import ApiHandler
from daemon.front.http.identity import client_of, identify
from daemon.front.push.hub import Hub
from daemon.http.errors import Refused

if TYPE_CHECKING:
    from daemon.front.front import Front
    from daemon.front.push.subscriber import Subscriber

HEARTBEAT_INTERVAL = 25.0
"""Seconds between two heartbeats: proxies close connections that are silent for a minute."""

MAX_MESSAGE = 64 * 1024
MAX_MESSAGES_PER_FRAME = 64  # of a client
TOO_MANY = "too many clients are connected"

PADDING = b"h" * 2048 + b"\n"  # old browsers buffer that much before they pass anything on
STREAM_SIZE = 128 * 1024  # bytes after which a streamed answer ends, and the client requests the next one
RECONNECT_TIMEOUT = 5.0  # s until the client requests the next one

MAX_SESSIONS = 64


class SocketHandler(WebSocketHandler):
    """/sockjs/websocket: a message per frame. `FramedSocketHandler` is the other WebSocket."""

    def initialize(self, service: "Front", hub: Hub) -> None:
        """Store the service and the hub."""
        self.service = service
        self.hub = hub
        self.subscriber: Subscriber | None = None

    def set_default_headers(self) -> None:
        """Hide Tornado's version."""
        self.set_header("Server", "nozzled")

    async def prepare(self) -> None:
        """Refuse foreign host names, and clients above the limit."""
        await self.service.access.refresh()
        self.client = client_of(self.service, self.request)
        if not self.service.access.spend_anonymous(self.client, anonymous.REQUEST_COST):
            raise tornado.web.HTTPError(429)
        try:
            identify(self.service, self.request, is_public=True, checks_keys=False)
        except KeyRefused as error:
            raise tornado.web.HTTPError(403) from error
        if not self.hub.make_room_for(self.client):
            raise tornado.web.HTTPError(503)

    def check_origin(self, origin: str) -> bool:
        """Accept our own pages, and those of configured origins."""
        return hosts.is_same_origin(origin, self.request.host) or hosts.is_allowed_origin(
            origin, self.settings["allow_origins"]
        )

    def get_websocket_protocol(self) -> WebSocketProtocol | None:
        """Return a protocol that also reports fragments; None: the client's version is not known."""
        protocol = super().get_websocket_protocol()
        if isinstance(protocol, WebSocketProtocol13):
            protocol = _FragmentProtocol(self, mask_outgoing=False, params=protocol.params)
        return protocol

    def open(self, *_: str, **__: str) -> None:
        """Join the hub."""
        self.subscriber = self.hub.join(self.send, self.hang_up, self.client)

    def hang_up(self) -> None:
        """Close the connection: with a closing handshake if the client has shown a session, else at once."""
        stream = self.ws_connection.stream if self.ws_connection is not None else None
        if self.subscriber is not None and self.subscriber.is_anonymous and stream is not None:
            stream.close()
        self.close()

    async def send(self, texts: Sequence[str]) -> None:
        """Write each message in a frame of its own; return when the last is sent."""
        for text in texts:
            await self.write_frame(text)

    async def write_frame(self, text: str) -> None:
        """Write one frame.

        Raises:
            ConnectionError: the client has gone.
        """
        try:
            await self.write_message(text)
        except WebSocketClosedError as error:
            raise ConnectionResetError("the client has gone") from error

    def on_message(self, message: str | bytes) -> None:
        """Take a message from the client."""
        if self.subscriber is not None and self.subscriber.admits(len(message)):
            self.subscriber.receive(message)

    def on_ping(self, data: bytes) -> None:
        """Count a ping against the budget of a client without a session; Tornado answers it."""
        if self.subscriber is not None:
            self.subscriber.admits(len(data))

    on_pong = on_ping

    def on_fragment(self) -> None:
        """Count a fragment like a message: it may be empty, and one message may have any number of them."""
        if self.subscriber is not None:
            self.subscriber.admits(0)

    def on_close(self) -> None:
        """Leave."""
        if self.subscriber is not None:
            self.subscriber.end()

    def write_error(self, status_code: int, **_: Any) -> None:
        """Write errors as JSON, like the other handlers."""
        self.finish({"error": responses.get(status_code, "Unknown")})

    def log_exception(self, *_: Any) -> None:
        """Log nothing: the address may hold a key."""


class _FragmentProtocol(WebSocketProtocol13):
    """Tornado's protocol, which also reports fragments: Tornado itself reports only whole messages."""

    async def _receive_frame(self) -> None:
        await super()._receive_frame()
        if self._fragmented_message_buffer is not None and isinstance(self.handler, SocketHandler):
            self.handler.on_fragment()


class FramedSocketHandler(SocketHandler):
    """/sockjs/<server>/<session>/websocket: SockJS's frames."""

    _beat_task: "asyncio.Task[None] | None" = None  # from `open` on

    def open(self, *_: str, **__: str) -> None:
        """Send `o` and join; send `h` as a heartbeat."""
        self._beat_task = asyncio.create_task(self._beat())
        super().open()

    async def _beat(self) -> None:
        with suppress(ConnectionError):  # the socket is closing: `on_close` follows
            await self.write_frame("o")
            while True:
                await asyncio.sleep(HEARTBEAT_INTERVAL)
                await self.write_frame("h")

    async def send(self, texts: Sequence[str]) -> None:
        """Write all messages in one frame."""
        await self.write_frame(_frame(texts))

    def on_message(self, message: str | bytes) -> None:
        """Take the messages of a frame."""
        if self.subscriber is not None and self.subscriber.admits(len(message)):
            for each in _unframe(message):
                self.subscriber.receive(each)

    def on_close(self) -> None:
        """Leave."""
        if self._beat_task is not None:
            self._beat_task.cancel()
        super().on_close()


def _frame(texts: Sequence[str]) -> str:
    """Return the messages as one frame: as objects instead of strings, as OctoPrint's client expects."""
    return f"a[{','.join(texts)}]"


def _unframe(frame: str | bytes) -> list[str]:
    """Return the messages in a client's frame; none if it cannot be read."""
    try:
        data = json.loads(frame)
    except (ValueError, RecursionError):
        return []
    messages = data if isinstance(data, list) else [data]
    return [each for each in messages[:MAX_MESSAGES_PER_FRAME] if isinstance(each, str)]


# -- without WebSocket -------------------------------------------------------------------------------------


class StreamSession:
    """A SockJS session over streamed HTTP; it outlives each of its requests for `RECONNECT_TIMEOUT`."""

    def __init__(self, streams: "Streams", name: str, hub: Hub, client: str) -> None:
        self._streams = streams
        self._name = name
        self._receiver: StreamHandler | None = None
        self._attached = asyncio.Event()  # there is a receiver, and its answer has begun
        self._expiry: asyncio.TimerHandle | None = None
        self.subscriber = hub.join(self._send, self.close, client)

    @property
    def is_open(self) -> bool:
        """Whether a request is open; no other may attach meanwhile."""
        return self._receiver is not None

    def reserve(self, receiver: "StreamHandler") -> None:
        """Keep the session for this request, whose answer is about to begin; nothing is written to the answer yet."""
        if self._expiry is not None:
            self._expiry.cancel()
        self._receiver = receiver

    def attach(self) -> None:
        """Write to the request from now on."""
        self._attached.set()

    def detach(self) -> None:
        """Wait for the client's next request, but not for long."""
        self._receiver = None
        self._attached.clear()
        if self._expiry is not None:
            self._expiry.cancel()
        if self._streams.open.get(self._name) is self:
            self._expiry = asyncio.get_running_loop().call_later(RECONNECT_TIMEOUT, self.close)

    async def _send(self, texts: Sequence[str]) -> None:
        frame, is_sent = _frame(texts), False
        while not is_sent:
            while (receiver := self._receiver) is None or not self._attached.is_set():  # a request may just have ended
                await self._attached.wait()
            is_sent = await receiver.write_frame_line(frame)
            if not is_sent and self._receiver is receiver:  # its answer ends in a moment: wait for the next request
                self._attached.clear()

    def close(self) -> None:
        """End the session; idempotent."""
        if self._expiry is not None:
            self._expiry.cancel()
        if self._streams.open.get(self._name) is self:
            del self._streams.open[self._name]
        self.subscriber.end()
        if self._receiver is not None:
            self._receiver.end.set()


class Streams:
    """The open sessions."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.open: dict[str, StreamSession] = {}

    def begin(self, name: str, client: str) -> StreamSession:
        """Open a session for the client with this address.

        Raises:
            Refused: too many are open.
        """
        if len(self.open) >= MAX_SESSIONS or not self.hub.make_room_for(client):
            raise Refused(503, TOO_MANY)
        session = self.open[name] = StreamSession(self, name, self.hub, client)
        return session


class SockJsHandler(ApiHandler):
    """Base of the handlers for SockJS's own client, which always requests with credentials; we use none."""

    is_public = True
    checks_keys = False

    def set_default_headers(self) -> None:
        """Let pages of allowed origins read the answers."""
        super().set_default_headers()
        if self._is_allowed_origin():
            self.set_header("Access-Control-Allow-Credentials", "true")


class SessionHandler(SockJsHandler):
    """Base of the handlers of a session's requests."""

    def initialize(self, service: "Front", streams: Streams) -> None:  # type: ignore[override]  # Tornado passes what the route says
        """Store the service and the open sessions."""
        super().initialize(service)
        self.streams = streams

    def cost(self) -> float:
        """Count nothing for a client that has shown a login session."""
        session = self.streams.open.get(self.path_args[0])
        return anonymous.REQUEST_COST if session is None or session.subscriber.is_anonymous else 0.0

    def admit(self) -> None:
        """Refuse pages of other origins, as WebSockets do: a browser lets them send requests, but not read answers."""
        origin = self.request.headers.get("Origin")
        if origin and not hosts.is_same_origin(origin, self.request.host) and not self._is_allowed_origin():
            raise Refused(403, "pages of this origin may not connect; http.allow_origins lists those that may")


class StreamHandler(SessionHandler):
    """/sockjs/<server>/<session>/xhr_streaming: an answer that continues until it has `STREAM_SIZE` bytes."""

    padding = PADDING
    size = STREAM_SIZE

    def initialize(self, service: "Front", streams: Streams) -> None:  # type: ignore[override]  # as above
        """Prepare the stream."""
        super().initialize(service, streams)
        self.end = asyncio.Event()
        self._written = 0
        # Tornado resolves only the last of several simultaneous flushes; the others would never end
        self._flushing = asyncio.Lock()

    async def post(self, name: str) -> None:
        """Stream frames, one per line."""
        session = self.streams.open.get(name)
        self.set_header("Content-Type", "application/javascript; charset=UTF-8")
        if session is not None and session.is_open:
            self.write('c[2010,"Another connection still open"]\n')
            return
        opening = b"" if session is not None else b"o\n"
        session = session or self.streams.begin(name, self.client)
        session.reserve(self)
        try:
            with suppress(StreamClosedError):
                if self.padding + opening:
                    await self._flush(self.padding + opening)
                session.attach()
                await self._beat()
        finally:
            session.detach()  # the session ends unless its client soon sends the next request

    async def _beat(self) -> None:
        """Send heartbeats until the answer has to end."""
        while not self.end.is_set():
            try:
                async with asyncio.timeout(HEARTBEAT_INTERVAL):
                    await self.end.wait()
            except TimeoutError:
                await self._flush(b"h\n")

    async def write_frame_line(self, frame: str) -> bool:
        """Write a frame, and return when it is sent; False: it was not written, as the answer is at its end."""
        return await self._flush(frame.encode() + b"\n")

    async def _flush(self, data: bytes) -> bool:
        async with self._flushing:
            if self.end.is_set():  # a write beside Tornado's own last one would never end, and a later one would fail
                return False
            self._written += len(data)
            self.write(data)
            await self.flush()
            if self._written >= self.size:
                self.end.set()
        return True

    def on_connection_close(self) -> None:
        """End the request when the client disconnects; its session waits for the next."""
        super().on_connection_close()
        self.end.set()


class PushPollHandler(StreamHandler):
    """/sockjs/<server>/<session>/xhr: long polling: the answer ends after one frame, of whatever kind."""

    padding = b""
    size = 1


class SendHandler(SessionHandler):
    """/sockjs/<server>/<session>/xhr_send: messages from the client."""

    def post(self, name: str) -> None:
        """Take the messages."""
        session = self.streams.open.get(name)
        if session is None:
            raise Refused(404, "there is no such session")
        if session.subscriber.admits(len(self.body)):
            for each in _unframe(bytes(self.body)):
                session.subscriber.receive(each)
        self.no_content()


class InfoHandler(SockJsHandler):
    """/sockjs/info."""

    is_public = True
    checks_keys = False

    def get(self) -> None:
        """Show which transports there are; the random number is for clients without a good source of randomness."""
        entropy = secrets.randbits(32)
        self.write({"websocket": True, "cookie_needed": False, "origins": ["*:*"], "entropy": entropy})


class WelcomeHandler(ApiHandler):
    """/sockjs."""

    is_public = True
    checks_keys = False

    def get(self) -> None:
        """Send the greeting that SockJS specifies."""
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.write("Welcome to SockJS!\n")


_SESSION = r"/sockjs/[^/.]+/([^/.]+)"


def routes(service: "Front", hub: Hub) -> list[tuple[str, type[tornado.web.RequestHandler], dict[str, Any]]]:
    """Return the routes of the push messages."""
    arguments = {"service": service}
    socket, streams = {**arguments, "hub": hub}, {**arguments, "streams": Streams(hub)}
    return [
        (r"/sockjs", WelcomeHandler, arguments),
        (r"/sockjs/info", InfoHandler, arguments),
        (r"/sockjs/websocket", SocketHandler, socket),
        (_SESSION + "/websocket", FramedSocketHandler, socket),
        (_SESSION + "/xhr_streaming", StreamHandler, streams),
        (_SESSION + "/xhr", PushPollHandler, streams),
        (_SESSION + "/xhr_send", SendHandler, streams),
    ]
