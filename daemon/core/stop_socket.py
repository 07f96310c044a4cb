"""StopSocket: an emergency stop by a Unix socket of the core, for a button: the front may hang, or be restarted.

Whoever writes `stop` and a line break has the printer stopped in the same turn of the loop, and reads `taken`, then
`confirmed` or `unconfirmed`; or `refused` and why. It is for this user alone, as the front's socket is.
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
MOST = 4  # callers at once
PATIENCE = 30.0  # s until one is forgotten, whatever has come of it

log = structlog.get_logger()


class StopSocket:
    """Waits for callers."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.callers: set[_Caller] = set()
        self._server: asyncio.Server | None = None
        connection.subscribe(self._on_event)

    async def listen(self, path: Path) -> None:
        """Wait for callers; where that is not possible it is told, and the front's way remains."""
        try:
            if _is_taken(path):
                raise OSError(errno.EADDRINUSE, "another daemon of this user waits there")  # noqa: TRY301 - as the rest
            self._server = await asyncio.get_running_loop().create_unix_server(lambda: _Caller(self), path)
        except OSError as error:
            log.warning("stop_socket.none", path=str(path), reason=str(error))

    def close(self) -> None:
        """Wait no longer."""
        if self._server is not None:
            self._server.close()
        for caller in [*self.callers]:
            caller.hang_up()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, StopEnded):
            for caller in [*self.callers]:
                caller.end(confirmed=event.confirmed)


def _is_taken(path: Path) -> bool:
    """Tell whether somebody waits there; that is known at once."""
    with closing(socket.socket(socket.AF_UNIX)) as knocking:
        knocking.setblocking(False)  # noqa: FBT003 - the library's own
        return knocking.connect_ex(os.fsencode(path)) == 0


class _Caller(asyncio.Protocol):
    """One caller."""

    def __init__(self, stop: StopSocket) -> None:
        self._stop = stop
        self._said = b""
        self._waits = False
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let it in, if it is one of ours and there are few."""
        self._transport = cast("asyncio.Transport", transport)
        connected = cast("socket.socket", transport.get_extra_info("socket"))
        if len(self._stop.callers) >= MOST or user_of(connected) not in (os.geteuid(), 0):
            self._transport.abort()
            return
        self._stop.callers.add(self)
        self._timer = asyncio.get_running_loop().call_later(PATIENCE, self.hang_up)

    def data_received(self, data: bytes) -> None:
        """Stop the printer, if that is what it says."""
        if self not in self._stop.callers or len(self._said) > len(WORD):
            return
        self._said += data[: len(WORD) + 1]
        if self._said == WORD + b"\n":
            self._do()
        elif not (WORD + b"\n").startswith(self._said):
            self.hang_up()

    def _do(self) -> None:
        connection = self._stop.connection
        log.warning("printer.emergency_stop", reason="the stop button")
        self._waits = True
        try:
            connection.emergency_stop("emergency stop by the button")
        except NozzledError as error:
            self._tell(f"refused: {error}")
            self.hang_up()
        else:
            self._tell("taken")

    def end(self, *, confirmed: bool) -> None:
        """Tell what has come of the stop, if it has asked for one."""
        if self._waits:
            self._tell("confirmed" if confirmed else "unconfirmed")
            self.hang_up()

    def _tell(self, text: str) -> None:
        if self._transport is not None:
            self._transport.write(f"{text}\n".encode())

    def hang_up(self) -> None:
        """Let go of it."""
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.close()
        self._stop.callers.discard(self)

    def connection_lost(self, _: Exception | None) -> None:
        """It has gone."""
        self.hang_up()
