"""Core: the parts of the process that owns the printer. `begin_core` makes them in order; they end in reverse order."""

import asyncio
import errno
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import structlog

from daemon.boot import boot_id
from daemon.config import UPLOADS, Config, ProfileConfig, chosen_port, logbook_file, state_dir
from daemon.config.chosen_preset import with_chosen_profile
from daemon.core.connection.connection import Connection
from daemon.core.connection.printer_settings import PrinterSettings
from daemon.core.connection.recordings import Recordings
from daemon.core.job.controller import JobController
from daemon.core.job.kept_file import KeptFile
from daemon.core.job.survival import Survival
from daemon.core.record.place_file import PlaceFile
from daemon.core.record.store import Store
from daemon.core.safety.guard import Guard
from daemon.core.safety.port_note import PortNote
from daemon.database import LOCK_RETRY_INTERVAL
from daemon.in_time import close_in_time
from daemon.set_aside import make_way
from daemon.systemd.descriptors import DescriptorStore
from gcode.frozen import mutable
from hal.logbook import Logbook

PLACE = "place"
"""File in the state directory that says where a print is in its file."""

LOGBOOK_TIMEOUT = 1.0  # for an ending process to release its logbook

log = structlog.get_logger()


@mutable
class Core:
    """The parts of the core, through which they find each other."""

    config: Config
    connection: Connection
    jobs: JobController
    guard: Guard
    store: Store
    settings: PrinterSettings
    descriptors: DescriptorStore
    folder: Path
    profile_is_configured: bool
    wall: Callable[[], float]


async def begin_core(
    stack: AsyncExitStack,
    config: Config,
    environ: Mapping[str, str],
    wall: Callable[[], float],
    extra_ports: Sequence[str] = (),
    descriptors: DescriptorStore | None = None,
) -> Core:
    """Make the parts and begin to connect.

    Args:
        stack: ends the parts, the running job first.
        config: the configuration.
        environ: the environment of this process.
        wall: returns the Unix time in s.
        extra_ports: globs of further ports that clients may connect to.
        descriptors: file descriptors that systemd kept for this process.

    Raises:
        ServiceError: the state directory cannot be used.
    """
    folder = state_dir(config, environ)
    store = Store(wall, _store_trouble)
    await store.open(folder)
    configured = config.profile != ProfileConfig()
    config = await asyncio.to_thread(with_chosen_profile, config, folder)
    config = await asyncio.to_thread(chosen_port.with_chosen_port, config, folder)
    stack.push_async_callback(close_in_time, store.close)
    uploads = folder / UPLOADS
    reader = ThreadPoolExecutor(1, thread_name_prefix="reader")
    stack.callback(reader.shutdown, wait=False, cancel_futures=True)
    descriptors = descriptors or DescriptorStore({})
    logbook, boot = await _logbook(environ)
    stack.callback(logbook.close)
    recordings = Recordings(config.link, wall, folder)
    connection = Connection(config, extra_ports, recordings, logbook=logbook, descriptors=descriptors)
    connection.on_chosen = partial(_save_choice, folder)
    stack.push_async_callback(connection.disconnect)
    PortNote(connection, folder).follow()
    await asyncio.to_thread(make_way, folder / PLACE, "a print from before a power cut is not continued")
    disk = PlaceFile(folder / PLACE)
    survival = Survival(connection, logbook, KeptFile(uploads, folder), boot, disk)

    async def close_place() -> None:
        await survival.places.close()
        await disk.close()

    stack.push_async_callback(close_in_time, close_place)
    if not config.profile.has_size:
        log.info(
            "profile.unknown",
            consequence="no file is refused for its size",
            remedy="nozzled config --preset list shows printers that are known; [profile] preset chooses one",
        )
    jobs = JobController(config, connection, store, uploads, reader, survival)
    stack.push_async_callback(jobs.abandon, "the service was stopped")
    guard = Guard(config, connection, jobs)
    settings = PrinterSettings(connection, lambda: jobs.active)
    await jobs.recover()
    if not jobs.active:  # a job that the previous host left reattaches to its printer by itself
        connection.keep_connected()
    return Core(config, connection, jobs, guard, store, settings, descriptors, folder, configured, wall)


async def _logbook(environ: Mapping[str, str]) -> tuple[Logbook, str]:
    """Return the logbook, from which a print is reattached, and the id of this boot.

    An ending process that has released the state directory may hold its logbook for a moment longer.
    """
    path = logbook_file(environ)
    if path is not None:
        await asyncio.to_thread(make_way, path, "an unfinished print cannot be reattached")
    loop = asyncio.get_running_loop()
    until = loop.time() + LOGBOOK_TIMEOUT
    while True:
        try:
            return await asyncio.to_thread(Logbook, path), await asyncio.to_thread(boot_id, environ)
        except OSError as error:
            if error.errno != errno.EBUSY or loop.time() >= until:
                log.warning("logbook.missing", reason=str(error), consequence="a print will not survive this process")
                return Logbook(), ""
        await asyncio.sleep(LOCK_RETRY_INTERVAL)


def _save_choice(folder: Path, address: str) -> None:
    """Begin to save the chosen printer, in a thread."""
    asyncio.get_running_loop().run_in_executor(None, _save, folder, address)


def _save(folder: Path, address: str) -> None:
    try:
        chosen_port.save(address, folder)
    except OSError as error:
        log.warning(
            "printer.choice_not_kept", reason=str(error), consequence="the next start will not know the printer"
        )


def _store_trouble(error: Exception) -> None:
    log.error("store.trouble", reason=str(error), consequence="the print continues, but its record may be lost")
