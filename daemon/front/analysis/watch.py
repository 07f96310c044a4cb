"""Watch: checks files before they are printed, forecasts a running print, and learns from completed ones."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

import structlog

from daemon.bridge.remote import RemoteJobs
from daemon.bridge.words import FileMark, JobState, Selection
from daemon.errors import JobConflict, UnfitFile
from daemon.front.analysis.findings import Findings
from daemon.front.analysis.forecast import Outlook, Pace, learnt_pace
from daemon.front.analysis.service import Analyses
from daemon.front.analysis.store import AnalysisStore, FileKey, LearntPace
from daemon.rest_of_print import ADVICE, DANGER, MARK, is_rest
from gcode.frozen import frozen

MEASURE_INTERVAL = 5.0  # s between two measurements of the progress, even if no client asks
STORE_TIMEOUT = 0.5  # s to wait for the database
FOLLOW_TIMEOUT = 3600.0  # s to wait for the analysis of a file that is already printing

log = structlog.get_logger()


REMEDY = "If [profile] does not describe this printer, correct it or choose a preset (nozzled config --preset list)"


@frozen
class FileRefusal:
    """A file whose print was refused, and the reasons."""

    name: str
    path: str
    reasons: list[str]


@frozen
class PrintableFile:
    """A file that may be printed.

    Attributes:
        mark: what identifies the checked file, for the core, which opens it later; None: there is no file at its path,
            and the print fails with that reason.
        has_findings: the file has been analysed.
    """

    mark: FileMark | None
    has_findings: bool


class Watch:
    """The selected file and its print, for the API."""

    def __init__(self, jobs: RemoteJobs, analyses: Analyses, store: AnalysisStore, printer: Callable[[], str]) -> None:
        """Follow the job.

        Args:
            jobs: the core's jobs.
            analyses: the findings of files.
            store: the paces of printers.
            printer: returns the address of the connected printer, or "".
        """
        self._jobs = jobs
        self._analyses = analyses
        self._store = store
        self._printer = printer
        self._pace: Pace | None = None
        self._learnt: tuple[str, LearntPace] | None = None  # printer and pace
        self._follow_task: asyncio.Task[None] | None = None
        self.refusal: FileRefusal | None = None  # of the last refused print, until the next check or print
        self._refusal_listeners: list[Callable[[FileRefusal], None]] = []
        self._lesson_tasks: set[asyncio.Task[None]] = set()
        jobs.subscribe(self._on_state)

    async def close(self) -> None:
        """Stop following."""
        for task in (self._follow_task, *self._lesson_tasks):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])

    def outlook(self) -> Outlook | None:
        """Return the forecast of the job; None: there is no job, or its file has no findings."""
        if self._pace is None or not self._jobs.active:
            return None
        progress = self._jobs.progress
        if progress.offset is None or progress.print_time is None:
            return None
        return self._pace.outlook(progress.offset, progress.print_time)

    def height(self) -> float | None:
        """Return the Z of the current layer, in mm; None before the first layer, or if the layers are unknown."""
        offset = self._jobs.progress.offset
        if self._pace is None or not self._jobs.active or offset is None:
            return None
        plan = self._pace.plan
        layer = plan.layer_at(offset)
        z = plan.layers[layer - 1]["z"] if layer else None
        return None if z is None else float(z)  # a layer without extrusions has none

    async def findings(self, selected: Selection) -> Findings | None:
        """Return the findings of the selected file, if they are available now."""
        with suppress(TimeoutError):
            async with asyncio.timeout(STORE_TIMEOUT):
                return await self._analyses.get(key_of(selected))
        return None

    async def printer_pace(self) -> LearntPace:
        """Return the pace of the connected printer in earlier prints."""
        printer = self._printer()
        if self._learnt is not None:
            learnt_on, pace = self._learnt
            if learnt_on == printer:
                return pace
        pace = await learnt_pace(self._store, printer, STORE_TIMEOUT)
        self._learnt = (printer, pace)
        return pace

    async def check(self, selected: Selection, patience: float, *, touches: bool = False) -> PrintableFile:
        """Check a file before it is printed. Findings that do not come in time cannot refuse it.

        Args:
            selected: the file.
            patience: time to wait, in s.
            touches: a user has confirmed that the nozzle touches the part, as the rest of a print assumes.

        Raises:
            UnfitFile: it should not be printed. All clients are told, since the request may come from a program.
            JobConflict: another file is at its path now: an upload ends the wait for the findings of the earlier one.
        """
        findings = await self._analyses.wait(key_of(selected), patience)
        self.refusal = None
        if not touches and is_rest(await self._analyses.first_bytes(selected.path, len(MARK))):
            self._refuse(selected, [DANGER], ADVICE)
        if findings is not None and findings.errors:
            self._refuse(selected, findings.errors, REMEDY)
        mark = await self._analyses.mark(selected.path)
        if mark is not None and not _is_selected(mark, selected):
            raise JobConflict(f"{selected.name} was replaced while it was checked: try again")
        return PrintableFile(mark, has_findings=findings is not None)

    def _refuse(self, selected: Selection, reasons: list[str], remedy: str) -> NoReturn:
        self.refusal = FileRefusal(selected.name, selected.path, reasons)
        log.warning("print.refused", file=selected.path, reasons=reasons, remedy=remedy)
        for listener in self._refusal_listeners:
            listener(self.refusal)
        text = "; ".join(reasons)
        raise UnfitFile(
            f'{selected.name} should not be printed: {text}. {remedy}. Send "force": true to print it anyway', reasons
        )

    def on_refused(self, listener: Callable[[FileRefusal], None]) -> None:
        """Call `listener` with each refusal."""
        self._refusal_listeners.append(listener)

    # -- the job -------------------------------------------------------------------------------------------

    def follow_running_job(self) -> None:
        """Follow a job that is already running, as after a restart of this process."""
        if self._follow_task is None and self._jobs.active:
            self._follow_task = asyncio.create_task(self._follow())

    def _on_state(self, state: JobState) -> None:
        if state is JobState.STARTING:
            self.refusal = None
        if state.ended:
            if state is JobState.COMPLETED:
                self._learn()
            self._stop_following()
        elif state is JobState.STARTING or self._follow_task is None:
            self._stop_following()
            self._follow_task = asyncio.create_task(self._follow())

    def _stop_following(self) -> None:
        if self._follow_task is not None:
            self._follow_task.cancel()
        self._follow_task, self._pace = None, None

    async def _follow(self) -> None:
        selected = self._jobs.selected
        if selected is None:
            return
        findings = await self._analyses.wait(key_of(selected), FOLLOW_TIMEOUT)
        if findings is None or findings.duration is None:
            return
        self._pace = Pace(findings.plan(), await self.printer_pace())
        while True:
            self.outlook()
            await asyncio.sleep(MEASURE_INTERVAL)

    def _learn(self) -> None:
        elapsed = self._jobs.progress.print_time
        lesson = self._pace.lesson(elapsed) if self._pace is not None and elapsed is not None else None
        if lesson is None:
            return
        planned, actual = lesson
        log.info("analysis.learnt", planned=round(planned), actual=round(actual))
        task = asyncio.create_task(self._store_lesson(planned, actual))
        self._lesson_tasks.add(task)
        task.add_done_callback(self._lesson_tasks.discard)

    async def _store_lesson(self, planned: float, actual: float) -> None:
        await self._store.learn(self._printer(), planned, actual)
        self._learnt = None


def _is_selected(mark: FileMark, selected: Selection) -> bool:
    """Tell whether the file is the one that was selected."""
    is_changed = selected.mtime_ns not in (0, mark.mtime_ns)  # a core of an older version does not know it: 0
    return not is_changed and mark.size == selected.size


def key_of(selected: Selection) -> FileKey:
    """Return the key of the selected file."""
    return FileKey(selected.path, selected.size, selected.date)
