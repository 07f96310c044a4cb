"""What everybody who watches is told: the latest state, and only what has changed; who is slow skips states."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
import tornado.iostream

from daemon.farm.http.base import FarmHandler
from daemon.farm.http.keys import FarmKeys, FarmScope
from daemon.farm.http.seams import FarmSeams
from daemon.farm.http.views import CopyView, FarmJobView, PrinterView, copy_view, is_orphan, job_view, printer_views
from daemon.farm.list.job_list import JobList
from daemon.farm.list.words import COPY_STATES, FarmCopy, FarmJob
from daemon.http.errors import Refused
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
        self._kept: dict[str, tuple[int, Any]] = {}  # jobs, counts, orphans, trouble
        self.version = 0
        self.watchers = 0

    def wake(self) -> None:
        """Say that something may have changed. Cheap."""
        self._woken.set()

    def enter(self) -> None:
        """Let one more watch.

        Raises:
            Refused: too many do.
        """
        if self.watchers >= MOST_WATCHERS:
            raise Refused(503, f"{MOST_WATCHERS} clients are watching already")
        self.watchers += 1
        if self._task is None or self._task.done():  # done: by a fault, which is logged
            self._forget()
            self._woken.set()
            self._task = asyncio.create_task(self._run())

    def _forget(self) -> None:
        """Begin anew: what was seen when somebody watched last is old."""
        self.version = 0
        self._printers.clear()
        self._kept.clear()

    def leave(self) -> None:
        """Let one less watch; nobody looks for nobody."""
        self.watchers -= 1
        if not self.watchers and self._task is not None:
            self._task.cancel()
            self._task = None

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _run(self) -> None:
        while self.watchers:
            with suppress(TimeoutError):
                async with asyncio.timeout(LONGEST):
                    await self._woken.wait()
            self._woken.clear()
            try:
                await self._look()
            except NozzledError as error:  # the list is away: what was seen last is what there is
                await self._tell(trouble=str(error))
            await asyncio.sleep(PACE)

    async def _look(self) -> None:
        def look(jobs: JobList) -> tuple[list[FarmJob], list[FarmCopy], dict[str, int], dict[str, str]]:
            held = jobs.outstanding()
            return jobs.jobs(JOBS_SHOWN), held, jobs.counts(), jobs.names({copy.job for copy in held})

        jobs, held, counts, names = await self._farm.jobs.call(look)
        printers = self._farm.printers
        for name, view in self._differing(printer_views(printers, held, self._farm.wall())):
            self._printers[name] = (self.version + 1, view)
        orphans = [copy_view(copy, printers, names.get(copy.job, "")) for copy in held if is_orphan(copy, printers)]
        await self._tell(
            jobs=[job_view(job) for job in jobs],
            counts={state: counts.get(state, 0) for state in COPY_STATES},
            orphans=orphans,
            trouble=printers.trouble,
        )

    def _differing(self, printers: dict[str, PrinterView]) -> Iterator[tuple[str, PrinterView | None]]:
        """Yield the printers that are not as they were seen last; None: one is gone."""
        for name in {*printers, *self._printers}:
            new, had = printers.get(name), self._printers.get(name)
            if had is None or _told(had[1]) != _told(new):
                yield name, new

    async def _tell(self, **seen: Any) -> None:
        """Keep what is different under the next version, and wake who watches."""
        self.version += 1
        for name, value in seen.items():
            if name not in self._kept or self._kept[name][1] != value:
                self._kept[name] = (self.version, value)
        async with self._changed:
            self._changed.notify_all()

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
        kept = {name: value for name, (when, value) in self._kept.items() if when > version}
        changed = FarmStateView(printers=printers if printers or version == 0 else None, **kept)
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
