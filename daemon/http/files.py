"""/api/files: list, tell about, select, copy, move and delete what was uploaded."""

from typing import Any
from urllib.parse import quote

from daemon.errors import StoreError
from daemon.filenames import check_path
from daemon.files import Entry
from daemon.http.base import ApiHandler, is_true
from daemon.http.errors import Refused
from daemon.job.job import Selection
from daemon.store import FileStatistics

USER = "_api"  # OctoPrint's name for whoever comes with the global key

_COMMANDS: dict[str, tuple[str, ...]] = {
    "select": (),
    "unselect": (),
    "copy": ("destination",),
    "move": ("destination",),
}


class FilesHandler(ApiHandler):
    """Base of what shows files."""

    def resource(self, path: str) -> str:
        """Return the absolute URL of a file or folder in the API."""
        return self.url(f"/api/files/local/{quote(path)}")

    def refs(self, entry: Entry) -> dict[str, str]:
        """Return the URLs of a file or folder."""
        refs = {"resource": self.resource(entry.path)}
        if entry.type != "folder":
            refs["download"] = self.url(f"/downloads/files/local/{quote(entry.path)}")
        return refs

    def brief(self, entry: Entry) -> dict[str, Any]:
        """Describe what was just made."""
        return {"name": entry.name, "origin": "local", "path": entry.path, "refs": self.refs(entry)}

    async def described(self, entry: Entry) -> dict[str, Any]:
        """Describe a file or folder, with what is in it."""
        shown: dict[str, Any] = {
            "name": entry.name,
            "display": entry.name,
            "path": entry.path,
            "type": entry.type,
            "typePath": ["folder"] if entry.type == "folder" else ["machinecode", "gcode"],
            "size": entry.size,
            "date": entry.date,
            "origin": "local",
            "user": USER,
            "refs": self.refs(entry),
        }
        if entry.type == "folder":
            return {**shown, "children": [await self.described(child) for child in entry.children]}
        return {**shown, "hash": entry.sha1, **await self._prints(entry.path)}

    async def _prints(self, path: str) -> dict[str, Any]:
        """Return how the file printed so far; nothing when it never did, or the database has trouble."""
        try:
            found = await self.service.store.statistics(path)
        except StoreError:
            return {}
        return _history(found)

    async def listing(self) -> dict[str, Any]:
        """List the uploads, and how much room is left."""
        files = self.service.files
        entries = await files.list(recursive=self.query_flag("recursive"))
        free, total = await files.free_space()
        return {"files": [await self.described(entry) for entry in entries], "free": free, "total": total}

    def select(self, entry: Entry) -> None:
        """Make a file the selected one.

        Raises:
            JobConflict: a job is going on.
        """
        selection = Selection(path=entry.path, name=entry.name, size=entry.size, date=entry.date, user=USER)
        self.service.jobs.select(selection)

    def is_selected(self, path: str) -> bool:
        """Tell whether the selected file is this one, or in this folder."""
        selected = self.service.jobs.selected
        return selected is not None and (selected.path == path or selected.path.startswith(f"{path}/"))


def _history(found: FileStatistics) -> dict[str, Any]:
    if found.last is None:
        return {}
    last = {"date": found.last.date, "success": found.last.success, "printTime": found.last.print_time}
    average = {} if found.average_print_time is None else {"_default": found.average_print_time}
    return {
        "prints": {"success": found.success, "failure": found.failure, "last": last},
        "statistics": {"averagePrintTime": average, "lastPrintTime": {"_default": found.last.print_time}},
    }


class AllFilesHandler(FilesHandler):
    """/api/files."""

    async def get(self) -> None:
        """List the files of all storages; the printer's SD card has none."""
        self.write(await self.listing())


class SdCardHandler(ApiHandler):
    """/api/files/sdcard."""

    def get(self) -> None:
        """List none: the printer's SD card is not for us."""
        self.write({"files": []})

    def post(self) -> None:
        """Refuse, as OctoPrint without SD support."""
        raise Refused(404, "SD support is disabled")


class FileHandler(FilesHandler):
    """/api/files/local/<path>."""

    async def get(self, path: str) -> None:
        """Tell about a file, or a folder and what is in it."""
        self.write(await self.described(await self.service.files.info(path, recursive=self.query_flag("recursive"))))

    async def post(self, path: str) -> None:
        """Take a command about the file."""
        command, data = self.command(_COMMANDS)
        if command == "select":
            await self._select(path, start=is_true(data.get("print", False)))
        elif command == "unselect":
            self._unselect(path)
        else:
            await self._put(path, data["destination"], copy=command == "copy")

    async def _select(self, path: str, *, start: bool) -> None:
        entry = await self.service.files.info(path)
        if entry.type == "folder":
            raise Refused(404, f"{path} is a folder")
        self.require_operational()
        self.select(entry)
        if start:
            self.service.jobs.start()
        self.no_content()

    def _unselect(self, path: str) -> None:
        self.require_operational()
        jobs = self.service.jobs
        if jobs.selected is not None and path not in ("current", jobs.selected.path):
            raise Refused(400, "Only the currently selected file can be unselected")
        jobs.unselect()
        self.no_content()

    async def _put(self, path: str, destination: object, *, copy: bool) -> None:
        """Copy or move; a file that is moved is not the selected one any more."""
        if not isinstance(destination, str):
            raise Refused(400, "destination must be a path")
        files = self.service.files
        target = destination.strip("/")
        entry = await (files.copy(path, target) if copy else files.move(path, target))
        if not copy:
            self._forget(path)
        self.set_status(201)
        self.set_header("Location", self.resource(entry.path))
        self.write(self.brief(entry))

    async def delete(self, path: str) -> None:
        """Delete a file, or a folder with all that is in it."""
        await self.service.files.delete(path)
        self._forget(path)
        self.no_content()

    def _forget(self, path: str) -> None:
        plain = "/".join(check_path(path))
        if self.is_selected(plain) and not self.service.jobs.active:
            self.service.jobs.unselect()
