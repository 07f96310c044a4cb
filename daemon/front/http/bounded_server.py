"""BoundedServer: Tornado's HTTP server with a bound on connections, all together and from one client."""

import logging
import resource
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream

from daemon.front.access.attempts import network_of

OTHERS = 64
"""File descriptors that are kept for all but connections: the port, files, the database, programs that are started."""

MOST = 65536  # file descriptors that are asked for

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


@dataclass(frozen=True, slots=True)
class Limits:
    """Connections at once: from everybody, and from one address."""

    all: int
    each: int


class BoundedServer(HTTPServer):
    """Closes at once what comes above the limits; those who are connected go on undisturbed."""

    def initialize(self, *args: Any, limits: Limits, **kwargs: Any) -> None:  # type: ignore[override]  # Tornado's way to construct
        """Take the limits besides what Tornado takes."""
        super().initialize(*args, **kwargs)
        self._limits = limits
        self._clients: Counter[str] = Counter()

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        """Take a connection, or close it."""
        client = _client(address)
        if self._clients.total() >= self._limits.all or self._clients[client] >= self._limits.each:
            log.debug("too many connections, one from %s is closed", client)
            stream.close()
            return
        self._clients[client] += 1
        super().handle_stream(stream, address)

    def on_close(self, server_conn: object) -> None:
        """Count a connection no more; also one that has become a WebSocket, of which the hub knows how many."""
        super().on_close(server_conn)
        client = _client(server_conn.context.address)  # type: ignore[attr-defined]  # Tornado says object
        self._clients[client] -= 1
        if self._clients[client] <= 0:
            del self._clients[client]


def _client(address: tuple[Any, ...] | str) -> str:
    return network_of(str(address[0])) if isinstance(address, tuple) else "local"
