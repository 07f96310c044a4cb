"""Analyses: which files are to be analysed, by a process of its own one after the other, and what was found.

A result belongs to a file of this path, size and time of change. One that is asked for and missing is made. The
process may be killed, by the system or by us, without harm: the file counts as unknown, and printing it is not held up.
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
from daemon.front.analysis.shelf import FileKey, Shelf
from daemon.front.analysis.toolpaths import FOLDER, Toolpaths, told_of
from daemon.front.one_answer import NoAnswer, answer_of
from gcode.analysis.toolpath_format import FORMAT
from gcode.frozen import frozen, mutable

MAX_QUEUE = 1000  # files that wait
KEPT = 32  # results in memory
TIMEOUT = 900.0  # s; 100 MB take less than half a minute on a small board
MAX_ANSWER = 64 * 1024 * 1024  # bytes
ATTEMPTS = 2  # a file that breaks the process twice is left alone until the next start

log = structlog.get_logger()


@frozen
class Order:
    """What the worker is to do.

    Attributes:
        path: of the file.
        toolpath: where that of the file is to be written.
        settings: the printer's own, as far as known.
        urgent: somebody waits, or the processor is never idle.
    """

    path: Path
    toolpath: Path
    settings: tuple[str, ...]
    urgent: bool
    firmware: str = ""  # as the printer calls it; empty: none has been asked


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
    """What is known of the uploads. `open` it, and `close` it in the end."""

    def __init__(
        self,
        config: Config,
        uploads: Path,
        shelf: Shelf,
        limits: Callable[[], Awaitable[Limits]],
        run: Run | None = None,
    ) -> None:
        """Prepare.

        Args:
            config: its profile, and whether anything is analysed.
            uploads: the folder that paths are relative to.
            shelf: where results are kept.
            limits: asks the printer for its own.
            run: analyses one file; None: in a process of its own.
        """
        self._enabled = config.analysis.enabled
        self._never_idle = config.analysis.priority == "low"
        self._uploads = uploads
        self._shelf = shelf
        self.toolpaths = Toolpaths(uploads.with_name(FOLDER))
        self._ask = limits
        self._limits = Limits()  # as the printer told them last
        self._used = config.profile
        self._profile = _checksum(asdict(config.profile))
        self._worker = Worker(config)
        self._run = run or self._worker.run
        self.revision = 0  # grows whenever `get` may say something else of any file
        self._known: OrderedDict[FileKey, Findings] = OrderedDict()
        self._queue: OrderedDict[FileKey, Task] = OrderedDict()
        self._wanted = asyncio.Event()
        self._working: asyncio.Task[None] | None = None
        self._listeners: list[Listener] = []

    def use(self, profile: ProfileConfig) -> None:
        """Analyse for this printer from now on; what was found for another one is found anew."""
        if profile == self._used:
            return
        self._used = profile
        self._profile = _checksum(asdict(profile))
        self.revision += 1
        self._worker.use(profile)

    async def area(self) -> dict[str, list[float]] | None:
        """Return how far the printer says that it goes; None: it does not."""
        return (await self._limits_told()).area

    async def beginning(self, path: str, size: int) -> bytes:
        """Return the first bytes of a file among the uploads; none where it cannot be read."""
        return await asyncio.to_thread(_beginning, self._uploads / path, size)

    async def printer(self) -> dict[str, Any]:
        """Return what the printer is like, as processes that read a file are told: profile, settings, firmware."""
        limits = await self._limits_told()
        return {"profile": asdict(self._used), "settings": limits.settings, "firmware": limits.firmware}

    async def _limits_told(self) -> Limits:
        """Return what the printer says of itself; what it said last where the core is away."""
        before = self._limits
        with suppress(CoreAway):
            self._limits = await self._ask()
        self.revision += self._limits != before
        return self._limits

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with each file that has been analysed, and what was found."""
        self._listeners.append(listener)

    async def open(self) -> None:
        """Begin to take files out of the queue."""
        if self._enabled:
            await self.toolpaths.open(self._uploads)
            self._working = asyncio.create_task(self._work())

    async def close(self) -> None:
        """End the process, if one is at work."""
        if self._working is not None:
            self._working.cancel()
            await asyncio.wait([self._working])
            self._working = None

    async def get(self, key: FileKey) -> Findings | None:
        """Return what is known of a file; if that is nothing, it is analysed in its turn."""
        if not self._enabled or key in self._queue:
            return self._known.get(key)
        known = await self._stored(key)
        if known is None or not self.is_current(known):
            self.want(key)
        return known

    async def stored(self, key: FileKey) -> Findings | None:
        """Return what was found in a file, and begin nothing."""
        return await self._stored(key)

    async def briefs(self, under: str, keys: Collection[FileKey]) -> dict[FileKey, Brief]:
        """Return what is known of these files, all of them `under` a folder; the others are analysed in their turn."""
        try:
            rows = await self._shelf.summaries(under)
        except StoreError:  # as in `_stored`
            rows = []
        found = await asyncio.to_thread(_briefs, rows, set(keys))
        found |= {key: Brief(known.summary, known.pictured) for key, known in self._known.items()}
        if self._enabled:
            for key in keys:
                if len(self._queue) >= MAX_QUEUE:
                    break  # who asks again when these are done finds room
                if key not in found or not self.is_current(found[key]):
                    self.want(key)
        return found

    async def wait(self, key: FileKey, seconds: float) -> Findings | None:
        """Return what is known of a file, and wait so long for it; it goes before the others."""
        known = await self._stored(key)
        if not self._enabled or (known is not None and self.is_current(known)):
            return known
        task = self.want(key)
        self._queue.move_to_end(key, last=False)
        self._hurry(task)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):  # Python 3.11's wait_for swallows a cancellation now and then
                await task.done.wait()
        return self._known.get(key)

    def is_current(self, known: Findings | Brief) -> bool:
        """Tell whether it was found for the printer as it is known now."""
        mine = known.summary.get("for_profile") == self._profile and known.summary.get("toolpath_format") == FORMAT
        told = (self._limits.settings, self._limits.firmware)
        return mine and (not any(told) or known.summary.get("for_settings") == _checksum(told))

    def _hurry(self, task: Task) -> None:
        """Somebody waits: a process that lets everybody else go first, at this file or another, makes room."""
        for each in self._queue.values():
            if each.running is not None and not each.urgent:
                each.running.cancel()
        task.urgent = True

    def want(self, key: FileKey) -> Task:
        """Put a file into the queue; when that is full the oldest goes."""
        task = self._queue.get(key) or Task(key, asyncio.Event())
        if self._enabled:
            self._queue[key] = task
            if len(self._queue) > MAX_QUEUE:
                self._queue.popitem(last=False)[1].done.set()
            self._wanted.set()
        return task

    async def forget(self, under: str) -> None:
        """Drop what is known of a file, or of all in a folder, that is no more."""
        for key in [key for key in self._known if key.is_under(under)]:
            del self._known[key]
        for key in [key for key in self._queue if key.is_under(under)]:
            self._queue.pop(key).done.set()
        await self._shelf.forget(under)
        await self.toolpaths.forget(under)
        self.revision += 1

    async def _stored(self, key: FileKey) -> Findings | None:
        if (known := self._known.get(key)) is not None:
            self._known.move_to_end(key)
            return known
        try:
            stored = await self._shelf.get(key)
        except StoreError:  # it is made again, or not known: no reason to refuse anything
            return None
        if stored is not None:
            self._keep(key, stored)
        return self._known.get(key)  # it may have been analysed meanwhile

    def _keep(self, key: FileKey, found: Findings) -> None:
        self._known[key] = found
        if len(self._known) > KEPT:
            self._known.popitem(last=False)

    async def _work(self) -> None:
        while True:
            await self._wanted.wait()
            if not self._queue:
                self._wanted.clear()
                continue
            await self._take(next(iter(self._queue.values())))

    async def _take(self, task: Task) -> None:
        """Analyse one file; it leaves the queue unless it is to be tried again."""
        task.attempts += 1
        limits = await self._limits_told()
        told = (limits.settings, limits.firmware)
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
                self._end(task, self._marked(Findings({"errors": [], "warnings": [warning]}), told))
            return
        finally:
            await self._stop(task)
        found = self._marked(_findings(answer), told)
        if told_of(found) is not None:
            await self.toolpaths.keep(task.key.path, lambda: self._queue.get(task.key) is task)
        if self._end(task, found):
            await self._shelf.put(task.key, found)
            self.revision += 1

    async def _stop(self, task: Task) -> None:
        if task.running is not None and not task.running.done():
            task.running.cancel()
            await asyncio.wait([task.running])
        task.running = None

    def _marked(self, found: Findings, told: tuple[tuple[str, ...], str]) -> Findings:
        """Return it with what it was found for."""
        found.summary.update(for_profile=self._profile, for_settings=_checksum(told), toolpath_format=FORMAT)
        return found

    def _end(self, task: Task, found: Findings) -> bool:
        """Take the file out of the queue; False: it has been changed or deleted meanwhile."""
        wanted = self._queue.get(task.key) is task
        if wanted:
            del self._queue[task.key]
            self._keep(task.key, found)
            self.revision += 1
            for listener in self._listeners:
                listener(task.key, found)
        task.done.set()
        return wanted


def _briefs(rows: Iterable[sqlite3.Row], wanted: Collection[FileKey]) -> dict[FileKey, Brief]:
    """Read the rows of files that are still as they were."""
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
        """Analyse for this printer."""
        self._profile = asdict(profile)

    async def run(self, order: Order) -> dict[str, Any]:
        """Return the process's answer.

        Raises:
            AnalysisFailed: it died, took too long, or said nothing that makes sense.
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
