"""/api/timelapse and /downloads/timelapse: timelapse films, which the companion `timelapse` makes and lists."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

from daemon.config.sections import describe_switched_off
from daemon.errors import CompanionAway
from daemon.front.companions import LOWEST_REFUSAL_STATUS
from daemon.front.http.base import ApiHandler
from daemon.front.http.companions import relay_request
from daemon.front.http.downloads import SendingHandler
from daemon.http.errors import Refused

NAME = "timelapse"
MOVIES = Path("companions", NAME, "movies")  # in the state directory
KINDS = {
    ".mp4": "video/mp4", ".m4v": "video/mp4", ".mkv": "video/x-matroska", ".mpg": "video/mpeg",
    ".mpeg": "video/mpeg", ".jpg": "image/jpeg",
}  # fmt: skip
MAX_FIELDS = 20


class FilmsHandler(ApiHandler):
    """Base of the handlers that ask the companion and list the films."""

    async def _ask(self, do: str, parameters: Mapping[str, Any]) -> None:
        companions = self.service.companions
        if not companions.is_on(NAME):
            raise Refused(409, describe_switched_off(NAME))
        scope = self.identity.scope.label if self.identity is not None else ""
        reply = await companions.ask(NAME, do, parameters, scope=scope)
        if reply.status >= LOWEST_REFUSAL_STATUS:
            text = reply.body.get("error") if isinstance(reply.body, dict) else None
            raise Refused(reply.status, str(text or "the timelapse companion refused"))

    def _fields(self) -> dict[str, Any]:
        """Return the fields of the body, JSON or a form: OctoPrint accepts both."""
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind.endswith("json"):
            return self.json_body()
        try:
            fields = parse_qs(self.body.decode("utf-8"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
        except ValueError as error:
            raise Refused(400, "the form cannot be read") from error
        query = {name: self.get_query_argument(name) for name in self.request.query_arguments if name != "apikey"}
        return {**query, **{name: values[-1] for name, values in fields.items()}}

    async def _list(self, *, with_unrendered: bool) -> None:
        companions = self.service.companions
        state = companions.state(NAME) or {}
        answer: dict[str, Any] = {"config": state.get("config", {"type": "off"}), "enabled": companions.is_on(NAME)}
        lists: Mapping[str, Any] = {}
        if companions.is_on(NAME):
            try:
                reply = await companions.ask(NAME, "list", {})
                lists = reply.body if isinstance(reply.body, dict) else {}
            except CompanionAway:
                lists = {}  # not an error: clients would take it for a fault of the whole server
        answer["files"] = [_with_address(each) for each in lists.get("files", [])]
        if with_unrendered:
            answer["unrendered"] = lists.get("unrendered", [])
        self.write(answer)
        await self.compress()


class TimelapseHandler(FilmsHandler):
    """/api/timelapse."""

    async def get(self) -> None:
        """Show what is recorded, and list the films."""
        await self._list(with_unrendered=self.query_flag("unrendered"))

    async def post(self) -> None:
        """Change what is recorded."""
        await self._ask("configure", self._fields())
        await self._list(with_unrendered=False)


class OneFilmHandler(FilmsHandler):
    """/api/timelapse/<name>."""

    def get(self, name: str) -> None:
        """Redirect to the film."""
        self.redirect(f"/downloads/timelapse/{quote(name, safe='')}")

    async def delete(self, name: str) -> None:
        """Delete a film; answer with the remaining ones."""
        await self._ask("delete", {"name": name})
        await self._list(with_unrendered=self.query_flag("unrendered"))


def _with_address(film: Mapping[str, Any]) -> dict[str, Any]:
    shown = {**film, "url": f"/downloads/timelapse/{quote(str(film.get('name')), safe='')}"}
    if thumbnail := shown.pop("thumbnail", None):
        shown["thumbnail"] = f"/downloads/timelapse/{quote(str(thumbnail), safe='')}"
    return shown


class UnrenderedHandler(ApiHandler):
    """/api/timelapse/unrendered/<name>."""

    async def post(self, name: str) -> None:
        """Have a film rendered from these pictures, unless a print is under way."""
        self.command({"render": ()})
        if self.status().flags["printing"] or self.status().flags["paused"]:
            raise Refused(409, "Printer is currently printing, cannot render timelapse: try again after the print")
        await relay_request(self, NAME, "render", {"name": name})

    async def delete(self, name: str) -> None:
        """Delete these pictures."""
        await relay_request(self, NAME, "delete_unrendered", {"name": name})


class FilmDownloadHandler(SendingHandler):
    """/downloads/timelapse/<name>."""

    accepts_signed_address = True

    async def get(self, name: str) -> None:
        """Send a film, or its thumbnail."""
        suffix = Path(name).suffix.lower()
        if suffix not in KINDS or name.startswith(".") or "/" in name or "\0" in name:
            raise Refused(404, "there is no such film")
        path = self.service.folder / MOVIES / name
        try:
            file = await asyncio.to_thread(path.open, "rb", 0)
        except OSError as error:
            raise Refused(404, "there is no such film") from error
        await self.send(file, lambda status: self._describe(name, suffix, status))

    def _describe(self, name: str, suffix: str, status: os.stat_result) -> None:
        self.set_header("Content-Type", KINDS[suffix])
        self.set_header("Content-Disposition", f"inline; filename*=UTF-8''{quote(name, safe='')}")
        self.set_header("Cache-Control", "private, no-cache")
        self.set_header("ETag", f'"{status.st_size:x}-{status.st_mtime_ns:x}-{status.st_ino:x}"')
