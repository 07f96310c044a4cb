"""/api/job: start, restart, pause and cancel the print, and how far it is."""

from typing import TYPE_CHECKING, Any

from daemon.front.http.base import ApiHandler, is_true
from daemon.front.http.idempotency import wish
from daemon.http.errors import Refused
from daemon.rest_of_print import MARK, REASON, is_rest

if TYPE_CHECKING:
    from daemon.front.front import Front
    from daemon.front.views.job import JobView


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
            elif command == "restart":
                self._refuse_key(data)
                await self._refuse_rest()
                await jobs.restart()
            else:
                await jobs.cancel()
        self.no_content()

    async def _begun_before(self) -> bool:
        """Tell whether this asks again for a print that has begun; whatever the printer does now is no matter then."""
        try:
            command, data = self.command(_COMMANDS)
        except Refused:
            return False  # said below, in its turn
        asked = wish(self, data, "start") if command == "start" else None
        return asked is not None and await asked.begun_print(self) is not None

    async def _start(self, data: dict[str, Any]) -> None:
        if not is_true(data.get("force", False)):
            await self._check()
        if (asked := wish(self, data, "start")) is not None:
            await asked.begin(self)
        else:
            await self.service.jobs.start()

    def _refuse_key(self, data: dict[str, Any]) -> None:
        """Refuse a key that would not be heeded."""
        if wish(self, data, "restart") is not None:
            raise Refused(400, "restart takes no idempotency key: cancel, then start with one")

    async def _refuse_rest(self) -> None:
        """Refuse to begin the rest of a print anew from wherever the head is in a pause."""
        jobs, analyses = self.service.jobs, self.service.analyses
        selected = jobs.selected if jobs.active else None
        if selected is not None and is_rest(await analyses.beginning(selected.path, len(MARK))):
            raise Refused(409, f"{selected.name} cannot be begun anew: {REASON}. Cancel it, and continue from a layer")

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
