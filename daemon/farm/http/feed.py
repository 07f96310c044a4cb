"""Server-sent events: each watcher gets the changes since the last state that it got. A slow watcher skips states."""

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
from daemon.farm.list.values import COPY_STATES, FarmCopy, FarmJob
from daemon.http.errors import Refused
from gcode.errors import NozzledError

MAX_WATCHERS = 64
MAX_JOBS = 100
MIN_INTERVAL = 0.5
"""Seconds between two states, at least."""

MAX_INTERVAL = 10.0
"""Seconds after which the feed reads the state without `wake`: a printer that goes away sends nothing."""

HEARTBEAT_INTERVAL = 2.0
"""Seconds without a change after which a watcher gets a comment, which shows that the connection is alive."""

RECHECK_INTERVAL = 15.0
"""Seconds after which a watcher's key is checked again, in case it was revoked."""

SEND_TIMEOUT = 60.0
"""Seconds in which a watcher must read one state."""


class FarmStateView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The changes since an earlier state; omitted fields have not changed.

    Attributes:
        printers: the changed printers, by id; null: the printer was removed.
        jobs: the first unfinished jobs, whether they have changed or not.
        counts: number of copies by state.
        orphans: all copies that have begun at printers that are silent now.
        trouble: why nothing can be offered (NATS or the list does not answer); empty: offers can be made.
    """

    printers: dict[str, PrinterView | None] | None = None
    jobs: list[FarmJobView] | None = None
    counts: dict[str, int] | None = None
    orphans: list[CopyView] | None = None
    trouble: str | None = None


class FarmFeed:
    """Reads the farm's state while there are watchers; each part has the version in which it last changed."""

    def __init__(self, farm: FarmSeams) -> None:
        self._farm = farm
        self._wake_event = asyncio.Event()
        self._new_version = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self._printers: dict[str, tuple[int, PrinterView | None]] = {}
        self._parts: dict[str, tuple[int, Any]] = {}  # jobs, counts, orphans, trouble
        self.version = 0
        self.watchers = 0

    def wake(self) -> None:
        """Read the state soon, as something may have changed. Cheap."""
        self._wake_event.set()

    def add_watcher(self) -> None:
        """Add a watcher.

        Raises:
            Refused: there are too many.
        """
        if self.watchers >= MAX_WATCHERS:
            raise Refused(503, f"{MAX_WATCHERS} clients are watching already")
        self.watchers += 1
        if self._task is None or self._task.done():  # done: it has failed, which is logged
            if self.watchers == 1:  # others ask for the changes since their version, so the count must go on
                self._drop_state()
            self._wake_event.set()
            self._task = asyncio.create_task(self._run())

    def _drop_state(self) -> None:
        """Drop the state that earlier watchers got: it is old."""
        self.version = 0
        self._printers.clear()
        self._parts.clear()

    def remove_watcher(self) -> None:
        """Remove a watcher; without watchers, stop reading."""
        self.watchers -= 1
        if not self.watchers and self._task is not None:
            self._task.cancel()
            self._task = None

    async def close(self) -> None:
        """Stop reading."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _run(self) -> None:
        while self.watchers:
            with suppress(TimeoutError):
                async with asyncio.timeout(MAX_INTERVAL):
                    await self._wake_event.wait()
            self._wake_event.clear()
            try:
                await self._read_state()
            except NozzledError as error:  # the list is away: the last state stays
                await self._publish(trouble=str(error))
            await asyncio.sleep(MIN_INTERVAL)

    async def _read_state(self) -> None:
        def read(jobs: JobList) -> tuple[list[FarmJob], list[FarmCopy], dict[str, int], dict[str, str]]:
            held = jobs.all_held_copies()
            return jobs.open_jobs(MAX_JOBS), held, jobs.count_copies(), jobs.job_names({copy.job for copy in held})

        jobs, held, counts, names = await self._farm.jobs.call(read)
        printers = self._farm.printers
        for name, view in self._changed_printers(printer_views(printers, held, self._farm.wall())):
            self._printers[name] = (self.version + 1, view)
        orphans = [copy_view(copy, printers, names.get(copy.job, "")) for copy in held if is_orphan(copy, printers)]
        await self._publish(
            jobs=[job_view(job) for job in jobs],
            counts={state: counts.get(state, 0) for state in COPY_STATES},
            orphans=orphans,
            trouble=printers.trouble,
        )

    def _changed_printers(self, printers: dict[str, PrinterView]) -> Iterator[tuple[str, PrinterView | None]]:
        """Yield the printers that have changed since the last state; None: the printer was removed."""
        for name in {*printers, *self._printers}:
            new, stored = printers.get(name), self._printers.get(name)
            if stored is None or _without_volatile_parts(stored[1]) != _without_volatile_parts(new):
                yield name, new

    async def _publish(self, **parts: Any) -> None:
        """Store the parts that have changed under the next version, and wake the watchers."""
        self.version += 1
        for name, value in parts.items():
            if name not in self._parts or self._parts[name][1] != value:
                self._parts[name] = (self.version, value)
        async with self._new_version:
            self._new_version.notify_all()

    async def wait_for_change(self, version: int, seconds: float) -> bool:
        """Wait for a version newer than this one; False: there was none in this time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._new_version:
                await self._new_version.wait_for(lambda: self.version > version)
                return True
        return False

    def changes_since(self, version: int) -> FarmStateView | None:
        """Return the changes since a version; since 0: the whole state. None: there are none."""
        printers = {name: view for name, (when, view) in self._printers.items() if when > version}
        if version == 0:
            printers = {name: view for name, view in printers.items() if view is not None}
        parts = {name: value for name, (when, value) in self._parts.items() if when > version}
        changed = FarmStateView(printers=printers if printers or version == 0 else None, **parts)
        return None if changed == FarmStateView() else changed


