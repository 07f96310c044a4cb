"""The front as a process: it connects to the core, serves HTTP, and ends."""

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path

import structlog

from daemon.bridge.front_end import CORE_AWAY_TEXT, FrontEnd
from daemon.bridge.snapshot import PrinterSummary
from daemon.config import Config, HttpConfig
from daemon.front.access.scopes import Scope
from daemon.front.discovery import Discovery
from daemon.front.front import Front, begin
from daemon.front.http.server import Listening, listen
from daemon.front.invitation import Invitation, invite, roots
from daemon.in_time import close_in_time
from daemon.log import journal
from daemon.reloading import Reloader
from daemon.systemd import notify
from daemon.systemd.heartbeat import Heartbeat
from daemon.systemd.installed import listening_as
from hal.printer import ConnectionState

CONNECT_TIMEOUT = 1.0  # s that HTTP waits for the printer's connection
SWITCH_INTERVAL = 0.0005  # s; by which a computing thread may delay the loop; Python's default is 5 ms
SECTIONS = ("log", "appearance", "webcam", "macros")  # of the configuration that can change without a restart

log = structlog.get_logger()


async def run(
    config: Config,
    environ: Mapping[str, str],
    wall: Callable[[], float],
    core: socket.socket | Path,
    handed_in: Sequence[socket.socket] = (),
    reread: Callable[[], Config] | None = None,
    greet: Callable[[Invitation, PrinterSummary], None] | None = None,
    switched_on: Collection[str] = (),
) -> None:
    """Run the front until SIGTERM, or until the core that started it has gone; without such a core, also until Ctrl-C.

    Args:
        config: the configuration.
        environ: of this process.
        wall: returns the Unix time in s.
        core: the socket to the core, or the path of the socket that it listens on.
        handed_in: sockets that already listen for HTTP.
        reread: reads the configuration again, at SIGHUP; blocks.
        greet: shows a link to the page on the terminal, and why there is no connection to the printer.
        switched_on: the companions that have a section in the configuration file.

    Raises:
        ServiceError: the state directory, the HTTP address or a key cannot be used.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    # Ctrl-C is for the core, which ends the front when the printer is safe
    loop.add_signal_handler(signal.SIGINT, stop.set if isinstance(core, Path) else lambda: None)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # ignored until the configuration can be read again
    sys.setswitchinterval(SWITCH_INTERVAL)
    async with AsyncExitStack() as stack:
        end = FrontEnd()
        stack.push_async_callback(end.close)
        if isinstance(core, Path):
            end.keep_connected(core)
        else:
            await end.use(core, stop.set)
        front = await begin(stack, config, environ, wall, end, switched_on)
        await _wait_for_connection(end)
        listening = listen(front, handed_in)
        stack.push_async_callback(close_in_time, listening.close)
        log.info("http.listening", url=listening.url)
        if handed_in:
            warn_if_elsewhere(config, listening)
        _tell_systemd(stack, environ, end, listening.url)
        end.say_hello()
        if greet is not None:
            greet(await _invitation(front, listening), end.latest().printer)
        described = replace(front.config, appearance=front.appearance)
        discovery = Discovery(described, front.uuid, listening.host, listening.port)
        stack.push_async_callback(close_in_time, discovery.stop)
        discovery.start()
        if reread is not None:
            loop.add_signal_handler(signal.SIGHUP, Reloader(front, config, reread, SECTIONS).begin)
        gc.freeze()  # exempt everything loaded so far from garbage collection
        notify.ready()
        await stop.wait()
        notify.stopping()


def warn_if_elsewhere(config: Config, listening: Listening) -> None:
    """Warn if the configured address is not the one that systemd has opened."""
    configured = listening_as(config.http.host, config.http.port)
    if config.http.host != HttpConfig().host and configured != listening_as(listening.host, listening.port):
        log.warning(
            "http.not_as_configured",
            configured=configured,
            remedy="sudo systemctl daemon-reload; sudo systemctl restart nozzled.socket",
        )


def _tell_systemd(stack: AsyncExitStack, environ: Mapping[str, str], end: FrontEnd, url: str) -> None:
    """Feed the watchdog, set the status of `systemctl status`, and add job and printer to journal entries."""

    def context() -> Mapping[str, object]:
        snapshot = end.latest()
        return {"JOB_ID": snapshot.job.id, "PRINTER": snapshot.printer.address}

    def status() -> str:
        return url if end.connected else f"{url}; {CORE_AWAY_TEXT}"

    stack.callback(journal.use_context(context))
    heartbeat = Heartbeat(environ, lambda: True, status)
    stack.callback(heartbeat.stop)
    heartbeat.start()


async def _invitation(front: Front, listening: Listening) -> Invitation:
    """Return an invitation to the page; the first one gives a key of scope admin."""
    scope = Scope.CONTROL if front.access.keyring.keys else Scope.ADMIN
    addresses = await asyncio.to_thread(roots, listening.host, listening.port, front.config.http.hostnames)
    return invite(front.access, scope, addresses, asyncio.get_running_loop().time())


async def _wait_for_connection(end: FrontEnd) -> None:
    """Wait at most CONNECT_TIMEOUT while the core connects, so that early requests see more than "Connecting"."""
    under_way = (ConnectionState.OPENING, ConnectionState.HANDSHAKING)
    changed = asyncio.Event()
    end.subscribe(lambda _event: changed.set())
    with suppress(TimeoutError):
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await end.wait_for_snapshot()
            while end.latest().printer.state in under_way:
                changed.clear()
                await changed.wait()
