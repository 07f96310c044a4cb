"""JobView: the job as clients see it: its file, progress and duration."""

import asyncio
from typing import TYPE_CHECKING, Any

from daemon.bridge.words import FileStatistics, JobProgress, Selection
from daemon.errors import CoreAway, StoreError
from daemon.front.analysis.findings import Findings
from daemon.front.analysis.forecast import with_outlook
from daemon.front.analysis.store import LearntPace
from daemon.front.views import analysis
from daemon.front.views.status import status_of
from hal.printer import PanelPrint

if TYPE_CHECKING:
    from daemon.front.front import Front

MAX_AGE_S = 2.0  # s for which the statistics are reused: clients may poll hundreds of times a second
DATABASE_TIMEOUT = 0.5  # s; short: if an SD card is slow, clients must not think that the server is gone


class JobView:
    """The job as clients see it, in GET /api/job and in push messages."""

    def __init__(self, service: "Front") -> None:
        self._service = service
        self._statistics_cache: tuple[str, float, FileStatistics] | None = None  # path, loop's time, statistics

    async def answer(self) -> dict[str, Any]:
        """Return file, progress and state, always with all of OctoPrint's fields."""
        service = self._service
        status = status_of(service)
        if (panel_print := service.connection.panel_print) is not None and not service.jobs.active:
            return {**_of_panel(panel_print), "state": status.text}
        selected = service.jobs.selected
        times = await self._statistics(selected)
        findings = await service.watch.findings(selected) if selected is not None else None
        learnt = await service.watch.printer_pace() if findings is not None else LearntPace()
        outlook = service.watch.outlook()
        answer: dict[str, Any] = {
            "job": _job(selected, times, findings, learnt),
            "progress": _progress(with_outlook(service.jobs.progress, outlook)),
            "state": status.text,
        }
        if outlook is not None:
            answer["progress"] |= analysis.of_outlook(outlook)
        if (job := service.jobs.summary).id is not None:
            answer["print"] = {"id": job.id, "key": job.key, "state": job.state.value if job.state else None}
        if status.error:
            answer["error"] = status.error
        if (refusal := service.watch.refusal) is not None:
            answer["refused"] = {"name": refusal.name, "path": refusal.path, "reasons": refusal.reasons}
        if reason := service.jobs.pause_reason:
            answer["pauseReason"] = reason
        if warning := service.jobs.warning:
            # not `error`: the print continues, and clients must not take this for an error of the printer
            answer["warning"] = warning
        return answer

    async def _statistics(self, selected: Selection | None) -> FileStatistics:
        """Return statistics about earlier prints of the file; empty if they are not available in time."""
        if selected is None:
            return FileStatistics()
        now = asyncio.get_running_loop().time()
        if self._statistics_cache is not None:
            path, read_at, statistics = self._statistics_cache
            if path == selected.path and now - read_at < MAX_AGE_S:
                return statistics
        try:
            async with asyncio.timeout(DATABASE_TIMEOUT):
                statistics = await self._service.jobs.statistics(selected.path)
        except (CoreAway, StoreError, TimeoutError):
            return FileStatistics()
        self._statistics_cache = (selected.path, now, statistics)
        return statistics


def brief(selected: Selection | None, progress: JobProgress) -> dict[str, Any]:
    """Return job and progress, but without findings and statistics, which would have to be awaited."""
    return {"job": _job(selected, FileStatistics()), "progress": _progress(progress)}


def _job(
    selected: Selection | None,
    times: FileStatistics,
    findings: Findings | None = None,
    learnt: LearntPace | None = None,
) -> dict[str, Any]:
    last = times.last.print_time if times.last and times.last.success else None
    return {
        "file": _file(selected),
        **analysis.estimate(findings, learnt or LearntPace()),
        "averagePrintTime": times.average_print_time,
        "lastPrintTime": last,
        "filament": _filament(selected, findings),
        "user": selected.user if selected else None,
    }


def _filament(selected: Selection | None, findings: Findings | None) -> dict[str, Any] | None:
    if selected is None:
        return {"length": None, "volume": None}
    return analysis.filament(findings) or None if findings is not None else None


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


def _of_panel(panel_print: PanelPrint) -> dict[str, Any]:
    """Return file and progress of a print from the printer's SD card; the printer reports no more."""
    file = {**_file(None), "name": panel_print.name, "display": panel_print.name, "path": panel_print.name}
    job = {**_job(None, FileStatistics()), "file": {**file, "origin": "sdcard", "size": panel_print.total}}
    completion = 100.0 * panel_print.position / panel_print.total if panel_print.total else None
    return {"job": job, "progress": _progress(JobProgress(completion, panel_print.position))}


def _seconds(value: float | None) -> int | None:
    return None if value is None else round(value)
