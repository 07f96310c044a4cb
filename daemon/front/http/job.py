"""/api/job: start, restart, pause and cancel the print, and show its progress."""

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from daemon.bridge.words import FileMark, Selection
from daemon.errors import FileError
from daemon.front.http.base import ApiHandler, is_true
from daemon.front.http.idempotency import keyed_request
from daemon.front.views.selection import selection_of
from daemon.http.errors import Refused
from daemon.rest_of_print import DANGER, MARK, is_rest

if TYPE_CHECKING:
    from daemon.front.front import Front
    from daemon.front.views.job import JobView


_COMMANDS: dict[str, tuple[str, ...]] = {"start": (), "restart": (), "pause": (), "cancel": ()}


class JobHandler(ApiHandler):
    """/api/job, and /api/control/job, its name in the documentation of OctoPrint 1.1 and 1.2."""

    def initialize(self, service: "Front", view: "JobView") -> None:  # type: ignore[override]  # Tornado passes what the route says
        """Store the service, and the view that all requests share."""
        super().initialize(service)
        self.view = view

    async def post(self) -> None:
        """Carry out a command; 204 means accepted, not finished. A missing printer is reported before a bad request."""
        if not await self._is_repeat():
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
                checked_file = None if is_true(data.get("force", False)) else await self._check_replacement()
                await jobs.restart(checked_file)
            else:
                await jobs.cancel()
        self.no_content()

    async def _is_repeat(self) -> bool:
        """Tell whether this repeats a keyed request whose print has begun; then the printer's state does not matter."""
        try:
            command, data = self.command(_COMMANDS)
        except Refused:
            return False  # `post` raises it again, after checking the printer
        keyed = keyed_request(self, data, "start") if command == "start" else None
        return keyed is not None and await keyed.existing_print(self) is not None

    async def _start(self, data: dict[str, Any]) -> None:
        await self._renew_selection()
        checked_file = None if is_true(data.get("force", False)) else await self._check()
        if (keyed := keyed_request(self, data, "start")) is not None:
            await keyed.begin(self, checked_file=checked_file)
        else:
            await self.service.jobs.start(checked_file)

    async def _renew_selection(self) -> None:
        """Select the selected file again if it was replaced without the API: the file to check is the one to print."""
        jobs = self.service.jobs
        selected = None if jobs.active else jobs.selected
        if selected is not None and (replacement := await self._replacement(selected)) is not None:
            await jobs.select(replacement)

    async def _check_replacement(self) -> FileMark | None:
        """Check the file of the paused print if it was replaced since: a restart prints what is there now.

        Returns what identifies the file that may be printed.
        """
        if (selected := self.service.jobs.selected) is None:
            return None
        mark = await self.service.analyses.mark(selected.path)
        if (replacement := await self._replacement(selected)) is not None:
            mark = (await self.service.watch.check(replacement, self.service.config.analysis.patience_s)).mark
            self.check_time_left()
        return mark

    async def _replacement(self, selected: Selection) -> Selection | None:
        """Return the selection of the file that is there instead of the selected one; None: it is the same, or none."""
        with suppress(FileError):  # the print fails with the reason
            entry = await self.service.files.info(selected.path)
            if entry.type != "folder" and (entry.size, entry.mtime_ns) != (selected.size, selected.mtime_ns):
                return selection_of(entry, selected.user)
        return None

    def _refuse_key(self, data: dict[str, Any]) -> None:
        """Refuse an idempotency key, which a restart would ignore."""
        if keyed_request(self, data, "restart") is not None:
            raise Refused(400, "restart takes no idempotency key: cancel, then start with one")

    async def _refuse_rest(self) -> None:
        """Refuse to restart the rest of a lost print, which must not begin where a pause left the head."""
        jobs, analyses = self.service.jobs, self.service.analyses
        selected = jobs.selected if jobs.active else None
        if selected is not None and is_rest(await analyses.first_bytes(selected.path, len(MARK))):
            raise Refused(409, f"cannot restart {selected.name}: {DANGER}. Cancel it, and continue from a layer")

    async def _check(self) -> FileMark | None:
        """Check the selected file before it is printed, if a print can start at all; return what identifies it."""
        jobs = self.service.jobs
        if jobs.selected is None or jobs.active:
            return None
        check = await self.service.watch.check(jobs.selected, self.service.config.analysis.patience_s)
        self.check_time_left()
        return check.mark

    async def _pause(self, action: object) -> None:
        """Pause, resume or toggle; a missing job is reported before an unknown action."""
        jobs = self.service.jobs
        actions = {"pause": jobs.pause, "resume": jobs.resume, "toggle": jobs.toggle}
        if isinstance(action, str) and action in actions:
            await actions[action]()
        elif jobs.active:
            raise Refused(400, "Unknown action")
        else:
            await jobs.pause()

    async def get(self) -> None:
        """Show file, progress and state; 200 even without a printer, and always with every field."""
        self.write(await self.view.answer())
