"""Front: the process that serves users and programs. It creates its parts here, and ends them in reverse order."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import structlog

from daemon.bridge.remote import Channel, RemoteConnection, RemoteCore, RemoteJobs
from daemon.config import UPLOADS, AppearanceConfig, Config, WebcamConfig, state_dir
from daemon.errors import ConfigError, FileError
from daemon.front.access import hosts
from daemon.front.access.access import Access
from daemon.front.access.keys import Keys, own_uuid
from daemon.front.analysis.service import Analyses
from daemon.front.analysis.store import AnalysisStore
from daemon.front.analysis.watch import Watch
from daemon.front.cache.cache import Cache, open_cache
from daemon.front.choices import Choices
from daemon.front.companions import Companions
from daemon.front.events import Events
from daemon.front.history.history import History
from daemon.front.last_fault import LastFault
from daemon.front.queue.queue import Queue
from daemon.front.queue.store import QueueStore
from daemon.front.uploads.files import FileStore
from daemon.in_time import close_in_time
from gcode.frozen import mutable

log = structlog.get_logger()


@mutable
class Front:
    """The parts of the front, each of which reaches the others through this object; `folder` is the state directory."""

    config: Config
    core: RemoteCore
    files: FileStore
    access: Access
    events: Events
    uuid: str
    wall: Callable[[], float]
    analyses: Analyses
    watch: Watch
    cache: Cache
    folder: Path
    queue: Queue
    history: History
    choices: Choices
    last_fault: LastFault
    companions: Companions

    @property
    def appearance(self) -> AppearanceConfig:
        """The appearance, as configured or as chosen over the API."""
        return self.choices.appearance(self.config)

    @property
    def webcam(self) -> WebcamConfig:
        """The cameras, as configured or as chosen over the API."""
        return self.choices.webcam(self.config)

    @property
    def connection(self) -> RemoteConnection:
        """The connection to the printer."""
        return self.core.connection

    @property
    def jobs(self) -> RemoteJobs:
        """The job."""
        return self.core.jobs


async def begin(
    stack: AsyncExitStack,
    config: Config,
    environ: Mapping[str, str],
    wall: Callable[[], float],
    channel: Channel,
    switched_on: Collection[str] = (),
) -> Front:
    """Create all parts but the server.

    Args:
        stack: ends the parts.
        config: the configuration.
        environ: of this process.
        wall: returns the Unix time in s.
        channel: to the core.
        switched_on: the companions that have a section in the configuration file.

    Raises:
        ServiceError: the state directory or a key cannot be used, or another front has them.
    """
    folder = state_dir(config, environ)
    cache = await open_cache(folder)
    stack.push_async_callback(close_in_time, cache.close)
    core = RemoteCore(channel)
    last_fault = LastFault(core, wall)
    uuid = await asyncio.to_thread(own_uuid, folder)
    access = await asyncio.to_thread(_access, config, folder, environ, wall)
    stack.push_async_callback(close_in_time, access.close)
    choices = Choices(folder)
    await asyncio.to_thread(choices.load)
    uploads = folder / UPLOADS
    store = AnalysisStore(cache)
    analyses = Analyses(config, uploads, store, core.connection.limits)
    extra_space = analyses.toolpaths.used_bytes
    files = FileStore(uploads, wall, cache, config.http.quota_mib, is_busy=core.jobs.uses, extra_space=extra_space)
    try:
        await files.open()
    except FileError as error:
        log.warning("uploads.unusable", reason=str(error), consequence="no file can be uploaded or printed")
    watch = Watch(core.jobs, analyses, store, lambda: core.connection.address or "")
    stack.push_async_callback(close_in_time, analyses.close)
    stack.push_async_callback(close_in_time, watch.close)
    await analyses.open()
    core.on_change(watch.follow_running_job)
    core.on_change(lambda: analyses.use(core.profile) if core.is_known else None)
    watch.follow_running_job()
    events = Events()
    queue = Queue(QueueStore(cache), core, files, watch, events, config, wall)
    await queue.open()
    stack.push_async_callback(close_in_time, queue.close)
    history = History(cache, core, analyses)
    history.open()
    stack.push_async_callback(close_in_time, history.close)
    companions = Companions(switched_on)
    stack.callback(companions.close)
    core.jobs.reason_not_to_print = companions.reason_not_to_print
    if switched_on:
        await asyncio.to_thread(_keys_of_companions, access, folder, switched_on)
    return Front(
        config,
        core,
        files,
        access,
        events,
        uuid,
        wall,
        analyses,
        watch,
        cache,
        folder,
        queue,
        history,
        choices,
        last_fault,
        companions,
    )


def _access(config: Config, folder: Path, environ: Mapping[str, str], wall: Callable[[], float]) -> Access:
    hosts.check_networks(config.http.trusted_proxies, "http.trusted_proxies")
    hosts.check_networks(config.metrics.open_to, "metrics.open_to")
    access = Access(Keys.load(config, folder, environ), folder, wall)
    access.begin()
    return access


def _keys_of_companions(access: Access, folder: Path, names: Collection[str]) -> None:
    from daemon.front.access.companion_keys import create_keys  # noqa: PLC0415 - only needed if a companion is switched on

    try:
        create_keys(access.keyring, folder, names)
    except (ConfigError, OSError) as error:
        log.warning("companions.no_key", reason=str(error), consequence="they cannot use the API")
