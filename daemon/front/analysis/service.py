"""Analyses: has a worker process analyse files, one after the other, and provides the findings.

Findings belong to a file of a certain path, size and date. A request for missing findings starts an analysis. Nothing
breaks if the process is killed, by the system or by the service: then the file has no findings, and can be printed.
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
from daemon.bridge.words import FileMark
from daemon.config import Config, ProfileConfig
from daemon.errors import AnalysisFailed, StoreError
from daemon.front.analysis.findings import Brief, Findings, from_analysis, unreadable
from daemon.front.analysis.store import AnalysisStore, FileKey, summary_of
from daemon.front.analysis.toolpaths import FOLDER, Toolpaths, toolpath_info
from daemon.front.one_answer import NoAnswer, answer_of
from gcode.analysis.toolpath_format import FORMAT
from gcode.errors import NozzledError
from gcode.frozen import frozen, mutable

MAX_QUEUE = 1000  # waiting files
MAX_CACHED = 32  # findings in memory
TIMEOUT = 900.0  # s; 100 MB take less than half a minute on a small board
MAX_ANSWER = 64 * 1024 * 1024  # bytes
MAX_ATTEMPTS = 2  # a file that has made the process fail this often is not analysed until the next start

log = structlog.get_logger()


@frozen
class AnalysisTask:
    """A task for the worker.

    Attributes:
        path: the file.
        toolpath: where to write its toolpath.
        settings: of the printer's firmware, as far as they are known.
        urgent: a client waits, or the configuration gives analyses more than idle priority.
        firmware: its name as the printer reports it; empty: none is connected.
    """

    path: Path
    toolpath: Path
    settings: tuple[str, ...]
    urgent: bool
    firmware: str = ""


RunAnalysis = Callable[[AnalysisTask], Awaitable[dict[str, Any]]]
"""Analyses one file; returns the worker's answer, or raises AnalysisFailed."""

Listener = Callable[[FileKey, Findings], None]


@mutable
class QueuedFile:
    """A file in the queue."""

    key: FileKey
    done: asyncio.Event
    attempts: int = 0
    urgent: bool = False
    analysis: asyncio.Future[dict[str, Any]] | None = None


