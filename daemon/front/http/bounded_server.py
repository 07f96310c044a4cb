"""BoundedServer: Tornado's HTTP server with limits on connections and on the work done for clients without a key."""

import asyncio
import logging
import resource
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPConnection, HTTPMessageDelegate
from tornado.iostream import IOStream, StreamClosedError

from daemon.front.access.access import Access
from daemon.front.access.attempts import network_of
from daemon.front.http.door import Door
from daemon.front.http.seats import Seat, SeatLimits, Seats
from daemon.front.http.standstill import Standstill
from daemon.log import Limiter

RESERVED_DESCRIPTORS = 64
"""File descriptors for everything but connections: the listening socket, files, the database, child processes."""

MAX_DESCRIPTORS = 65536  # the limit on open files that the front asks the system for

MAX_ACCEPTS = 16  # connections accepted in one turn of the loop
RETRY_DELAY = 0.5  # s before the next attempt to accept, after file descriptors ran out
WARNING_INTERVAL = 60.0  # s

log = logging.getLogger("nozzled.http")


def make_room_for_connections() -> int:
    """Raise the limit on open files as far as possible; return how many connections it leaves room for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < target:
        with suppress(OSError, ValueError):  # a container may forbid it
            resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
            soft = target
    return MAX_DESCRIPTORS if soft == resource.RLIM_INFINITY else max(1, soft - RESERVED_DESCRIPTORS)


class Acceptor:
    """Accepts connections from a socket, a few at a time; it pauses while file descriptors are exhausted.

    Tornado's own acceptor would spin: the socket stays readable while `accept` fails.
    """

    def __init__(self, listening: socket.socket, take: Callable[[socket.socket, Any], None]) -> None:
        """Begin; `take` is called with each connection and its address."""
        self._listening = listening
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._warnings = Limiter(1, WARNING_INTERVAL)
        self._retry: asyncio.TimerHandle | None = None
        self._watch()

    def _watch(self) -> None:
        self._retry = None
        self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        for _ in range(MAX_ACCEPTS):
            try:
                connection, address = self._listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                self._back_off(error)
                return
            self._take(connection, address)

    def _back_off(self, error: OSError) -> None:
        """Stop accepting for a while, until some connections have ended."""
        if self._warnings.admits(self._loop.time()):
            log.warning("cannot accept connections for now; new ones must wait: %s", error.strerror)
        self._loop.remove_reader(self._listening)
        self._retry = self._loop.call_later(RETRY_DELAY, self._watch)

    def stop(self) -> None:
        """Accept no more connections."""
        self._loop.remove_reader(self._listening)
        if self._retry is not None:
            self._retry.cancel()


class BoundedServer(HTTPServer):
    """Closes connections that exceed the limits, except those that have shown a key."""

    def initialize(self, *args: Any, limits: SeatLimits, access: Access, **kwargs: Any) -> None:  # type: ignore[override]  # Tornado calls this, not __init__
        """Prepare; `limits` and `access` come in addition to Tornado's arguments."""
        super().initialize(*args, **kwargs)
        self.seats = Seats(limits)
        self.door = Door(lambda key: access.identity_of(key) is not None)
        self._access = access
        self._seat_of: dict[IOStream, Seat] = {}
        self.standstill = Standstill()

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        """Accept connections from these sockets with an Acceptor instead of Tornado's."""
        for listening in sockets:
            acceptor = Acceptor(listening, self._handle_connection)
            self._sockets[listening.fileno()] = listening
            self._handlers[listening.fileno()] = acceptor.stop

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        """Serve a connection, let it wait at the door, or close it."""
        network = network_of(str(address[0])) if isinstance(address, tuple) else "local"
        seat = self.seats.take(network, partial(self._end, stream))
        if seat is None:
            log.debug("too many connections: closed one from %s", network)
            stream.close()
            return
        self._seat_of[stream] = seat
        serve = partial(super().handle_stream, stream, address)
        if self._access.has_overspent(network):
            self.door.hold(stream, serve)
        else:
            serve()

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """Begin the next request of a connection; if the connection is closed, first empty its buffer.

        The buffer may still hold 1500 requests in 64 KiB, which Tornado would serve although the client has gone.
        """
        stream: IOStream = server_conn.stream  # type: ignore[attr-defined]  # Tornado says object
        if stream.closed():
            with suppress(StreamClosedError):
                stream.read_bytes(stream.max_buffer_size, partial=True)
        return super().start_request(server_conn, request_conn)

    def _end(self, stream: IOStream) -> None:
        """Close a connection that loses its seat to another."""
        self.door.drop(stream)
        self._seat_of.pop(stream, None)
        stream.close()

    def note_key(self, stream: IOStream | None) -> None:
        """Record that a connection has shown a key; None and closed connections are ignored."""
        if (seat := self._seat_of.get(stream)) is not None:  # type: ignore[arg-type]  # the dict never has None
            self.seats.note_key(seat)

    def on_close(self, server_conn: object) -> None:
        """Free the seat of a connection that has ended or has become a WebSocket; the hub limits WebSockets."""
        super().on_close(server_conn)
        seat = self._seat_of.pop(server_conn.stream, None)  # type: ignore[attr-defined]  # Tornado says object
        if seat is not None:
            self.seats.leave(seat)

    def stop(self) -> None:
        """Accept no more connections, and close those that wait at the door."""
        super().stop()
        self.standstill.close()
        self.door.close()
