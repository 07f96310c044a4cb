"""/api/job: start, restart, pause and cancel the print, and how far it is."""

import asyncio
from typing import TYPE_CHECKING, Any

from daemon.bridge.words import FileStatistics, Progress, Selection
from daemon.errors import CoreAway, StoreError
from daemon.front.analysis.findings import Findings
from daemon.front.analysis.forecast import with_outlook
from daemon.front.analysis.shelf import Learnt
from daemon.front.http import analysis
from daemon.front.http.base import ApiHandler, is_true, seen_of
from daemon.front.http.errors import Refused
from daemon.front.http.idempotency import wish
from hal.printer import PanelPrint

if TYPE_CHECKING:
    from daemon.front.front import Front

FRESH = 2.0  # s; hundreds of polls a second need not ask the database each time
PATIENCE = 0.5  # s; clients poll every second or two, and a slow SD card must not make them think we are gone

_COMMANDS: dict[str, tuple[str, ...]] = {"start": (), "restart": (), "pause": (), "cancel": ()}


class JobHandler(ApiHandler):
    """/api/job, and /api/control/job, as it was called in the docs of old."""

    def initialize(self, service: "Front", view: "JobView") -> None:  # type: ignore[override]  # Tornado passes what the route says
        """Take the view that all requests share besides."""
        super().initialize(service)
        self.view = view

    async def post(self) -> None:
        """Take a command; 204 means taken, not done. An absent printer comes before any fault of the request."""
        if not await self._begun_before():
            self.require_operational()
            command, data = self.command(_COMMANDS)
            jobs = self.service.jobs
            if command == "pause":
                await self._pause(data.get("action", "toggle"))
            elif command == "start":
                await self._start(data)
            else:
                await {"restart": jobs.restart, "cancel": jobs.cancel}[command]()
        self.no_content()

    async def _begun_before(self) -> bool:
        """Tell whether this asks again for a print that has begun; whatever the printer does now is no matter then."""
        try:
            command, data = self.command(_COMMANDS)
        except Refused:
            return False  # said below, in its turn
        asked = wish(self, data, "start") if command == "start" else None
        return asked is not None and await asked.known(self) is not None

    async def _start(self, data: dict[str, Any]) -> None:
        if not is_true(data.get("force", False)):
            await self._check()
        if (asked := wish(self, data, "start")) is not None:
            await asked.begin(self)
        else:
            await self.service.jobs.start()

    async def _check(self) -> None:
        """Let what is known of the selected file speak against printing it, unless there is nothing to start."""
        jobs = self.service.jobs
        if jobs.selected is not None and not jobs.active:
            await self.service.watch.check(jobs.selected, self.service.config.analysis.patience_s)

    async def _pause(self, action: object) -> None:
        """Pause, resume or toggle; that there is no job comes before an unknown action."""
        jobs = self.service.jobs
        known = {"pause": jobs.pause, "resume": jobs.resume, "toggle": jobs.toggle}
        if isinstance(action, str) and action in known:
            await known[action]()
        elif jobs.active:
            raise Refused(400, "Unknown action")
        else:
            await jobs.pause()

    async def get(self) -> None:
        """Tell file, progress and state; 200 also without a printer, and every key is always there."""
        self.write(await self.view.answer())


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
        known = await service.watch.known(selected) if selected is not None else None
        learnt = await service.watch.learnt() if known is not None else Learnt()
        outlook = service.watch.outlook()
        answer: dict[str, Any] = {
            "job": _job(selected, times, known, learnt),
            "progress": _progress(with_outlook(service.jobs.progress, outlook)),
            "state": seen.text,
        }
        if outlook is not None:
            answer["progress"] |= analysis.of_outlook(outlook)
        if (job := service.jobs.seen).id is not None:
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


def at_once(selected: Selection | None, progress: Progress) -> dict[str, Any]:
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
