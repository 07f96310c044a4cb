"""Analyses: has files analysed by a worker process, one after the other, and provides the findings.

Findings belong to a file with this path, size and date. A request for missing ones starts an analysis. The process may
be killed, by the system or by us, without harm: the file stays unknown, and can be printed all the same.
"""

import asyncio
import json
import os
import sqlite3
import zlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from daemon.bridge.questions import Limits
from daemon.config import Config, ProfileConfig
from daemon.errors import AnalysisFailed, CoreAway, StoreError
from daemon.front.analysis.findings import Brief, Findings, from_analysis, unreadable
from daemon.front.analysis.store import AnalysisStore, FileKey
from daemon.front.analysis.toolpaths import FOLDER, Toolpaths, toolpath_info
from daemon.front.one_answer import NoAnswer, answer_of
from gcode.analysis.toolpath_format import FORMAT
from gcode.frozen import frozen, mutable

MAX_QUEUE = 1000  # waiting files
MAX_CACHED = 32  # findings in memory
TIMEOUT = 900.0  # s; 100 MB take less than half a minute on a small board
MAX_ANSWER = 64 * 1024 * 1024  # bytes
ATTEMPTS = 2  # then a file that makes the process fail is given up until the next start

log = structlog.get_logger()


@frozen
class Order:
    """A task for the worker.

    Attributes:
        path: the file.
        toolpath: where to write its toolpath.
        settings: the printer's own, as far as they are known.
        urgent: a client waits, or the configuration says that the processor is never idle.
        firmware: its name as the printer reports it; empty: none is connected.
    """

    path: Path
    toolpath: Path
    settings: tuple[str, ...]
    urgent: bool
    firmware: str = ""


Run = Callable[[Order], Awaitable[dict[str, Any]]]
"""Analyses one file; returns the worker's answer, or raises AnalysisFailed."""

Listener = Callable[[FileKey, Findings], None]


@mutable
class Task:
    """A file in the queue."""

    key: FileKey
    done: asyncio.Event
    attempts: int = 0
    urgent: bool = False
    running: asyncio.Future[dict[str, Any]] | None = None


