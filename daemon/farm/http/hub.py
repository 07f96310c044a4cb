"""What everybody who watches is told: the latest state, and only what has changed; who is slow skips states."""

import asyncio
from contextlib import suppress

import msgspec
import tornado.iostream

from daemon.farm.http.base import FarmHandler
from daemon.farm.http.errors import FarmRefusal
from daemon.farm.http.keys import FarmKeys, FarmScope
from daemon.farm.http.seams import FarmSeams
from daemon.farm.http.views import CopyView, FarmJobView, PrinterView, copy_view, is_orphan, job_view, printer_views
from daemon.farm.list.job_list import JobList
from daemon.farm.list.words import COPY_STATES, FarmCopy, FarmJob
from gcode.errors import NozzledError

MOST_WATCHERS = 64
JOBS_SHOWN = 100
PACE = 0.5
"""Seconds between two states."""

LONGEST = 10.0
"""Seconds after which it is looked again, whatever happened: printers go away in silence."""

BEAT = 2.0
"""Seconds without a change after which a watcher hears that the connection lives."""

RECHECKED = 15.0
"""Seconds after which its key is looked at again."""

SLOWEST = 60.0
"""Seconds that a watcher may take for one state."""


class FarmStateView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What has changed; what is not there has not.

    Attributes:
        printers: by id; null for one that is gone.
        jobs: the first of those that have not ended, all of them.
        counts: copies by state.
        orphans: all copies that have begun at printers that are silent.
        trouble: why no printer can be reached.
    """

    printers: dict[str, PrinterView | None] | None = None
    jobs: list[FarmJobView] | None = None
    counts: dict[str, int] | None = None
    orphans: list[CopyView] | None = None
    trouble: str | None = None


class FarmHub:
    """Looks at the farm when something has changed and somebody watches, and keeps what it saw with a version."""

    def __init__(self, farm: FarmSeams) -> None:
        self._farm = farm
        self._woken = asyncio.Event()
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self._printers: dict[str, tuple[int, PrinterView | None]] = {}
        self._jobs: tuple[int, list[FarmJobView]] = (0, [])
        self._counts: tuple[int, dict[str, int]] = (0, {})
        self._orphans: tuple[int, list[CopyView]] = (0, [])
        self._trouble: tuple[int, str] = (0, "")
        self.version = 0
        self.watchers = 0

    def wake(self) -> None:
        """Say that something may have changed. Cheap."""
        self._woken.set()

    def enter(self) -> None:
        """Let one more watch.

        Raises:
            FarmRefusal: too many do.
        """
        if self.watchers >= MOST_WATCHERS:
            raise FarmRefusal(503, f"{MOST_WATCHERS} clients are watching already")
        self.watchers += 1
        if self._task is None or self._task.done():
            self._woken.set()
            self._task = asyncio.create_task(self._run())

    def leave(self) -> None:
        """Let one less watch."""
        self.watchers -= 1

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while self.watchers:
            with suppress(TimeoutError):
                async with asyncio.timeout(LONGEST):
                    await self._woken.wait()
            self._woken.clear()
            with suppress(NozzledError):  # the list is away: what was seen last is what there is
                await self._look()
            await asyncio.sleep(PACE)

    async def _look(self) -> None:
        def look(jobs: JobList) -> tuple[list[FarmJob], list[FarmCopy], dict[str, int]]:
            return jobs.jobs(JOBS_SHOWN), jobs.outstanding(), jobs.counts()

        jobs, held, counts = await self._farm.jobs.call(look)
        self._take(jobs, held, counts)
        async with self._changed:
            self._changed.notify_all()

    def _take(self, listed: list[FarmJob], held: list[FarmCopy], found: dict[str, int]) -> None:
        """Keep what is different, under the next version."""
        version = self.version + 1
        printers = printer_views(self._farm.printers, held, self._farm.wall())
        jobs = [job_view(job) for job in listed]
        counts: dict[str, int] = {state: found.get(state, 0) for state in COPY_STATES}
        names = {job.id: job.name for job in listed}
        orphans = [
            copy_view(copy, self._farm.printers, names.get(copy.job, ""))
            for copy in held
            if is_orphan(copy, self._farm.printers)
        ]
        if self._orphans[0] == 0 or self._orphans[1] != orphans:
            self._orphans = (version, orphans)
        for name in {*printers, *self._printers}:
            had, new = self._printers.get(name, (0, None)), printers.get(name)
            if had[0] == 0 or _told(had[1]) != _told(new):
                self._printers[name] = (version, new)
        if self._jobs[0] == 0 or self._jobs[1] != jobs:
            self._jobs = (version, jobs)
        if self._counts[0] == 0 or self._counts[1] != counts:
            self._counts = (version, counts)
        if self._trouble[0] == 0 or self._trouble[1] != self._farm.printers.trouble:
            self._trouble = (version, self._farm.printers.trouble)
        self.version = version

    async def wait(self, version: int, seconds: float) -> bool:
        """Wait until there is a newer version than this; False: there is none in this time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: self.version > version)
                return True
        return False

    def since(self, version: int) -> FarmStateView | None:
        """Return what has changed since a version; None: nothing has."""
        printers = {name: view for name, (when, view) in self._printers.items() if when > version}
        if version == 0:
            printers = {name: view for name, view in printers.items() if view is not None}
        changed = FarmStateView(
            printers=printers if printers or version == 0 else None,
            jobs=self._jobs[1] if self._jobs[0] > version else None,
            counts=self._counts[1] if self._counts[0] > version else None,
            orphans=self._orphans[1] if self._orphans[0] > version else None,
            trouble=self._trouble[1] if self._trouble[0] > version else None,
        )
        return None if changed == FarmStateView() else changed


def _told(view: PrinterView | None) -> PrinterView | None:
    """Return it without what changes all the time by itself."""
    return view and msgspec.structs.replace(view, heard=None, reason="" if view.away else view.reason)


class EventsHandler(FarmHandler):
    """/api/farm/events: server-sent events."""

    reads = FarmScope.READ

    async def head(self, *_: str) -> None:
        """Say that there is such a thing; it has no end."""
        self.set_header("Content-Type", "text/event-stream; charset=UTF-8")

    async def get(self) -> None:
        """Tell the state, then each change, until the client goes."""
        hub: FarmHub = self.settings["farm_hub"]
        hub.enter()
        try:
            self.set_header("Content-Type", "text/event-stream; charset=UTF-8")
            self.set_header("X-Accel-Buffering", "no")  # a proxy is to pass it on at once
            await self._tell(hub)
        except (tornado.iostream.StreamClosedError, TimeoutError, NozzledError):
            self.request.connection.close()  # type: ignore[union-attr]  # Tornado's type leaves it to HTTP1Connection
        finally:
            hub.leave()

    async def _tell(self, hub: FarmHub) -> None:
        keys: FarmKeys = self.settings["farm_keys"]
        loop = asyncio.get_running_loop()
        version, checked = 0, loop.time()
        while not self._is_gone():
            if loop.time() - checked > RECHECKED:
                await keys.identify(self._given_key(), self.request.remote_ip or "")  # it may have been dropped
                checked = loop.time()
            if await hub.wait(version, BEAT):
                changes, version = hub.since(version), hub.version
                if changes is None:
                    continue
                self.write(b"event: farm\ndata: " + msgspec.json.encode(changes) + b"\n\n")
            else:
                self.write(b": beat\n\n")
            async with asyncio.timeout(SLOWEST):
                await self.flush()

    def _is_gone(self) -> bool:
        stream = getattr(self.request.connection, "stream", None)
        return stream is not None and stream.closed()
