"""Service: the composition root. Everything is made here, in the order in which it is needed, and ended in reverse.

The wire comes before HTTP: after a restart a printer waits for its next line, a browser can wait.
"""

import asyncio
import gc
import importlib
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import structlog

from daemon.bridge.memory import InMemory
from daemon.config import Config
from daemon.core import core as core_building
from daemon.core.core import Core
from daemon.core.desk import Desk
from daemon.core.reloading import Reloader
from daemon.core.slow_crashes import SlowCrashes
from daemon.core.supervision import Supervision, forget_job_type, job_type
from daemon.front import front as front_building
from daemon.front.discovery import Discovery
from daemon.front.front import Front
from daemon.in_time import in_time
from daemon.systemd import notify
from daemon.systemd.descriptors import DescriptorStore
from daemon.systemd.directories import of_systemd

WIRE_FIRST = 1.0  # s that HTTP waits for the wire; a printer that is off, or boots for long, holds nobody up
COLLECT = (10_000, 20, 20)  # a line makes a few tuples and no cycles: Python's 700 would look for them every second
SWITCH_INTERVAL = 0.0005  # s; a thread that computes delays the loop by 5 ms at Python's default, by 0.1 ms so

log = structlog.get_logger()


@dataclass(slots=True)
class House:
    """Both buildings: what prints, and what talks to people and programs."""

    core: Core
    front: Front


async def serve(
    config: Config,
    environ: Mapping[str, str],
    wall: Callable[[], float],
    extra_ports: Sequence[str] = (),
    descriptors: DescriptorStore | None = None,
    reread: Callable[[], Config] | None = None,
) -> None:
    """Run the service until SIGTERM or SIGINT.

    Args:
        config: what is configured.
        environ: of this process.
        wall: the date, in s.
        extra_ports: globs of ports that clients may connect to besides those that are listed.
        descriptors: what systemd has handed in.
        reread: reads the configuration again, at SIGHUP; blocks.

    Raises:
        ServiceError: the state directory, the HTTP address or a key cannot be used.
        KeepsCrashing: those before this one have ended too often.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    forget_job_type(environ)
    crashes = _slow_crashes(environ, wall)
    crashes.begin()
    sys.setswitchinterval(SWITCH_INTERVAL)
    async with AsyncExitStack() as stack:
        house = await start(stack, config, environ, wall, extra_ports, descriptors)
        house.core.connection.subscribe(crashes.on_event)
        if house.core.connection.ready:
            crashes.end()
        supervision = Supervision(house.core, environ)
        stack.callback(supervision.stop)
        supervision.start()
        await _listen(stack, house)
        if reread is not None:
            loop.add_signal_handler(signal.SIGHUP, Reloader([house.core, house.front], reread).begin)
        gc.freeze()  # what lives now lives on: later collections need not look at it
        gc.set_threshold(*COLLECT)
        notify.ready()
        await stop.wait()
        crashes.end()
        if not await _hand_over(house.core, environ):
            # before anything that may wait for a client or a disk
            await house.core.jobs.abandon("the service was stopped")
        log.info("service.stopping", systemd_job=job_type(environ))
        notify.stopping()


def _slow_crashes(environ: Mapping[str, str], wall: Callable[[], float]) -> SlowCrashes:
    """Count only where somebody makes the printer cold when the service gives up: below systemd."""
    return SlowCrashes(of_systemd(environ, "RUNTIME_DIRECTORY") if notify.is_there(environ) else None, wall)


async def _hand_over(core: Core, environ: Mapping[str, str]) -> bool:
    """Leave a print to the process that systemd starts next; False: it is to end with this one."""
    wanted = core.config.job.on_stop == "hand-over" and core.descriptors.available
    if not wanted or await asyncio.to_thread(job_type, environ) != "restart" or not await core.jobs.hand_over():
        return False
    core.connection.hand_over()
    return True


async def start(
    stack: AsyncExitStack,
    config: Config,
    environ: Mapping[str, str],
    wall: Callable[[], float],
    extra_ports: Sequence[str] = (),
    descriptors: DescriptorStore | None = None,
) -> House:
    """Make everything but HTTP and begin to connect; `stack` ends it, the running job first.

    Raises:
        ServiceError: the state directory or a key cannot be used.
    """
    core = await core_building.begin(stack, config, environ, wall, extra_ports, descriptors)
    front = await front_building.begin(stack, core.config, environ, wall, InMemory(Desk(core)), core.store)
    return House(core, front)


async def _listen(stack: AsyncExitStack, house: House) -> None:
    # the largest import: in a thread, so that the wire need not wait for it
    importing = asyncio.to_thread(importlib.import_module, "daemon.front.http.server")
    server, _ = await asyncio.gather(importing, house.core.connection.first_attempt(WIRE_FIRST))
    listening = server.listen(house.front, house.core.descriptors.listening())
    stack.push_async_callback(in_time, listening.close)
    log.info("http.listening", url=listening.url)
    discovery = Discovery(house.front.config, house.front.uuid, listening.port)
    stack.push_async_callback(in_time, discovery.stop)
    discovery.start()
