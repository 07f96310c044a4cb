"""Service: the composition root. Everything is made here, in the order in which it is needed, and ended in reverse.

The wire comes before HTTP: after a restart a printer waits for its next line, a browser can wait.
"""

import asyncio
import gc
import importlib
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass

import structlog

from daemon import notify
from daemon.config import Config, state_dir
from daemon.connection import Connection
from daemon.files import FileStore
from daemon.job.controller import JobController
from daemon.keys import Keys
from daemon.recordings import Recordings
from daemon.store import Store

UPLOADS = "uploads"
CLOSING = 0.7  # s; after heaters off, which may take 3 of the 5 s that a stop may take
COLLECT = (10_000, 20, 20)  # a line makes a few tuples and no cycles: Python's 700 would look for them every second
SWITCH_INTERVAL = 0.0005  # s; a thread that computes delays the loop by 5 ms at Python's default, by 0.1 ms so

log = structlog.get_logger()


@dataclass(slots=True)
class Service:
    """What the parts of the daemon reach each other by."""

    config: Config
    connection: Connection
    jobs: JobController
    files: FileStore
    store: Store
    keys: Keys
    wall: Callable[[], float]


async def serve(
    config: Config, environ: Mapping[str, str], wall: Callable[[], float], extra_ports: Sequence[str] = ()
) -> None:
    """Run the service until SIGTERM or SIGINT.

    Raises:
        ServiceError: the state directory, the HTTP address or a key cannot be used.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    sys.setswitchinterval(SWITCH_INTERVAL)
    async with AsyncExitStack() as stack:
        service = await start(stack, config, environ, wall, extra_ports)
        await _listen(stack, service)
        gc.freeze()  # what lives now lives on: later collections need not look at it
        gc.set_threshold(*COLLECT)
        notify.ready()
        await stop.wait()
        await service.jobs.abandon("the service was stopped")  # before anything that may wait for a client or a disk
        log.info("service.stopping")
        notify.stopping()


async def start(
    stack: AsyncExitStack,
    config: Config,
    environ: Mapping[str, str],
    wall: Callable[[], float],
    extra_ports: Sequence[str] = (),
) -> Service:
    """Make everything but HTTP and begin to connect; `stack` ends it, the running job first.

    Raises:
        ServiceError: the state directory or a key cannot be used.
    """
    folder = state_dir(config, environ)
    store = Store(wall, _store_trouble)
    await store.open(folder)
    stack.push_async_callback(_in_time, store.close)
    keys = await asyncio.to_thread(Keys.load, config, folder, environ)
    uploads = folder / UPLOADS
    files = FileStore(uploads, wall, hashes=store)
    await files.open()
    reader = ThreadPoolExecutor(1, thread_name_prefix="reader")
    stack.callback(reader.shutdown, wait=False, cancel_futures=True)
    connection = Connection(config, extra_ports, Recordings(config.link, wall, folder))
    stack.push_async_callback(connection.disconnect)
    jobs = JobController(config, connection, store, uploads, reader)
    stack.push_async_callback(jobs.abandon, "the service was stopped")
    files.busy = jobs.uses
    await jobs.recover()
    connection.keep_connected()
    return Service(config, connection, jobs, files, store, keys, wall)


async def _listen(stack: AsyncExitStack, service: Service) -> None:
    # the largest import: in a thread, so that the wire need not wait for it
    server = await asyncio.to_thread(importlib.import_module, "daemon.http.server")
    listening = server.listen(service)
    stack.push_async_callback(_in_time, listening.close)
    log.info("http.listening", url=listening.url)


async def _in_time(close: Callable[[], Awaitable[None]]) -> None:
    """End something that may hang on a disk or a client, without hanging with it."""
    try:
        await asyncio.wait_for(close(), CLOSING)
    except TimeoutError:
        log.warning("service.hangs", part=close.__qualname__, seconds=CLOSING)


def _store_trouble(error: Exception) -> None:
    log.error("store.trouble", reason=str(error), consequence="the print goes on, its record may be lost")
