"""The farm's server process: wires up job list, printers, files and HTTP, and shuts them down."""

import asyncio
import faulthandler
import fcntl
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import structlog

from daemon import log as service_log
from daemon.ending import STDERR, leave_threads_behind
from daemon.errors import StateDirTaken
from daemon.farm.carrier.ending import run_for_ever
from daemon.farm.carrier.errors import FarmUnreachable
from daemon.farm.carrier.server_end import NatsServerEnd
from daemon.farm.carrier.site_end import NatsSiteEnd
from daemon.farm.errors import FarmError
from daemon.farm.http.keys import FIRST_KEY_FILE
from daemon.farm.http.seams import FarmSeams
from daemon.farm.http.server import listen, make_app, prepare
from daemon.farm.http.uploads import picture_of
from daemon.farm.list.job_list import JobList
from daemon.farm.server.config import FarmServerConfig, list_url, nats_address
from daemon.farm.server.dispatcher import Dispatcher, DispatcherTimes
from daemon.farm.server.files import FarmFiles
from daemon.farm.server.list_thread import ListThread
from daemon.farm.server.sites import OwnSite, SiteHub
from daemon.systemd import notify
from daemon.systemd.heartbeat import Heartbeat

SHUTDOWN_TIMEOUT = 5.0  # for connections, and for the list
TIDY_INTERVAL = 6 * 3600.0
TIDY_DELAY = 60.0  # after the start: first NATS has to be connected
TIDY_RETRY_DELAY = 300.0

log = structlog.get_logger()


def serve_farm(config: FarmServerConfig, state: Path, environ: Mapping[str, str], wall: Callable[[], float]) -> int:
    """Run the server until SIGTERM or Ctrl-C; return the exit code.

    Args:
        config: of the farm.
        state: the folder of list, keys and cache.
        environ: of this process.
        wall: returns the Unix time in s.

    Raises:
        ConfigError: the configuration has a value that cannot be used.
        StoreError: the list cannot be used.
        StateDirTaken: another server uses that folder.
    """
    faulthandler.enable(STDERR)
    lock = take_lock(state)
    writer = service_log.configure(config.log.level, config.log.format, part="farm")
    try:
        asyncio.run(_serve(config, state, environ, wall))
    finally:
        writer.close()
        os.close(lock)
    leave_threads_behind(0)
    return 0


def take_lock(state: Path) -> int:
    """Lock a state folder until this process ends, and return the lock's descriptor.

    Two servers in one folder would delete each other's uploads.

    Raises:
        StateDirTaken: another server has the lock.
    """
    descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StateDirTaken(
            f"another `nozzled farm serve` uses {state}: each server needs its own folder (--state)"
        ) from error
    return descriptor


async def _serve(config: FarmServerConfig, state: Path, environ: Mapping[str, str], wall: Callable[[], float]) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    end = NatsServerEnd(nats_address(config, environ))
    jobs = ListThread()
    await jobs.open(lambda: JobList(list_url(config, state), wall, config.list.away_s))
    try:
        files = FarmFiles(state / "files", end, config.files.cache_mib << 20)
        await files.open()
        times = DispatcherTimes(lease=config.list.lease_s, away=config.list.away_s)
        dispatcher = Dispatcher(jobs, end, files, wall, times)
        seams = FarmSeams(jobs=jobs, files=files, printers=dispatcher, folder=state, wall=wall, name=config.http.name)
        app = make_app(seams)
        await prepare(app, seams)
        jobs.on_any_change = dispatcher.on_new_presence = app.settings["farm_feed"].wake
        server = listen(app, config.http.host, config.http.port)
        page = f"http://{config.http.host}:{server.port}/"
        log.info(
            "farm.listening", host=config.http.host, port=server.port, page=page, first_key=str(state / FIRST_KEY_FILE)
        )
        works = [dispatcher.run(), files.run(), _tidy(jobs, files, config.files.keep_days, state)]
        if config.sites.sites:
            end.sites, end.answer_site = config.sites.sites, SiteHub(jobs, files, config.sites.sites).answer
        if config.sites.site:
            hub = NatsSiteEnd(config.sites.site, nats_address(config, environ))
            works += [hub.run(), OwnSite(jobs, files, hub, state, config.sites.poll_s).run()]
        work = asyncio.ensure_future(run_for_ever(*works))
        try:
            await _run_until(stop, work, environ, dispatcher)
        finally:
            notify.stopping()
            await _end(work)
            await server.close()
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(SHUTDOWN_TIMEOUT):
                await jobs.close()


async def _run_until(
    stop: asyncio.Event, work: "asyncio.Future[None]", environ: Mapping[str, str], dispatcher: Dispatcher
) -> None:
    """Report to systemd until `stop` is set; if the work fails, raise its error."""
    heartbeat = Heartbeat(environ, lambda: True, lambda: _status(dispatcher))
    heartbeat.start()
    notify.ready()
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((work, stopping), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
    finally:
        heartbeat.stop()
        stopping.cancel()


async def _end(work: "asyncio.Future[None]") -> None:
    work.cancel()
    with suppress(asyncio.CancelledError, Exception):  # `_run_until` has raised it
        async with asyncio.timeout(SHUTDOWN_TIMEOUT):
            await work


async def _tidy(jobs: ListThread, files: FarmFiles, keep_days: float, state: Path) -> None:
    pause = TIDY_DELAY
    while True:
        await asyncio.sleep(pause)
        pause = TIDY_INTERVAL
        try:
            await jobs.call_quietly(lambda each: each.tidy())
            await files.remove_leftovers()
            await drop_old_files(jobs, files, keep_days, state)
        except (FarmError, FarmUnreachable, OSError) as error:
            pause = TIDY_RETRY_DELAY
            log.warning("farm.not_tidied", reason=str(error), again_s=pause)


async def drop_old_files(jobs: ListThread, files: FarmFiles, keep_days: float, state: Path) -> None:
    """Drop the files that no job has needed for `keep_days`, and their pictures in the state folder.

    Raises:
        FarmError, FarmUnreachable, OSError: the list, NATS or the disk has failed.
    """
    while hashes := await jobs.call_quietly(lambda each: each.old_files(keep_days)):
        for sha256 in hashes:
            # check again: each file takes a while, and this one may have been uploaded in the meantime
            if await jobs.call_quietly(partial(_is_old, sha256, keep_days)):
                await files.forget(sha256)
                await asyncio.to_thread(picture_of(state, sha256).unlink, missing_ok=True)
                await jobs.call_quietly(partial(_forget_file, sha256))
        log.info("farm.files_dropped", files=len(hashes), days=keep_days)


def _is_old(sha256: str, days: float, jobs: JobList) -> bool:
    return jobs.is_old(sha256, days)


def _forget_file(sha256: str, jobs: JobList) -> None:
    jobs.forget_file(sha256)


def _status(dispatcher: Dispatcher) -> str:
    """Return the text that `systemctl status` shows."""
    online = [presence for name, presence in dispatcher.presences.items() if not dispatcher.is_away(name)]
    ready = sum(presence.ready for presence in online)
    trouble = f"; nothing is offered: {dispatcher.trouble}" if dispatcher.trouble else ""
    return f"{len(online)} printers, {ready} ready{trouble}"
