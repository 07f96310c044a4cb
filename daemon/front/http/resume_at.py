"""/api/resume-at: how the last print goes on at a place of its file; proposed first, printed after a yes to that."""

import math
from typing import Any

from daemon.front.http.base import is_true
from daemon.front.http.files import FilesHandler
from daemon.front.http.idempotency import wish
from daemon.front.resuming.proposal import ResumeTarget
from daemon.front.resuming.service import Resuming
from daemon.front.views.analysis import key_of
from daemon.http.errors import Refused

MOST = 2**31  # layers, lines
MOST_PRINTS = 10**15
HIGHEST = 100_000.0  # mm

_COMMANDS: dict[str, tuple[str, ...]] = {"propose": (), "start": ("token",)}


class ResumeAtHandler(FilesHandler):
    """/api/resume-at."""

    @property
    def resuming(self) -> Resuming:
        """What has the proposals; made for the first request."""
        known: Resuming = self.settings.setdefault("resuming", Resuming(self.service))
        return known

    async def post(self) -> None:
        """Propose how the last print goes on, or print what was proposed."""
        command, data = self.command(_COMMANDS)
        if command == "propose":
            self.write(await self.resuming.propose(_target(data), _count(data, "print", -MOST_PRINTS, MOST_PRINTS)))
            await self.pack()
        else:
            await self._start(data)

    async def _start(self, data: dict[str, Any]) -> None:
        token = data["token"]
        if not isinstance(token, str):
            raise Refused(400, "token must be a text: that of the proposal")
        asked = wish(self, {"token": token}, "resume-at")
        if asked is not None and await asked.begun_print(self) is not None:
            self.no_content()
            return
        self.require_operational()
        entry = await self.resuming.write_rest(token)
        self.files_changed("FileAdded", entry)
        self.service.analyses.want(key_of(entry))
        await self.service.queue.came(entry.path)
        if not is_true(data.get("force", False)):
            await self.check(entry, touches=True)
        await self.select(entry, asked)
        if asked is None:
            await self.service.jobs.start()
        self.resuming.forget(token)
        self.set_status(201)
        self.set_header("Location", self.resource(entry.path))
        self.write(self.brief(entry))


def _target(data: dict[str, Any]) -> ResumeTarget | None:
    """Return the place that is asked for; None: wherever the print was."""
    layer, line = _count(data, "layer"), _count(data, "line")
    height = data.get("height")
    if height is not None and not (
        isinstance(height, int | float)
        and not isinstance(height, bool)
        and math.isfinite(height)
        and 0 <= height <= HIGHEST
    ):
        raise Refused(400, f"height must be a number of mm from 0 to {HIGHEST:g}")
    given = [each for each in (layer, line, height) if each is not None]
    if len(given) > 1:
        raise Refused(400, "name one place: layer, height or line")
    return ResumeTarget(layer, height, line) if given else None


def _count(data: dict[str, Any], name: str, least: int = 1, most: int = MOST) -> int | None:
    value = data.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Refused(400, f"{name} must be a whole number from {least} to {most}")
    return value
