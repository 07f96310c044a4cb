"""BoundedServer: Tornado's HTTP server with a bound on connections, and on what an address without a key may cost."""

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

OTHERS = 64
"""File descriptors that are kept for all but connections: the port, files, the database, programs that are started."""

MOST = 65536  # file descriptors that are asked for

AT_ONCE = 16  # connections that are taken in one turn of the loop
CROWDED = 0.5  # s until it is tried again to take one where there are no descriptors left
SAID_EVERY = 60.0  # s

log = logging.getLogger("nozzled.http")


def room_for_connections() -> int:
    """Have as many file descriptors allowed as can be; return how many connections that leaves room for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # a container may forbid it
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return MOST if soft == resource.RLIM_INFINITY else max(1, soft - OTHERS)


class Accepting:
    """Takes connections from a socket, some at a time; where there is no room for them the next ones wait a while."""

    def __init__(self, listening: socket.socket, take: Callable[[socket.socket, Any], None]) -> None:
        """Begin; `take` is called with each connection and its address."""
        self._listening = listening
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._crowded = Limiter(1, SAID_EVERY)
        self._resting: asyncio.TimerHandle | None = None
        self._watch()

    def _watch(self) -> None:
        self._resting = None
        self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, address = self._listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                self._rest(error)
                return
            self._take(connection, address)

    def _rest(self, error: OSError) -> None:
        """Wait until some connections have ended: trying again at once would take the whole processor."""
        if self._crowded.admits(self._loop.time()):
            log.warning("no connection can be taken just now, those that wait are taken later: %s", error.strerror)
        self._loop.remove_reader(self._listening)
        self._resting = self._loop.call_later(CROWDED, self._watch)

    def stop(self) -> None:
        """Take no more."""
        self._loop.remove_reader(self._listening)
        if self._resting is not None:
            self._resting.cancel()


class BoundedServer(HTTPServer):
    """Closes what comes above the limits; those who have shown a key go on undisturbed."""

    def initialize(self, *args: Any, limits: SeatLimits, access: Access, **kwargs: Any) -> None:  # type: ignore[override]  # Tornado's way to construct
        """Take limits and keys besides what Tornado takes."""
        super().initialize(*args, **kwargs)
        self.seats = Seats(limits)
        self.door = Door(lambda key: access.identity_of(key) is not None)
        self._access = access
        self._seat_of: dict[IOStream, Seat] = {}
        self.standstill = Standstill()

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        """Take connections from these; Tornado's own way to do so goes round in a circle where descriptors run out."""
        for listening in sockets:
            waiting = Accepting(listening, self._handle_connection)
            self._sockets[listening.fileno()] = listening
            self._handlers[listening.fileno()] = waiting.stop

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        """Take a connection, have it wait, or close it."""
        network = network_of(str(address[0])) if isinstance(address, tuple) else "local"
        seat = self.seats.take(network, partial(self._end, stream))
        if seat is None:
            log.debug("too many connections, one from %s is closed", network)
            stream.close()
            return
        self._seat_of[stream] = seat
        serve = partial(super().handle_stream, stream, address)
        if self._access.owes(network):
            self.door.hold(stream, serve)
        else:
            serve()

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """Take the next request of a connection; of one that was closed there is none.

        What a client has sent before stays in Tornado's buffer, and would be served to nobody: 1500 requests in 64 KiB.
        """
        stream: IOStream = server_conn.stream  # type: ignore[attr-defined]  # Tornado says object
        if stream.closed():
            with suppress(StreamClosedError):
                stream.read_bytes(stream.max_buffer_size, partial=True)
        return super().start_request(server_conn, request_conn)

    def _end(self, stream: IOStream) -> None:
        """Close a connection whose seat somebody else gets."""
        self.door.drop(stream)
        self._seat_of.pop(stream, None)
        stream.close()

    def know(self, stream: IOStream | None) -> None:
        """Note that a connection has shown a key; None, or one that is no more, is nobody's."""
        if (seat := self._seat_of.get(stream)) is not None:  # type: ignore[arg-type]  # None is no key of it
            self.seats.know(seat)

    def on_close(self, server_conn: object) -> None:
        """Count a connection no more; also one that has become a WebSocket, of which the hub knows how many."""
        super().on_close(server_conn)
        seat = self._seat_of.pop(server_conn.stream, None)  # type: ignore[attr-defined]  # Tornado says object
        if seat is not None:
            self.seats.leave(seat)

    def stop(self) -> None:
        """Take no more connections, also none that wait."""
        super().stop()
        self.standstill.close()
        self.door.close()
