"""/api/resume-at: print the rest of a lost print, from a place in its file, after the user has confirmed a proposal."""

from typing import Any

from daemon.front.http.base import is_true
from daemon.front.http.files import FilesHandler
from daemon.front.http.idempotency import FIELD, keyed_request
from daemon.front.resuming.proposal import ResumeTarget
from daemon.front.resuming.service import Resuming
from daemon.front.views.analysis import key_of
from daemon.http.errors import Refused

MAX_COUNT = 2**31  # of layers, of lines
MAX_PRINT_NUMBER = 10**15
MAX_HEIGHT = 100_000.0  # mm

_COMMANDS: dict[str, tuple[str, ...]] = {"propose": (), "start": ("token",)}


class ResumeAtHandler(FilesHandler):
    """/api/resume-at."""

    @property
    def resuming(self) -> Resuming:
        """The proposals; created by the first request."""
        resuming: Resuming = self.settings.setdefault("resuming", Resuming(self.service))
        return resuming

    async def post(self) -> None:
        """Propose how to continue a print, or accept a proposal: print it."""
        command, data = self.command(_COMMANDS)
        if command == "propose":
            self.write(
                await self.resuming.propose(_target(data), _count(data, "print", -MAX_PRINT_NUMBER, MAX_PRINT_NUMBER))
            )
            await self.compress()
        else:
            await self._start(data)

    async def _start(self, data: dict[str, Any]) -> None:
        token = data["token"]
        if not isinstance(token, str):
            raise Refused(400, "token must be a string: the token of a proposal")
        keyed = keyed_request(self, {"token": token, FIELD: data.get(FIELD)}, "resume-at")
        if keyed is not None and await keyed.existing_print(self) is not None:
            self.no_content()
            return
        self.require_operational()
        entry = await self.resuming.write_rest(token)
        self.publish_file_event("FileAdded", entry)
        self.service.analyses.enqueue(key_of(entry))
        await self.service.queue.follow_upload(entry.path)
        checked_file = None
        if not is_true(data.get("force", False)):
            checked_file = (await self.check(entry, touches=True)).mark
        self.check_time_left()
        await self.resuming.require_last(token)
        await self.select(entry, keyed, checked_file)
        if keyed is None:
            await self.service.jobs.start(checked_file)
        self.resuming.forget(token)
        self.set_status(201)
        self.set_header("Location", self.resource(entry.path))
        self.write(self.brief(entry))


def _target(data: dict[str, Any]) -> ResumeTarget | None:
    """Return the requested place; None: where the print ended."""
    layer, line = _count(data, "layer"), _count(data, "line")
    height = data.get("height")
    if height is not None and not (
        isinstance(height, int | float) and not isinstance(height, bool) and 0 <= height <= MAX_HEIGHT
    ):
        raise Refused(400, f"height must be a number of mm from 0 to {MAX_HEIGHT:g}")
    places = [each for each in (layer, line, height) if each is not None]
    if len(places) > 1:
        raise Refused(400, "name only one place: layer, height or line")
    return ResumeTarget(layer, height, line) if places else None


def _count(data: dict[str, Any], name: str, low: int = 1, high: int = MAX_COUNT) -> int | None:
    value = data.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise Refused(400, f"{name} must be a whole number from {low} to {high}")
    return value