class Analyses:
    """The analyses of the uploads; call `open` first and `close` last."""

    def __init__(
        self,
        config: Config,
        uploads: Path,
        store: AnalysisStore,
        limits: Callable[[], Awaitable[Limits]],
        run: RunAnalysis | None = None,
    ) -> None:
        """Prepare.

        Args:
            config: the profile, and whether and how urgently files are analysed.
            uploads: the folder of uploads.
            store: the stored findings.
            limits: asks the core for the printer's own limits.
            run: analyses one file; None: in a worker process.
        """
        self._enabled = config.analysis.enabled
        self._all_urgent = config.analysis.priority == "low"  # the other priority is idle
        self._uploads = uploads
        self._store = store
        self.toolpaths = Toolpaths(uploads.with_name(FOLDER))
        self._ask_limits = limits
        self._limits = Limits()  # as last reported
        self._profile = config.profile
        self._profile_checksum = _checksum(asdict(config.profile))
        self._worker = Worker(config)
        self._run = run or self._worker.run
        self.revision = 0  # increases whenever any findings may have changed
        self._cached: OrderedDict[FileKey, Findings] = OrderedDict()
        self._queue: OrderedDict[FileKey, QueuedFile] = OrderedDict()
        self._work_added = asyncio.Event()
        self._work_task: asyncio.Task[None] | None = None
        self._listeners: list[Listener] = []

    def use(self, profile: ProfileConfig) -> None:
        """Analyse for this printer from now on; findings for another printer are outdated."""
        if profile == self._profile:
            return
        self._profile = profile
        self._profile_checksum = _checksum(asdict(profile))
        self.revision += 1
        self._worker.use(profile)

    async def area(self) -> dict[str, list[float]] | None:
        """Return the build area that the printer reports; None: it has reported none."""
        return (await self._current_limits()).area

    async def first_bytes(self, path: str, size: int) -> bytes:
        """Return the first bytes of an uploaded file; empty if it cannot be read."""
        return await asyncio.to_thread(_first_bytes, self._uploads / path, size)

    async def mark(self, path: str) -> FileMark | None:
        """Return what identifies the uploaded file that is at this path now; None: there is none."""
        return await asyncio.to_thread(_mark, self._uploads, path)

    async def printer(self) -> dict[str, Any]:
        """Return profile, settings and firmware of the printer, for worker processes."""
        limits = await self._current_limits()
        return {"profile": asdict(self._profile), "settings": limits.settings, "firmware": limits.firmware}

    async def _current_limits(self) -> Limits:
        """Return the printer's own limits; if the core does not answer, the last known ones."""
        before = self._limits
        with suppress(NozzledError):  # the core is away, or has too much to do: analyses go on without it
            self._limits = await self._ask_limits()
        self.revision += self._limits != before
        return self._limits

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with each analysed file and its findings."""
        self._listeners.append(listener)

    async def open(self) -> None:
        """Start analysing."""
        if self._enabled:
            await self.toolpaths.open(self._uploads)
            self._work_task = asyncio.create_task(self._work())

    async def close(self) -> None:
        """Stop, and kill a running worker process."""
        if self._work_task is not None:
            self._work_task.cancel()
            await asyncio.wait([self._work_task])
            self._work_task = None

    async def get(self, key: FileKey) -> Findings | None:
        """Return a file's findings; if they are missing or outdated, queue the file."""
        if not self._enabled or key in self._queue:
            return self._cached.get(key)
        findings = await self.find(key)
        if findings is None or not self.is_current(findings):
            self.enqueue(key)
        return findings

    async def briefs(self, under: str, keys: Collection[FileKey]) -> dict[FileKey, Brief]:
        """Return the briefs of these files, all in the folder `under`; queue those without a current one."""
        try:
            rows = await self._store.summaries(under)
        except StoreError:  # as in `find`
            rows = []
        briefs = await asyncio.to_thread(_briefs, rows, set(keys))
        briefs |= {key: Brief(cached.summary, cached.has_thumbnail) for key, cached in self._cached.items()}
        if self._enabled:
            for key in keys:
                if len(self._queue) >= MAX_QUEUE:
                    break  # a later request queues the rest
                if key not in briefs or not self.is_current(briefs[key]):
                    self.enqueue(key)
        return briefs

    async def wait(self, key: FileKey, seconds: float) -> Findings | None:
        """Return a file's findings; if they are missing or outdated, analyse the file next, and wait this long."""
        findings = await self.find(key)
        if not self._enabled or (findings is not None and self.is_current(findings)):
            return findings
        file = self.enqueue(key)
        self._queue.move_to_end(key, last=False)
        self._make_urgent(file)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):  # Python 3.11's wait_for may swallow a cancellation
                await file.done.wait()
        return self._cached.get(key)

    def is_current(self, findings: Findings | Brief) -> bool:
        """Tell whether findings are for the current printer, and in the current format."""
        summary = findings.summary
        if summary.get("for_profile") != self._profile_checksum or summary.get("toolpath_format") != FORMAT:
            return False
        reported = (self._limits.settings, self._limits.firmware)
        return not any(reported) or summary.get("for_settings") == _checksum(reported)

    def _make_urgent(self, file: QueuedFile) -> None:
        """Have a file analysed next; cancel a running analysis for which no client waits: it starts again later."""
        for each in self._queue.values():
            if each.analysis is not None and not each.urgent:
                each.analysis.cancel()
        file.urgent = True

    def enqueue(self, key: FileKey) -> QueuedFile:
        """Queue a file; if the queue is full, its oldest file is dropped."""
        file = self._queue.get(key) or QueuedFile(key, asyncio.Event())
        if self._enabled:
            self._queue[key] = file
            if len(self._queue) > MAX_QUEUE:
                self._queue.popitem(last=False)[1].done.set()
            self._work_added.set()
        return file

    async def forget(self, under: str) -> None:
        """Drop the findings of a deleted file, or of all files in a deleted folder."""
        for key in [key for key in self._cached if key.is_under(under)]:
            del self._cached[key]
        for key in [key for key in self._queue if key.is_under(under)]:
            self._queue.pop(key).done.set()
        await self._store.forget(under)
        await self.toolpaths.forget(under)
        self.revision += 1

    async def find(self, key: FileKey) -> Findings | None:
        """Return a file's findings if there are any; unlike `get`, do not queue the file."""
        if (cached := self._cached.get(key)) is not None:
            self._cached.move_to_end(key)
            return cached
        try:
            findings = await self._store.get(key)
        except StoreError:  # without findings, no print is refused
            return None
        if findings is not None:
            self._cache(key, findings)
        return self._cached.get(key)  # it may have been analysed in the meantime

    def _cache(self, key: FileKey, findings: Findings) -> None:
        self._cached[key] = findings
        if len(self._cached) > MAX_CACHED:
            self._cached.popitem(last=False)

    async def _work(self) -> None:
        while True:
            await self._work_added.wait()
            if not self._queue:
                self._work_added.clear()
                continue
            await self._analyse_next(next(iter(self._queue.values())))

    async def _analyse_next(self, file: QueuedFile) -> None:
        """Analyse one file; it leaves the queue unless it will be tried again."""
        file.attempts += 1
        limits = await self._current_limits()
        reported = (limits.settings, limits.firmware)
        path = self._uploads / file.key.path
        task = AnalysisTask(
            path, self.toolpaths.new_path, limits.settings, file.urgent or self._all_urgent, limits.firmware
        )
        file.analysis = asyncio.ensure_future(self._run(task))
        try:
            await asyncio.wait([file.analysis])
            if file.analysis.cancelled():
                file.attempts -= 1
                return
            answer = file.analysis.result()
        except AnalysisFailed as error:
            log.warning("analysis.failed", file=file.key.path, reason=str(error), attempt=file.attempts)
            if file.attempts >= MAX_ATTEMPTS:
                warning = f"the file could not be analysed: {error}"
                self._complete(file, self._with_origin(Findings({"errors": [], "warnings": [warning]}), reported))
            return
        finally:
            await self._stop(file)
        findings = self._with_origin(_findings(answer), reported)
        if toolpath_info(findings) is not None:
            await self.toolpaths.store(file.key.path, lambda: self._queue.get(file.key) is file)
        if self._complete(file, findings):
            await self._store.put(file.key, findings)
            self.revision += 1

    async def _stop(self, file: QueuedFile) -> None:
        if file.analysis is not None and not file.analysis.done():
            file.analysis.cancel()
            await asyncio.wait([file.analysis])
        file.analysis = None

    def _with_origin(self, findings: Findings, reported: tuple[tuple[str, ...], str]) -> Findings:
        """Add to findings the profile and settings that they were made for."""
        findings.summary.update(
            for_profile=self._profile_checksum, for_settings=_checksum(reported), toolpath_format=FORMAT
        )
        return findings

    def _complete(self, file: QueuedFile, findings: Findings) -> bool:
        """Take a file out of the queue; False: it was changed or deleted in the meantime."""
        is_queued = self._queue.get(file.key) is file
        if is_queued:
            del self._queue[file.key]
            self._cache(file.key, findings)
            self.revision += 1
            for listener in self._listeners:
                listener(file.key, findings)
        file.done.set()
        return is_queued


