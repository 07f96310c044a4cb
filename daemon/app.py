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
from pathlib import Path

import structlog

from daemon.config import Config, ProfileConfig, runtime_file, state_dir
from daemon.config.chosen_preset import with_chosen
from daemon.core.connection.connection import Connection
from daemon.core.connection.recordings import Recordings
from daemon.core.job.controller import JobController
from daemon.core.job.kept import KeptFile
from daemon.core.job.survival import Survival
from daemon.core.record.store import Store
from daemon.core.reloading import Reloader
from daemon.core.safety.guard import Guard
from daemon.core.safety.line_note import LineNote
from daemon.core.slow_crashes import SlowCrashes
from daemon.core.supervision import Supervision, forget_job_type, job_type
from daemon.front.access import hosts
from daemon.front.access.access import Access
from daemon.front.access.keys import Keys, own_uuid
from daemon.front.analysis.printer_settings import PrinterSettings
from daemon.front.analysis.service import Analyses
from daemon.front.analysis.shelf import Shelf
from daemon.front.analysis.watch import Watch
from daemon.front.discovery import Discovery
from daemon.front.events import Events
from daemon.front.uploads.files import FileStore
from daemon.systemd import notify
from daemon.systemd.descriptors import DescriptorStore
from daemon.systemd.directories import of_systemd
from hal.logbook import Logbook

UPLOADS = "uploads"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
WIRE_FIRST = 1.0  # s that HTTP waits for the wire; a printer that is off, or boots for long, holds nobody up
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
    access: Access
    events: Events
    uuid: str
    wall: Callable[[], float]
    descriptors: DescriptorStore
    analyses: Analyses
    watch: Watch
    guard: Guard
    folder: Path
    profile_is_configured: bool


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
        service = await start(stack, config, environ, wall, extra_ports, descriptors)
        service.connection.subscribe(crashes.on_event)
        if service.connection.ready:
            crashes.end()
        supervision = Supervision(service, environ)
        stack.callback(supervision.stop)
        supervision.start()
        await _listen(stack, service)
        if reread is not None:
            loop.add_signal_handler(signal.SIGHUP, Reloader(service, reread).begin)
        gc.freeze()  # what lives now lives on: later collections need not look at it
        gc.set_threshold(*COLLECT)
        notify.ready()
        await stop.wait()
        crashes.end()
        if not await _hand_over(service, environ):
            # before anything that may wait for a client or a disk
            await service.jobs.abandon("the service was stopped")
        log.info("service.stopping", systemd_job=job_type(environ))
        notify.stopping()


def _slow_crashes(environ: Mapping[str, str], wall: Callable[[], float]) -> SlowCrashes:
    """Count only where somebody makes the printer cold when the service gives up: below systemd."""
    return SlowCrashes(of_systemd(environ, "RUNTIME_DIRECTORY") if notify.is_there(environ) else None, wall)


async def _hand_over(service: Service, environ: Mapping[str, str]) -> bool:
    """Leave a print to the process that systemd starts next; False: it is to end with this one."""
    wanted = service.config.job.on_stop == "hand-over" and service.descriptors.available
    if not wanted or await asyncio.to_thread(job_type, environ) != "restart" or not await service.jobs.hand_over():
        return False
    service.connection.hand_over()
    return True


