"""Door: where connections wait, unread, if their address has spent the budget of clients without a key.

Reading and refusing their requests would cost processor time that the wire needs. A client whose bytes are not read
soon cannot send more, and a client that is not refused does not reconnect at once. A valid key among the first
bytes that arrive opens the door, so clients that send their key at once do not wait.
"""

import asyncio
import re
import socket
from collections.abc import Callable
from contextlib import suppress

from tornado.iostream import IOStream

from gcode.frozen import mutable

MIN_WAIT_S = 2.0  # a connection without a key waits at least this long
MAX_RATE = 20.0  # connections without a key that are let in per second
RECEIVE_BUFFER = 32768  # bytes that the kernel buffers of a waiting connection; Linux doubles it
SEARCHED_BYTES = 8192  # only these, the first ones, are searched for a key

_KEY = re.compile(
    rb"(?:\nx-api-key:|\nauthorization:[ \t]*bearer|[?&]apikey=)[ \t]*([^\s&=?]{1,256}+)(?=[&\s])", re.IGNORECASE
)


@mutable
class _WaitingConnection:
    let_in: Callable[[], None]
    timer: asyncio.TimerHandle
    is_watched: bool = True  # until its first bytes arrive


class Door:
    """The waiting connections."""

    def __init__(self, is_key: Callable[[str], bool]) -> None:
        """Prepare; `is_key` tells whether a text is a valid key."""
        self._is_key = is_key
        self._waiting: dict[IOStream, _WaitingConnection] = {}

    def __len__(self) -> int:
        """Return how many connections wait."""
        return len(self._waiting)

    def hold(self, stream: IOStream, let_in: Callable[[], None]) -> None:
        """Have a connection wait, then call `let_in`, unless it is dropped meanwhile."""
        loop = asyncio.get_running_loop()
        seconds = max(MIN_WAIT_S, len(self._waiting) / MAX_RATE)
        self._waiting[stream] = _WaitingConnection(let_in, loop.call_later(seconds, self._open, stream))
        with suppress(OSError):  # without it the kernel only buffers more
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        loop.add_reader(stream.socket, self._look, stream)

    def drop(self, stream: IOStream) -> None:
        """Forget a connection."""
        self._remove(stream)

    def close(self) -> None:
        """Close all waiting connections."""
        for stream in [*self._waiting]:
            self._remove(stream)
            stream.close()

    def _look(self, stream: IOStream) -> None:
        """Peek once at the bytes sent so far; open the door if they hold a key."""
        self._unwatch(stream, self._waiting[stream])
        try:
            sent = stream.socket.recv(SEARCHED_BYTES, socket.MSG_PEEK)
        except OSError:
            sent = b""
        if not sent or any(self._is_key(each.decode("latin-1")) for each in _KEY.findall(sent)[:2]):
            self._open(stream)  # nothing sent: the client has gone, and Tornado notices

    def _open(self, stream: IOStream) -> None:
        if (waiting := self._remove(stream)) is not None:
            waiting.let_in()

    def _remove(self, stream: IOStream) -> _WaitingConnection | None:
        waiting = self._waiting.pop(stream, None)
        if waiting is not None:
            waiting.timer.cancel()
            self._unwatch(stream, waiting)
        return waiting

    def _unwatch(self, stream: IOStream, waiting: _WaitingConnection) -> None:
        if waiting.is_watched:
            waiting.is_watched = False
            asyncio.get_running_loop().remove_reader(stream.socket)
