"""Follows the job with what is known of its file, and learns from prints that complete."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

import structlog

from daemon.bridge.remote import RemoteJobs
from daemon.bridge.words import JobState, Selection
from daemon.errors import UnfitFile
from daemon.front.analysis.findings import Findings
from daemon.front.analysis.forecast import Outlook, Pace, learnt
from daemon.front.analysis.service import Analyses
from daemon.front.analysis.shelf import FileKey, Learnt, Shelf
from daemon.rest_of_print import MARK, REASON, TOUCHES, is_rest
from gcode.frozen import frozen

TICK = 5.0  # s between two looks at how far the job is, whether a client asks or not
PATIENCE = 0.5  # s that an answer waits for the database
FOLLOW_PATIENCE = 3600.0  # s; a print goes on meanwhile with a plainer estimate

log = structlog.get_logger()


REMEDY = "If the printer is another one than [profile] says, set it there, or a preset (nozzled config --preset list)"


@frozen
class FileRefusal:
    """A file that somebody wanted to be printed, and is not: what speaks against it."""

    name: str
    path: str
    reasons: list[str]


class Watch:
    """What the API asks about the selected file, and the job that prints it."""

    def __init__(self, jobs: RemoteJobs, analyses: Analyses, shelf: Shelf, printer: Callable[[], str]) -> None:
        """Follow the job.

        Args:
            jobs: whose job.
            analyses: what is known of files.
            shelf: what is learnt of printers.
            printer: the address of the one that is connected, "" if none is.
        """
        self._jobs = jobs
        self._analyses = analyses
        self._shelf = shelf
        self._printer = printer
        self._pace: Pace | None = None
        self._learnt: tuple[str, Learnt] | None = None  # printer, and what is known of it
        self._following: asyncio.Task[None] | None = None
        self.refused: FileRefusal | None = None  # the last print that was asked for; None once one is begun
        self._on_refused: list[Callable[[FileRefusal], None]] = []
        self._lessons: set[asyncio.Task[None]] = set()
        jobs.subscribe(self._on_state)

    async def close(self) -> None:
        """Stop following."""
        for task in (self._following, *self._lessons):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])

    def outlook(self) -> Outlook | None:
        """Return how the job goes on; None where there is none, or nothing is known of its file."""
        if self._pace is None or not self._jobs.active:
            return None
        progress = self._jobs.progress
        if progress.offset is None or progress.print_time is None:
            return None
        return self._pace.outlook(progress.offset, progress.print_time)

    def height(self) -> float | None:
        """Return the Z of the layer that the job is in, in mm; None before the first, or where none are known."""
        offset = self._jobs.progress.offset
        if self._pace is None or not self._jobs.active or offset is None:
            return None
        plan = self._pace.plan
        layer = plan.layer_at(offset)
        z = plan.layers[layer - 1]["z"] if layer else None
        return None if z is None else float(z)  # a layer that is marked and lays nothing has none

    async def findings(self, selected: Selection) -> Findings | None:
        """Return what is known of the selected file now."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                return await self._analyses.get(key_of(selected))
        return None

    async def learnt(self) -> Learnt:
        """Return what earlier prints have shown of the printer that is connected."""
        printer = self._printer()
        if self._learnt is None or self._learnt[0] != printer:
            self._learnt = (printer, await learnt(self._shelf, printer, PATIENCE))
        return self._learnt[1]

    async def check(self, selected: Selection, patience: float, *, touches: bool = False) -> bool:
        """Wait for what is known of a file, and let it pass; one of which nothing is known in time passes too.

        Tell whether something is known of it.

        Args:
            selected: the file.
            patience: seconds.
            touches: somebody says that the nozzle touches the part, of which this file is the rest.

        Raises:
            UnfitFile: it should not be printed; that is told to everybody, as whoever asked may be a program.
        """
        found = await self._analyses.wait(key_of(selected), patience)
        self.refused = None
        if not touches and is_rest(await self._analyses.beginning(selected.path, len(MARK))):
            self._refuse(selected, [REASON], TOUCHES)
        if found is not None and found.errors:
            self._refuse(selected, found.errors, REMEDY)
        return found is not None

    def _refuse(self, selected: Selection, reasons: list[str], remedy: str) -> NoReturn:
        self.refused = FileRefusal(selected.name, selected.path, reasons)
        log.warning("print.refused", file=selected.path, reasons=reasons, remedy=remedy)
        for listener in self._on_refused:
            listener(self.refused)
        text = "; ".join(reasons)
        raise UnfitFile(
            f'{selected.name} should not be printed: {text}. {remedy}. Send "force": true to print it anyway', reasons
        )

    def on_refused(self, listener: Callable[[FileRefusal], None]) -> None:
        """Call `listener` with each file that is not printed, and why."""
        self._on_refused.append(listener)

    # -- the job -------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Follow a job that is under way already, as after a restart of this process."""
        if self._following is None and self._jobs.active:
            self._following = asyncio.create_task(self._follow())

    def _on_state(self, state: JobState) -> None:
        if state is JobState.STARTING:
            self.refused = None
        if state.ended:
            if state is JobState.COMPLETED:
                self._learn()
            self._leave()
        elif state is JobState.STARTING or self._following is None:
            self._leave()
            self._following = asyncio.create_task(self._follow())

    def _leave(self) -> None:
        if self._following is not None:
            self._following.cancel()
        self._following, self._pace = None, None

    async def _follow(self) -> None:
        selected = self._jobs.selected
        if selected is None:
            return
        found = await self._analyses.wait(key_of(selected), FOLLOW_PATIENCE)
        if found is None or found.duration is None:
            return
        self._pace = Pace(found.plan(), await self.learnt())
        while True:
            self.outlook()
            await asyncio.sleep(TICK)

    def _learn(self) -> None:
        elapsed = self._jobs.progress.print_time
        lesson = self._pace.lesson(elapsed) if self._pace is not None and elapsed is not None else None
        if lesson is None:
            return
        planned, actual = lesson
        log.info("analysis.learnt", planned=round(planned), actual=round(actual))
        task = asyncio.create_task(self._keep_lesson(planned, actual))
        self._lessons.add(task)
        task.add_done_callback(self._lessons.discard)

    async def _keep_lesson(self, planned: float, actual: float) -> None:
        await self._shelf.learn(self._printer(), planned, actual)
        self._learnt = None


def key_of(selected: Selection) -> FileKey:
    """Return the key of the file that was selected."""
    return FileKey(selected.path, selected.size, selected.date)
