"""/api/job: start, restart, pause and cancel the print, and how far it is."""

import asyncio
from typing import Any

from daemon.errors import StoreError
from daemon.http.base import ApiHandler
from daemon.http.errors import Refused
from daemon.job.job import Progress, Selection
from daemon.store import FileStatistics
from hal.printer import PanelPrint

PATIENCE = 0.5  # s; clients poll every second or two, and a slow SD card must not make them think we are gone

_COMMANDS: dict[str, tuple[str, ...]] = {"start": (), "restart": (), "pause": (), "cancel": ()}


class JobHandler(ApiHandler):
    """/api/job, and /api/control/job, as it was called in the docs of old."""

    def post(self) -> None:
        """Take a command; 204 means taken, not done. An absent printer comes before any fault of the request."""
        self.require_operational()
        command, data = self.command(_COMMANDS)
        jobs = self.service.jobs
        if command == "pause":
            self._pause(data.get("action", "toggle"))
        else:
            {"start": jobs.start, "restart": jobs.restart, "cancel": jobs.cancel}[command]()
        self.no_content()

    def _pause(self, action: object) -> None:
        """Pause, resume or toggle; that there is no job comes before an unknown action."""
        jobs = self.service.jobs
        known = {"pause": jobs.pause, "resume": jobs.resume, "toggle": jobs.toggle}
        if isinstance(action, str) and action in known:
            known[action]()
        elif jobs.active:
            raise Refused(400, "Unknown action")
        else:
            jobs.pause()

    async def get(self) -> None:
        """Tell file, progress and state; 200 also without a printer, and every key is always there."""
        if (printed := self.service.connection.panel_print) is not None and not self.service.jobs.active:
            self.write({**_of_panel(printed), "state": self.status().text})
            return
        selected, progress = self.service.jobs.selected, self.service.jobs.progress
        seen = self.status()
        times = await self._statistics(selected)
        answer: dict[str, Any] = {
            "job": _job(selected, times),
            "progress": _progress(progress),
            "state": seen.text,
        }
        if seen.error:
            answer["error"] = seen.error
        if trouble := self.service.store.trouble:
            # a key of our own: the print goes on, and no client takes it for an error of the printer
            answer["warning"] = f"the print goes on, but is not recorded: {trouble}"
        self.write(answer)

    async def _statistics(self, selected: Selection | None) -> FileStatistics:
        """Return how earlier prints of the file went; nothing when that is not known in time."""
        if selected is None:
            return FileStatistics()
        try:
            return await asyncio.wait_for(self.service.store.statistics(selected.path), PATIENCE)
        except (StoreError, TimeoutError):
            return FileStatistics()


def _job(selected: Selection | None, times: FileStatistics) -> dict[str, Any]:
    last = times.last.print_time if times.last and times.last.success else None
    return {
        "file": _file(selected),
        "estimatedPrintTime": None,  # needs the analysis of the file
        "averagePrintTime": times.average_print_time,
        "lastPrintTime": last,
        "filament": None if selected else {"length": None, "volume": None},
        "user": selected.user if selected else None,
    }


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


def _progress(progress: Progress) -> dict[str, Any]:
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
    return {"job": job, "progress": _progress(Progress(completion, printed.position))}


def _seconds(value: float | None) -> int | None:
    return None if value is None else round(value)