def _without_volatile_parts(view: PrinterView | None) -> PrinterView | None:
    """Return a view without the parts that change all the time."""
    return view and msgspec.structs.replace(view, heard=None, reason="" if view.away else view.reason)


class EventsHandler(FarmHandler):
    """/api/farm/events: server-sent events."""

    read_scope = FarmScope.READ

    async def head(self, *_: str) -> None:
        """Answer without the events, which have no end."""
        self.set_header("Content-Type", "text/event-stream; charset=UTF-8")

    async def get(self) -> None:
        """Send the state, then each change, until the client goes."""
        feed: FarmFeed = self.settings["farm_feed"]
        feed.add_watcher()
        try:
            self.set_header("Content-Type", "text/event-stream; charset=UTF-8")
            self.set_header("X-Accel-Buffering", "no")  # nginx must not hold events back
            await self._send_events(feed)
        except (tornado.iostream.StreamClosedError, TimeoutError, NozzledError):
            self.request.connection.close()  # type: ignore[union-attr]  # Tornado's type leaves it to HTTP1Connection
        finally:
            feed.remove_watcher()

    async def _send_events(self, feed: FarmFeed) -> None:
        keys: FarmKeys = self.settings["farm_keys"]
        loop = asyncio.get_running_loop()
        version, checked, sent = 0, loop.time(), loop.time()
        while not self._is_gone():
            if loop.time() - checked > RECHECK_INTERVAL:
                await keys.identify(self.request_key(), self.request.remote_ip or "")
                checked = loop.time()
            changes = None
            if await feed.wait_for_change(version, max(0.0, sent + HEARTBEAT_INTERVAL - loop.time())):
                changes, version = feed.changes_since(version), feed.version
                if changes is None and loop.time() - sent < HEARTBEAT_INTERVAL:
                    continue  # printers often report that nothing has changed; that must not delay the heartbeat
            event = b": beat" if changes is None else b"event: farm\ndata: " + msgspec.json.encode(changes)
            self.write(event + b"\n\n")
            async with asyncio.timeout(SEND_TIMEOUT):
                await self.flush()
            sent = loop.time()

    def _is_gone(self) -> bool:
        stream = getattr(self.request.connection, "stream", None)
        return stream is not None and stream.closed()
