"""Door: connections from an address that has used up what strangers may cost wait here, unread.

To read and refuse them would cost the processor that the wire needs; whoever is not read sends no more, and who is not
refused does not come back at once. A valid key in what a connection has sent so far opens the door, so who has one does
not wait.
"""

import asyncio
import re
import socket
from collections.abc import Callable
from contextlib import suppress

from tornado.iostream import IOStream

from gcode.frozen import mutable

HOLD = 2.0  # s that a connection waits
RATE = 20.0  # that are let in each second, at most
KEPT, LOOKED_AT = 32768, 8192
"""Bytes that the kernel keeps for one of them, or twice that, and in which a key is looked for."""

_KEY = re.compile(
    rb"(?:\nx-api-key:|\nauthorization:[ \t]*bearer|[?&]apikey=)[ \t]*([^\s&=?]{1,256}+)(?=[&\s])", re.IGNORECASE
)


@mutable
class _Waiting:
    let_in: Callable[[], None]
    timer: asyncio.TimerHandle
    watched: bool = True  # for the first that it sends


class Door:
    """The connections that wait."""

    def __init__(self, is_key: Callable[[str], bool]) -> None:
        """Prepare; `is_key` tells whether this is a valid key."""
        self._is_key = is_key
        self._waiting: dict[IOStream, _Waiting] = {}

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def hold(self, stream: IOStream, let_in: Callable[[], None]) -> None:
        """Keep a connection waiting, then call `let_in`, unless it is closed meanwhile."""
        loop = asyncio.get_running_loop()
        seconds = max(HOLD, len(self._waiting) / RATE)
        self._waiting[stream] = _Waiting(let_in, loop.call_later(seconds, self._open, stream))
        with suppress(OSError):  # what it sends meanwhile stays with the kernel
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KEPT)
        loop.add_reader(stream.socket, self._look, stream)

    def drop(self, stream: IOStream) -> None:
        """Have it wait no more."""
        self._taken_out(stream)

    def close(self) -> None:
        """End all that wait."""
        for stream in [*self._waiting]:
            self._taken_out(stream)
            stream.close()

    def _look(self, stream: IOStream) -> None:
        """Look once at what was sent, and leave it where it is."""
        self._unwatch(stream, self._waiting[stream])
        try:
            sent = stream.socket.recv(LOOKED_AT, socket.MSG_PEEK)
        except OSError:
            sent = b""
        if not sent or any(self._is_key(each.decode("ascii")) for each in _KEY.findall(sent)[:2]):
            self._open(stream)  # one that has gone is noticed there

    def _open(self, stream: IOStream) -> None:
        if (waiting := self._taken_out(stream)) is not None:
            waiting.let_in()

    def _taken_out(self, stream: IOStream) -> _Waiting | None:
        waiting = self._waiting.pop(stream, None)
        if waiting is not None:
            waiting.timer.cancel()
            self._unwatch(stream, waiting)
        return waiting

    def _unwatch(self, stream: IOStream, waiting: _Waiting) -> None:
        if waiting.watched:
            waiting.watched = False
            asyncio.get_running_loop().remove_reader(stream.socket)
