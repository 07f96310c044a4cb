"""StopSocket: an emergency stop through a Unix socket of the core, for a button. It works even if the front hangs.

A caller writes `stop` and a line break. The core sends the emergency stop in the same turn of its loop, or first opens
the port if it is closed, and answers `taken`, then `confirmed` or `unconfirmed`; or it answers `refused` with the
reason. Only this user and root may call.
"""

import asyncio
import errno
import os
import socket
from contextlib import closing
from pathlib import Path
from typing import cast

import structlog

from daemon.bridge.core_end import user_of
from daemon.core.connection.connection import Connection
from gcode.errors import NozzledError
from hal.printer import Event, StopEnded

WORD = b"stop"
MAX_CALLERS = 4  # at once
CALLER_TIMEOUT = 30.0  # s after which the core hangs up on a caller

log = structlog.get_logger()


class StopSocket:
    """Listens for callers."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.callers: set[_Caller] = set()
        self._server: asyncio.Server | None = None
        connection.subscribe(self._on_event)

    async def listen(self, path: Path) -> None:
        """Listen for callers. A failure is logged; the emergency stop over HTTP remains."""
        try:
            if _is_taken(path):
                raise OSError(errno.EADDRINUSE, "another daemon of this user listens there")  # noqa: TRY301 - as the rest
            self._server = await asyncio.get_running_loop().create_unix_server(lambda: _Caller(self), path)
        except OSError as error:
            log.warning("stop_socket.none", path=str(path), reason=str(error))

    def close(self) -> None:
        """Stop listening, and hang up on every caller."""
        if self._server is not None:
            self._server.close()
        for caller in [*self.callers]:
            caller.hang_up()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, StopEnded):
            for caller in [*self.callers]:
                caller.end(confirmed=event.confirmed)


def _is_taken(path: Path) -> bool:
    """Tell whether another process listens at this path; does not block."""
    with closing(socket.socket(socket.AF_UNIX)) as probe:
        probe.setblocking(False)  # noqa: FBT003 - the library's own
        return probe.connect_ex(os.fsencode(path)) in (0, errno.EAGAIN)  # EAGAIN: it hangs, and many callers wait


class _Caller(asyncio.Protocol):
    """One caller."""

    def __init__(self, stop: StopSocket) -> None:
        self._stop = stop
        self._received = b""
        self._awaits_outcome = False  # it has asked for a stop
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept callers of this user and of root, at most MAX_CALLERS."""
        self._transport = cast("asyncio.Transport", transport)
        connected = cast("socket.socket", transport.get_extra_info("socket"))
        if len(self._stop.callers) >= MAX_CALLERS or user_of(connected) not in (os.geteuid(), 0):
            self._transport.abort()
            return
        self._stop.callers.add(self)
        self._timer = asyncio.get_running_loop().call_later(CALLER_TIMEOUT, self.hang_up)

    def data_received(self, data: bytes) -> None:
        """Stop the printer if the caller writes WORD; hang up on anything else."""
        if self not in self._stop.callers or len(self._received) > len(WORD):
            return
        self._received += data[: len(WORD) + 1]
        if self._received == WORD + b"\n":
            self._stop_printer()
        elif not (WORD + b"\n").startswith(self._received):
            self.hang_up()

    def _stop_printer(self) -> None:
        connection = self._stop.connection
        log.warning("printer.emergency_stop", reason="the stop button")
        self._awaits_outcome = True
        try:
            connection.emergency_stop("emergency stop by the button")
        except NozzledError as error:
            self._tell(f"refused: {error}")
            self.hang_up()
        else:
            self._tell("taken")

    def end(self, *, confirmed: bool) -> None:
        """Answer with the outcome of the stop, if the caller has asked for one."""
        if self._awaits_outcome:
            self._tell("confirmed" if confirmed else "unconfirmed")
            self.hang_up()

    def _tell(self, text: str) -> None:
        if self._transport is not None:
            self._transport.write(f"{text}\n".encode())

    def hang_up(self) -> None:
        """Close the connection."""
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.close()
        self._stop.callers.discard(self)

    def connection_lost(self, _: Exception | None) -> None:
        """Forget a caller that has hung up."""
        self.hang_up()
