"""/api/timelapse and /downloads/timelapse: films of prints. The companion `timelapse` makes and lists them."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

from daemon.errors import CompanionAway
from daemon.front.http.base import ApiHandler
from daemon.front.http.companions import pass_on
from daemon.front.http.downloads import SendingHandler
from daemon.http.errors import Refused

NAME = "timelapse"
MOVIES = Path("companions", NAME, "movies")  # in the state directory
KINDS = {
    ".mp4": "video/mp4", ".m4v": "video/mp4", ".mkv": "video/x-matroska", ".mpg": "video/mpeg",
    ".mpeg": "video/mpeg", ".jpg": "image/jpeg",
}  # fmt: skip
MOST_FIELDS = 20


class FilmsHandler(ApiHandler):
    """Base: asks the companion, and lists the films."""

    async def _ask(self, do: str, given: Mapping[str, Any]) -> None:
        companions = self.service.companions
        if not companions.on(NAME):
            raise Refused(409, "there is no timelapse: the configuration file has no section [timelapse]")
        scope = self.identity.scope.label if self.identity is not None else ""
        reply = await companions.ask(NAME, do, given, scope=scope)
        if reply.status >= 300:  # noqa: PLR2004 - HTTP's
            text = reply.body.get("error") if isinstance(reply.body, dict) else None
            raise Refused(reply.status, str(text or "timelapse refuses it"))

    def _fields(self) -> dict[str, Any]:
        """Return what is given: JSON, or the fields of a form, as OctoPrint takes both."""
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind.endswith("json"):
            return self.json_body()
        try:
            fields = parse_qs(self.body.decode("utf-8"), keep_blank_values=True, max_num_fields=MOST_FIELDS)
        except ValueError as error:
            raise Refused(400, "the form cannot be read") from error
        query = {name: self.get_query_argument(name) for name in self.request.query_arguments if name != "apikey"}
        return {**query, **{name: values[-1] for name, values in fields.items()}}

    async def _list(self, *, with_unrendered: bool) -> None:
        companions = self.service.companions
        state = companions.state(NAME) or {}
        told: dict[str, Any] = {"config": state.get("config", {"type": "off"}), "enabled": companions.on(NAME)}
        lists: Mapping[str, Any] = {}
        if companions.on(NAME):
            try:
                reply = await companions.ask(NAME, "list", {})
                lists = reply.body if isinstance(reply.body, dict) else {}
            except CompanionAway:
                lists = {}  # clients take an error for one of the whole server
        told["files"] = [_with_address(each) for each in lists.get("files", [])]
        if with_unrendered:
            told["unrendered"] = lists.get("unrendered", [])
        self.write(told)
        await self.pack()


class TimelapseHandler(FilmsHandler):
    """/api/timelapse."""

    async def get(self) -> None:
        """Tell what is recorded and which films there are."""
        await self._list(with_unrendered=self.query_flag("unrendered"))

    async def post(self) -> None:
        """Change what is recorded."""
        await self._ask("configure", self._fields())
        await self._list(with_unrendered=False)


class OneFilmHandler(FilmsHandler):
    """/api/timelapse/FILE."""

    def get(self, name: str) -> None:
        """Lead to it."""
        self.redirect(f"/downloads/timelapse/{quote(name, safe='')}")

    async def delete(self, name: str) -> None:
        """Delete it; answer with those that are left."""
        await self._ask("delete", {"name": name})
        await self._list(with_unrendered=self.query_flag("unrendered"))


def _with_address(film: Mapping[str, Any]) -> dict[str, Any]:
    shown = {**film, "url": f"/downloads/timelapse/{quote(str(film.get('name')), safe='')}"}
    if thumbnail := shown.pop("thumbnail", None):
        shown["thumbnail"] = f"/downloads/timelapse/{quote(str(thumbnail), safe='')}"
    return shown


class UnrenderedHandler(ApiHandler):
    """/api/timelapse/unrendered/NAME."""

    async def post(self, name: str) -> None:
        """Have a film made of these pictures; not while something is printed."""
        self.command({"render": ()})
        if self.status().flags["printing"] or self.status().flags["paused"]:
            raise Refused(409, "Printer is currently printing, cannot render timelapse")
        await pass_on(self, NAME, "render", {"name": name})

    async def delete(self, name: str) -> None:
        """Delete these pictures."""
        await pass_on(self, NAME, "delete_unrendered", {"name": name})


class FilmHandler(SendingHandler):
    """/downloads/timelapse/FILE."""

    signable = True

    async def get(self, name: str) -> None:
        """Send a film, or the picture that shows it."""
        suffix = Path(name).suffix.lower()
        if suffix not in KINDS or name.startswith(".") or "/" in name or "\0" in name:
            raise Refused(404, "there is no such film")
        path = self.service.folder / MOVIES / name
        try:
            file = await asyncio.to_thread(path.open, "rb", 0)
        except OSError as error:
            raise Refused(404, "there is no such film") from error
        await self.send(file, lambda found: self._describe(name, suffix, found))

    def _describe(self, name: str, suffix: str, found: os.stat_result) -> None:
        self.set_header("Content-Type", KINDS[suffix])
        self.set_header("Content-Disposition", f"inline; filename*=UTF-8''{quote(name, safe='')}")
        self.set_header("Cache-Control", "private, no-cache")
        self.set_header("ETag", f'"{found.st_size:x}-{found.st_mtime_ns:x}-{found.st_ino:x}"')
