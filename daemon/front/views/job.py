"""The job as clients see it: its file, how far it is, how long it takes."""

import asyncio
from typing import TYPE_CHECKING, Any

from daemon.bridge.words import FileStatistics, JobProgress, Selection
from daemon.errors import CoreAway, StoreError
from daemon.front.analysis.findings import Findings
from daemon.front.analysis.forecast import with_outlook
from daemon.front.analysis.shelf import Learnt
from daemon.front.views import analysis
from daemon.front.views.seen import seen_of
from hal.printer import PanelPrint

if TYPE_CHECKING:
    from daemon.front.front import Front

FRESH = 2.0  # s; hundreds of polls a second need not ask the database each time


PATIENCE = 0.5  # s; clients poll every second or two, and a slow SD card must not make them think we are gone


class JobView:
    """The job as clients see it, in GET /api/job and on the socket."""

    def __init__(self, service: "Front") -> None:
        self._service = service
        self._known: tuple[str, float, FileStatistics] | None = None  # path, when, how earlier prints of it went

    async def answer(self) -> dict[str, Any]:
        """Return file, progress and state; every key is always there."""
        service = self._service
        seen = seen_of(service)
        if (printed := service.connection.panel_print) is not None and not service.jobs.active:
            return {**_of_panel(printed), "state": seen.text}
        selected = service.jobs.selected
        times = await self._statistics(selected)
        known = await service.watch.findings(selected) if selected is not None else None
        learnt = await service.watch.learnt() if known is not None else Learnt()
        outlook = service.watch.outlook()
        answer: dict[str, Any] = {
            "job": _job(selected, times, known, learnt),
            "progress": _progress(with_outlook(service.jobs.progress, outlook)),
            "state": seen.text,
        }
        if outlook is not None:
            answer["progress"] |= analysis.of_outlook(outlook)
        if (job := service.jobs.summary).id is not None:
            answer["print"] = {"id": job.id, "key": job.key, "state": job.state.value if job.state else None}
        if seen.error:
            answer["error"] = seen.error
        if (refused := service.watch.refused) is not None:
            answer["refused"] = {"name": refused.name, "path": refused.path, "reasons": refused.reasons}
        if reason := service.jobs.pause_reason:
            answer["pauseReason"] = reason
        if trouble := service.core.record_trouble:
            # a key of our own: the print goes on, and no client takes it for an error of the printer
            answer["warning"] = f"the print goes on, but is not recorded: {trouble}"
        elif warning := service.jobs.warning:
            answer["warning"] = warning
        return answer

    async def _statistics(self, selected: Selection | None) -> FileStatistics:
        """Return how earlier prints of the file went; nothing when that is not known in time."""
        if selected is None:
            return FileStatistics()
        now = asyncio.get_running_loop().time()
        if self._known is not None and self._known[0] == selected.path and now - self._known[1] < FRESH:
            return self._known[2]
        try:
            async with asyncio.timeout(PATIENCE):
                found = await self._service.jobs.statistics(selected.path)
        except (CoreAway, StoreError, TimeoutError):
            return FileStatistics()
        self._known = (selected.path, now, found)
        return found


def at_once(selected: Selection | None, progress: JobProgress) -> dict[str, Any]:
    """Return job and progress as far as nobody has to be asked."""
    return {"job": _job(selected, FileStatistics()), "progress": _progress(progress)}


def _job(
    selected: Selection | None, times: FileStatistics, known: Findings | None = None, learnt: Learnt | None = None
) -> dict[str, Any]:
    last = times.last.print_time if times.last and times.last.success else None
    return {
        "file": _file(selected),
        **analysis.estimate(known, learnt or Learnt()),
        "averagePrintTime": times.average_print_time,
        "lastPrintTime": last,
        "filament": _filament(selected, known),
        "user": selected.user if selected else None,
    }


def _filament(selected: Selection | None, known: Findings | None) -> dict[str, Any] | None:
    if selected is None:
        return {"length": None, "volume": None}
    return analysis.filament(known) or None if known is not None else None


def _file(selected: Selection | None) -> dict[str, Any]:
    if selected is None:
        return dict.fromkeys(("name", "display", "path", "origin", "size", "date"))
    return {
        "name": selected.name,
        "display": selected.name,
        "path": selected.path,
        "origin": "local",
        "size": selected.size,
        "date": selected.date,
    }


def _progress(progress: JobProgress) -> dict[str, Any]:
    return {
        "completion": progress.completion,
        "filepos": progress.offset,
        "printTime": _seconds(progress.print_time),
        "printTimeLeft": _seconds(progress.print_time_left),
        "printTimeLeftOrigin": progress.left_origin,
    }


def _of_panel(printed: PanelPrint) -> dict[str, Any]:
    """Return file and progress of what the printer prints from its SD card; that is all that it tells."""
    file = {**_file(None), "name": printed.name, "display": printed.name, "path": printed.name}
    job = {**_job(None, FileStatistics()), "file": {**file, "origin": "sdcard", "size": printed.total}}
    completion = 100.0 * printed.position / printed.total if printed.total else None
    return {"job": job, "progress": _progress(JobProgress(completion, printed.position))}


def _seconds(value: float | None) -> int | None:
    return None if value is None else round(value)