def _briefs(rows: Iterable[sqlite3.Row], keys: Collection[FileKey]) -> dict[FileKey, Brief]:
    """Return the briefs of files that have not changed."""
    briefs = {}
    for row in rows:
        key = FileKey(row["path"], row["size"], row["date"])
        if key in keys and (summary := summary_of(row)) is not None:
            briefs[key] = Brief(summary, bool(row["has_thumbnail"]))
    return briefs


def _first_bytes(path: Path, size: int) -> bytes:
    with suppress(OSError), path.open("rb") as file:
        return file.read(size)
    return b""


def _mark(uploads: Path, path: str) -> FileMark | None:
    with suppress(OSError):
        status = (uploads / path).stat()
        return FileMark(path, status.st_size, status.st_mtime_ns, status.st_ino)
    return None


def _checksum(value: object) -> int:
    return zlib.crc32(json.dumps(value, sort_keys=True).encode())


def _findings(answer: dict[str, Any]) -> Findings:
    if "error" in answer:
        return unreadable(str(answer["error"]))
    findings = from_analysis(answer["analysis"], answer.get("pictures", []))
    findings.summary["toolpath"] = answer.get("toolpath")
    return findings


class Worker:
    """Runs the worker process."""

    def __init__(self, config: Config) -> None:
        self._profile = asdict(config.profile)

    def use(self, profile: ProfileConfig) -> None:
        """Analyse for this printer from now on."""
        self._profile = asdict(profile)

    async def run(self, task: AnalysisTask) -> dict[str, Any]:
        """Return the process's answer to a task.

        Raises:
            AnalysisFailed: the process died, took too long, or gave no valid answer.
        """
        fields = {
            "path": os.fspath(task.path),
            "toolpath": os.fspath(task.toolpath),
            "settings": task.settings,
            "urgent": task.urgent,
            "firmware": task.firmware,
        }
        try:
            document = {**fields, "profile": self._profile}
            return await answer_of("daemon.front.analysis.worker", document, TIMEOUT, MAX_ANSWER)
        except NoAnswer as error:
            raise AnalysisFailed(str(error)) from error