async def start(
    stack: AsyncExitStack,
    config: Config,
    environ: Mapping[str, str],
    wall: Callable[[], float],
    extra_ports: Sequence[str] = (),
    descriptors: DescriptorStore | None = None,
) -> Service:
    """Make everything but HTTP and begin to connect; `stack` ends it, the running job first.

    Raises:
        ServiceError: the state directory or a key cannot be used.
    """
    folder = state_dir(config, environ)
    store = Store(wall, _store_trouble)
    await store.open(folder)
    configured = config.profile != ProfileConfig()
    config = await asyncio.to_thread(with_chosen, config, folder)
    stack.push_async_callback(_in_time, store.close)
    uuid = await asyncio.to_thread(own_uuid, folder)
    access = await asyncio.to_thread(_access, config, folder, environ, wall)
    stack.push_async_callback(_in_time, access.close)
    uploads = folder / UPLOADS
    files = FileStore(uploads, wall, hashes=store)
    await files.open()
    reader = ThreadPoolExecutor(1, thread_name_prefix="reader")
    stack.callback(reader.shutdown, wait=False, cancel_futures=True)
    descriptors = descriptors or DescriptorStore({})
    logbook, boot = await asyncio.to_thread(_logbook, environ)
    stack.callback(logbook.close)
    recordings = Recordings(config.link, wall, folder)
    connection = Connection(config, extra_ports, recordings, logbook=logbook, descriptors=descriptors)
    stack.push_async_callback(connection.disconnect)
    LineNote(connection, config, folder)
    survival = Survival(connection, logbook, KeptFile(uploads, folder), boot)
    if not config.profile.sized:
        log.info(
            "profile.unknown",
            consequence="no file is refused for its size",
            remedy="nozzled config --preset list shows printers that are known; [profile] preset chooses one",
        )
    jobs = JobController(config, connection, store, uploads, reader, survival)
    stack.push_async_callback(jobs.abandon, "the service was stopped")
    guard = Guard(config, connection, jobs)
    files.busy = jobs.uses
    shelf = Shelf(store)
    analyses = Analyses(config, uploads, shelf, PrinterSettings(connection, lambda: jobs.active))
    watch = Watch(jobs, analyses, shelf, lambda: connection.printer.address if connection.printer else "")
    stack.push_async_callback(_in_time, analyses.close)
    stack.push_async_callback(_in_time, watch.close)
    analyses.open()
    await jobs.recover()
    if not jobs.active:  # else it takes its own line over
        connection.keep_connected()
    return Service(
        config,
        connection,
        jobs,
        files,
        store,
        access,
        Events(),
        uuid,
        wall,
        descriptors,
        analyses,
        watch,
        guard,
        folder,
        configured,
    )


def _logbook(environ: Mapping[str, str]) -> tuple[Logbook, str]:
    """Return what a print is taken over from, and what tells this boot from another."""
    try:
        # the unit says it, as it does not see the file (ProcSubset=pid)
        boot = environ.get("NOZZLED_BOOT_ID") or BOOT_ID.read_text().strip()
        return Logbook(runtime_file(environ)), boot
    except OSError as error:
        log.warning("logbook.missing", reason=str(error), consequence="a print does not survive this process")
        return Logbook(), ""


def _access(config: Config, folder: Path, environ: Mapping[str, str], wall: Callable[[], float]) -> Access:
    hosts.check_proxies(config.http.trusted_proxies)
    access = Access(Keys.load(config, folder, environ), folder, wall)
    access.begin()
    return access


async def _listen(stack: AsyncExitStack, service: Service) -> None:
    # the largest import: in a thread, so that the wire need not wait for it
    importing = asyncio.to_thread(importlib.import_module, "daemon.front.http.server")
    server, _ = await asyncio.gather(importing, service.connection.first_attempt(WIRE_FIRST))
    listening = server.listen(service, service.descriptors.listening())
    stack.push_async_callback(_in_time, listening.close)
    log.info("http.listening", url=listening.url)
    discovery = Discovery(service.config, service.uuid, listening.port)
    stack.push_async_callback(_in_time, discovery.stop)
    discovery.start()


async def _in_time(close: Callable[[], Awaitable[None]]) -> None:
    """End something that may hang on a disk or a client, without hanging with it."""
    try:
        async with asyncio.timeout(CLOSING):
            await close()
    except TimeoutError:
        log.warning("service.hangs", part=close.__qualname__, seconds=CLOSING)


def _store_trouble(error: Exception) -> None:
    log.error("store.trouble", reason=str(error), consequence="the print goes on, its record may be lost")