class Analyses:
    """The analyses of the uploads; `open` them, and finally `close` them."""

    def __init__(
        self,
        config: Config,
        uploads: Path,
        store: AnalysisStore,
        limits: Callable[[], Awaitable[Limits]],
        run: Run | None = None,
    ) -> None:
        """Prepare.

        Args:
            config: has the profile, and whether files are analysed.
            uploads: the folder of uploads.
            store: the stored findings.
            limits: asks the core for the printer's own limits.
            run: analyses one file; None: in a worker process.
        """
        self._enabled = config.analysis.enabled
        self._never_idle = config.analysis.priority == "low"
        self._uploads = uploads
        self._store = store
        self.toolpaths = Toolpaths(uploads.with_name(FOLDER))
        self._ask = limits
        self._limits = Limits()  # the latest known
        self._printer_profile = config.profile
        self._profile = _checksum(asdict(config.profile))
        self._worker = Worker(config)
        self._run = run or self._worker.run
        self.revision = 0  # increases whenever any findings may have changed
        self._cached: OrderedDict[FileKey, Findings] = OrderedDict()
        self._queue: OrderedDict[FileKey, Task] = OrderedDict()
        self._work_added = asyncio.Event()
        self._working: asyncio.Task[None] | None = None
        self._listeners: list[Listener] = []

    def use(self, profile: ProfileConfig) -> None:
        """Analyse for this printer from now on; findings for another are outdated."""
        if profile == self._printer_profile:
            return
        self._printer_profile = profile
        self._profile = _checksum(asdict(profile))
        self.revision += 1
        self._worker.use(profile)

    async def area(self) -> dict[str, list[float]] | None:
        """Return the build area that the printer reports; None: it reports none."""
        return (await self._current_limits()).area

    async def beginning(self, path: str, size: int) -> bytes:
        """Return the first bytes of an uploaded file; none if it cannot be read."""
        return await asyncio.to_thread(_beginning, self._uploads / path, size)

    async def printer(self) -> dict[str, Any]:
        """Return profile, settings and firmware of the printer, for worker processes."""
        limits = await self._current_limits()
        return {"profile": asdict(self._printer_profile), "settings": limits.settings, "firmware": limits.firmware}

    async def _current_limits(self) -> Limits:
        """Return the printer's own limits; if the core is away, the last known ones."""
        before = self._limits
        with suppress(CoreAway):
            self._limits = await self._ask()
        self.revision += self._limits != before
        return self._limits

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with each analysed file and its findings."""
        self._listeners.append(listener)

    async def open(self) -> None:
        """Begin to analyse."""
        if self._enabled:
            await self.toolpaths.open(self._uploads)
            self._working = asyncio.create_task(self._work())

    async def close(self) -> None:
        """End, and kill the worker process if one is running."""
        if self._working is not None:
            self._working.cancel()
            await asyncio.wait([self._working])
            self._working = None

    async def get(self, key: FileKey) -> Findings | None:
        """Return a file's findings; if they are missing or outdated, queue the file."""
        if not self._enabled or key in self._queue:
            return self._cached.get(key)
        known = await self._stored(key)
        if known is None or not self.is_current(known):
            self.want(key)
        return known

    async def stored(self, key: FileKey) -> Findings | None:
        """Return a file's findings without queueing it."""
        return await self._stored(key)

    async def briefs(self, under: str, keys: Collection[FileKey]) -> dict[FileKey, Brief]:
        """Return the briefs of these files, which are all `under` a folder; queue those without."""
        try:
            rows = await self._store.summaries(under)
        except StoreError:  # as in `_stored`
            rows = []
        found = await asyncio.to_thread(_briefs, rows, set(keys))
        found |= {key: Brief(known.summary, known.pictured) for key, known in self._cached.items()}
        if self._enabled:
            for key in keys:
                if len(self._queue) >= MAX_QUEUE:
                    break  # a later request queues the rest
                if key not in found or not self.is_current(found[key]):
                    self.want(key)
        return found

    async def wait(self, key: FileKey, seconds: float) -> Findings | None:
        """Return a file's findings; wait for them this long, and analyse it before all others."""
        known = await self._stored(key)
        if not self._enabled or (known is not None and self.is_current(known)):
            return known
        task = self.want(key)
        self._queue.move_to_end(key, last=False)
        self._hurry(task)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):  # Python 3.11's wait_for may swallow a cancellation
                await task.done.wait()
        return self._cached.get(key)

    def is_current(self, known: Findings | Brief) -> bool:
        """Tell whether findings are for the current printer, and in the current format."""
        is_for_profile = (
            known.summary.get("for_profile") == self._profile and known.summary.get("toolpath_format") == FORMAT
        )
        reported = (self._limits.settings, self._limits.firmware)
        return is_for_profile and (not any(reported) or known.summary.get("for_settings") == _checksum(reported))

    def _hurry(self, task: Task) -> None:
        """Make a task urgent: cancel a running one of low priority, which is started again later."""
        for each in self._queue.values():
            if each.running is not None and not each.urgent:
                each.running.cancel()
        task.urgent = True

    def want(self, key: FileKey) -> Task:
        """Queue a file; if the queue is full, its oldest file is dropped."""
        task = self._queue.get(key) or Task(key, asyncio.Event())
        if self._enabled:
            self._queue[key] = task
            if len(self._queue) > MAX_QUEUE:
                self._queue.popitem(last=False)[1].done.set()
            self._work_added.set()
        return task

    async def forget(self, under: str) -> None:
        """Drop the findings of a deleted file, or of all files in a deleted folder."""
        for key in [key for key in self._cached if key.is_under(under)]:
            del self._cached[key]
        for key in [key for key in self._queue if key.is_under(under)]:
            self._queue.pop(key).done.set()
        await self._store.forget(under)
        await self.toolpaths.forget(under)
        self.revision += 1

    async def _stored(self, key: FileKey) -> Findings | None:
        if (known := self._cached.get(key)) is not None:
            self._cached.move_to_end(key)
            return known
        try:
            stored = await self._store.get(key)
        except StoreError:  # then the file counts as unknown, which refuses nothing
            return None
        if stored is not None:
            self._cache(key, stored)
        return self._cached.get(key)  # perhaps it was analysed meanwhile

    def _cache(self, key: FileKey, found: Findings) -> None:
        self._cached[key] = found
        if len(self._cached) > MAX_CACHED:
            self._cached.popitem(last=False)

    async def _work(self) -> None:
        while True:
            await self._work_added.wait()
            if not self._queue:
                self._work_added.clear()
                continue
            await self._take(next(iter(self._queue.values())))

    async def _take(self, task: Task) -> None:
        """Analyse one file; it leaves the queue unless it is tried again."""
        task.attempts += 1
        limits = await self._current_limits()
        reported = (limits.settings, limits.firmware)
        path = self._uploads / task.key.path
        order = Order(path, self.toolpaths.new, limits.settings, task.urgent or self._never_idle, limits.firmware)
        task.running = asyncio.ensure_future(self._run(order))
        try:
            await asyncio.wait([task.running])
            if task.running.cancelled():
                task.attempts -= 1
                return
            answer = task.running.result()
        except AnalysisFailed as error:
            log.warning("analysis.failed", file=task.key.path, reason=str(error), attempt=task.attempts)
            if task.attempts >= ATTEMPTS:
                warning = f"the file could not be analysed: {error}"
                self._complete(task, self._with_origin(Findings({"errors": [], "warnings": [warning]}), reported))
            return
        finally:
            await self._stop(task)
        found = self._with_origin(_findings(answer), reported)
        if toolpath_info(found) is not None:
            await self.toolpaths.keep(task.key.path, lambda: self._queue.get(task.key) is task)
        if self._complete(task, found):
            await self._store.put(task.key, found)
            self.revision += 1

    async def _stop(self, task: Task) -> None:
        if task.running is not None and not task.running.done():
            task.running.cancel()
            await asyncio.wait([task.running])
        task.running = None

    def _with_origin(self, found: Findings, reported: tuple[tuple[str, ...], str]) -> Findings:
        """Add to findings what they were made for."""
        found.summary.update(for_profile=self._profile, for_settings=_checksum(reported), toolpath_format=FORMAT)
        return found

    def _complete(self, task: Task, found: Findings) -> bool:
        """Take the file out of the queue; False: it was changed or deleted meanwhile."""
        wanted = self._queue.get(task.key) is task
        if wanted:
            del self._queue[task.key]
            self._cache(task.key, found)
            self.revision += 1
            for listener in self._listeners:
                listener(task.key, found)
        task.done.set()
        return wanted


