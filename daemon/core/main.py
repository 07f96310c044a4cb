"""The core as a process: its start, its supervision, its end. It outlives its fronts."""

import asyncio
import gc
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import structlog

from daemon.bridge.core_end import CoreEnd
from daemon.config import Config, core_socket, state_dir, stop_socket
from daemon.core.core import Core, begin_core
from daemon.core.desk import Desk
from daemon.core.front_process import FrontProcess
from daemon.core.slow_crashes import SlowCrashes
from daemon.core.stop_socket import StopSocket
from daemon.core.supervision import Supervision, forget_job_type, job_type
from daemon.errors import ServiceError
from daemon.reloading import Reloader
from daemon.systemd import notify
from daemon.systemd.descriptors import DescriptorStore
from daemon.systemd.directories import of_systemd

SECTIONS = ("log", "appearance", "webcam", "macros")
"""Sections of the configuration that can change during a print. The core itself uses only `log`."""

SOCKET_CHECK_INTERVAL = 5.0  # s between two checks that the socket for fronts exists
FRONT_TIMEOUT = 10.0  # the start of the core waits at most this long for the front to listen
GC_THRESHOLD = (10_000, 20, 20)  # a line makes a few tuples and no cycles; Python's 700 means a collection every second
SWITCH_INTERVAL = 0.0005  # s for which a computing thread may delay the loop; Python's default is 5 ms

log = structlog.get_logger()


async def run(
    config: Config,
    environ: Mapping[str, str],
    wall: Callable[[], float],
    extra_ports: Sequence[str] = (),
    descriptors: DescriptorStore | None = None,
    reread: Callable[[], Config] | None = None,
    front: Sequence[str] | None = None,
) -> int:
    """Run the core until SIGTERM or SIGINT; return the exit status.

    Args:
        config: the configuration.
        environ: the environment of this process.
        wall: returns the Unix time in s.
        extra_ports: globs of further ports that clients may connect to.
        descriptors: file descriptors that systemd kept for this process.
        reread: reads the configuration again, at SIGHUP; blocks.
        front: the command line of the front, which is run as a child; None: the front is started elsewhere, and
            connects to the socket in the runtime directory.

    Raises:
        ServiceError: the state directory or the socket cannot be used.
        KeepsCrashing: earlier processes of the service have crashed too often.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    forget_job_type(environ)
    crashes = _slow_crashes(environ)
    crashes.mark_start()
    sys.setswitchinterval(SWITCH_INTERVAL)
    async with AsyncExitStack() as stack:
        core = await begin_core(stack, config, environ, wall, extra_ports, descriptors)
        core.connection.subscribe(crashes.on_event)
        if core.connection.ready:
            crashes.remove_marks()
        supervision = Supervision(core, environ)
        stack.callback(supervision.stop)
        supervision.start()
        end = CoreEnd(Desk(core))
        stack.callback(end.close)
        button = StopSocket(core.connection)
        stack.callback(button.close)
        await button.listen(stop_socket(environ, state_dir(config, environ)))
        child = None
        if front is not None:
            listening, busy = core.descriptors.listening(), lambda: core.jobs.active or stop.is_set()
            child = FrontProcess(end, front, environ, listening, busy, stop.set)
            end.on_hello = child.on_sign_of_life
        if reread is not None:
            reloader = Reloader(core, config, reread, SECTIONS, child.reload if child else lambda: None)
            loop.add_signal_handler(signal.SIGHUP, reloader.begin)
        if child is None:
            path = _socket_path(environ)
            await listen(end, path)
            stack.callback(asyncio.create_task(keep_listening(end, path)).cancel)
        else:
            stack.push_async_callback(child.stop)
            child.begin()
            await _wait_for_front(child.has_worked, stop)
        gc.freeze()  # what exists now stays: later collections need not visit it
        gc.set_threshold(*GC_THRESHOLD)
        notify.ready()
        await stop.wait()
        crashes.remove_marks()
        if not await _hand_over(core, environ):
            # heaters first, before anything that may wait for a client or a disk
            await core.jobs.abandon("the service was stopped")
        log.info("service.stopping", systemd_job=job_type(environ))
        notify.stopping()
        return child.failed_status if child else 0


def _socket_path(environ: Mapping[str, str]) -> Path:
    path = core_socket(environ)
    if path is None:
        raise ServiceError("the core needs a runtime directory for its socket: $RUNTIME_DIRECTORY or $XDG_RUNTIME_DIR")
    return path


async def listen(end: CoreEnd, path: Path) -> None:
    """Listen for fronts at this socket. A failure is logged; it must not end a print."""
    try:
        await end.listen(path)
    except OSError as error:
        reason = f"{path}: {error.strerror or error}"
        log.error("bridge.no_socket", reason=reason, consequence="no front can reach the core")  # noqa: TRY400 - no bug


async def keep_listening(end: CoreEnd, path: Path) -> None:
    """Make the socket again whenever it is missing, because it could not be made or was deleted."""
    while True:
        await asyncio.sleep(SOCKET_CHECK_INTERVAL)
        if not path.is_socket():  # noqa: ASYNC240 - a tmpfs
            await listen(end, path)


async def _wait_for_front(*events: asyncio.Event) -> None:
    """Wait for one of the events, at most FRONT_TIMEOUT: a front that fails to listen must not hold up the start."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waiting, timeout=FRONT_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()


def _slow_crashes(environ: Mapping[str, str]) -> SlowCrashes:
    """Return the count of crashes. Without systemd nothing is counted, as nothing would turn the heaters off."""
    # the loop's clock, as NTP never sets it; at a boot it starts over, and the marks are gone, as they are on a tmpfs
    clock = asyncio.get_running_loop().time
    return SlowCrashes(of_systemd(environ, "RUNTIME_DIRECTORY") if notify.is_there(environ) else None, clock)


async def _hand_over(core: Core, environ: Mapping[str, str]) -> bool:
    """Leave a print to the process that systemd starts next; False: the print has to end with this process."""
    is_wanted = core.config.job.on_stop == "hand-over" and core.descriptors.available
    if not is_wanted or await asyncio.to_thread(job_type, environ) != "restart" or not await core.jobs.hand_over():
        return False
    core.connection.hand_over()
    return True