def _briefs(rows: Iterable[sqlite3.Row], wanted: Collection[FileKey]) -> dict[FileKey, Brief]:
    """Return the briefs of files that have not changed."""
    found = {}
    for row in rows:
        key = FileKey(row["path"], row["size"], row["date"])
        if key in wanted:
            found[key] = Brief(json.loads(row["summary"]), bool(row["pictured"]))
    return found


def _beginning(path: Path, size: int) -> bytes:
    with suppress(OSError), path.open("rb") as file:
        return file.read(size)
    return b""


def _checksum(value: object) -> int:
    return zlib.crc32(json.dumps(value, sort_keys=True).encode())


def _findings(answer: dict[str, Any]) -> Findings:
    if "error" in answer:
        return unreadable(str(answer["error"]))
    found = from_analysis(answer["analysis"], answer.get("pictures", []))
    found.summary["toolpath"] = answer.get("toolpath")
    return found


class Worker:
    """Runs the worker process."""

    def __init__(self, config: Config) -> None:
        self._profile = asdict(config.profile)

    def use(self, profile: ProfileConfig) -> None:
        """Analyse for this printer from now on."""
        self._profile = asdict(profile)

    async def run(self, order: Order) -> dict[str, Any]:
        """Return the process's answer.

        Raises:
            AnalysisFailed: it died, took too long, or gave no valid answer.
        """
        about = {
            "path": os.fspath(order.path),
            "toolpath": os.fspath(order.toolpath),
            "settings": order.settings,
            "urgent": order.urgent,
            "firmware": order.firmware,
        }
        try:
            task = {**about, "profile": self._profile}
            return await answer_of("daemon.front.analysis.worker", task, TIMEOUT, MAX_ANSWER)
        except NoAnswer as error:
            raise AnalysisFailed(str(error)) from error
