"""/api/files: list, show, select, copy, move and delete uploaded files."""

from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from daemon.bridge.words import FileMark, FileStatistics
from daemon.errors import CoreAway, JobConflict, StoreError
from daemon.front.access.access import OWNER
from daemon.front.analysis.watch import PrintableFile
from daemon.front.http.base import ApiHandler, CachedHandler, is_true
from daemon.front.http.idempotency import HEADER, KeyedRequest, keyed_request
from daemon.front.uploads.filenames import check_path
from daemon.front.uploads.tree import TreeEntry
from daemon.front.views import analysis
from daemon.front.views.listing import Listing, of_entry, of_prints, refs
from daemon.front.views.selection import of_selection, selection_of
from daemon.http.errors import Refused

_COMMANDS: dict[str, tuple[str, ...]] = {
    "select": (),
    "unselect": (),
    "check": (),
    "copy": ("destination",),
    "move": ("destination",),
}


class FilesHandler(CachedHandler):
    """Base of the handlers that show files."""

    def resource(self, path: str) -> str:
        """Return the absolute URL of a file or folder in the API."""
        return self.url(f"/api/files/local/{quote(path)}")

    def brief(self, entry: TreeEntry) -> dict[str, Any]:
        """Describe a file or folder that was just created."""
        return {"name": entry.name, "origin": "local", "path": entry.path, "refs": refs(entry, self.url(""))}

    async def list_files(self) -> None:
        """List the uploads and the free space, which is not part of the ETag: it changes all the time."""
        tree = await self.service.files.tree("", recursive=self.query_flag("recursive"))
        if (listed := await self._folder_as_json(*tree, whole=False)) is not None:
            free, total = await self.service.files.free_space()
            self.write(b'{"files": %b, "free": %d, "total": %d}' % (listed, free, total))
            await self.compress()

    async def show(self, path: str) -> None:
        """Show a file, or a folder with its entries."""
        root, state = await self.service.files.tree(path, recursive=self.query_flag("recursive"))
        if root.type == "folder":
            if (folder := await self._folder_as_json(root, state, whole=True)) is not None:
                self.write(folder)
                await self.compress()
            return
        entry = await self.service.files.info(path)
        findings = await analysis.added_fields(self.service, entry, details=self.query_flag("layers"))
        prints = of_prints(await self._prints(entry.path))
        self.write({**of_entry(entry, self.url("")), "hash": entry.sha1, **findings, **prints})
        await self.compress()

    async def _prints(self, path: str) -> FileStatistics | None:
        """Return the file's prints so far; None if the history cannot be read."""
        try:
            return await self.service.jobs.statistics(path)
        except (CoreAway, StoreError):
            return None

    async def _folder_as_json(self, entry: TreeEntry, state: str, *, whole: bool) -> bytes | None:
        """Return a folder (`whole`) or its entries alone, as JSON; None: the client has it, and the status is 304."""
        listing: Listing = self.settings["listing"]
        base = self.url("")
        self.tag = listing.tag(f"{state} {whole}", base)
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.set_etag_header()
        if self.check_etag_header():
            self.set_status(304)
            return None
        return await listing.render(entry, self.tag, base, whole=whole)

    async def check(self, entry: TreeEntry, *, touches: bool = False) -> PrintableFile:
        """Wait for the analysis of a file before it is printed. See `Watch.check`.

        Raises:
            UnfitFile: the file should not be printed.
            Refused: the client has given up meanwhile.
        """
        patience = self.service.config.analysis.patience_s
        check = await self.service.watch.check(selection_of(entry, None), patience, touches=touches)
        self.check_time_left()
        return check

    async def select(
        self, entry: TreeEntry, keyed: KeyedRequest | None = None, checked_file: FileMark | None = None
    ) -> None:
        """Select a file; with a keyed request, also print it, if it is the file that was checked (None: in any case).

        Raises:
            JobConflict: a job is active.
        """
        user = self.identity.name if self.identity is not None else OWNER
        selection = selection_of(entry, user)
        if keyed is not None:
            await keyed.begin(self, selection, checked_file)
        else:
            await self.service.jobs.select(selection)
        self.service.events.publish("FileSelected", of_selection(selection))

    def publish_file_event(self, event: str, entry: TreeEntry) -> None:
        """Publish that a file or folder was added, removed or moved."""
        kind = ["folder"] if entry.type == "folder" else ["machinecode", "gcode"]
        payload = {"storage": "local", "name": entry.name, "path": entry.path, "type": kind}
        self.service.events.publish(event, payload)
        self.service.events.publish("UpdatedFiles", {"type": "printables"})

    def is_selected(self, path: str) -> bool:
        """Tell whether the selected file is this one, or is in this folder."""
        selected = self.service.jobs.selected
        return selected is not None and (selected.path == path or selected.path.startswith(f"{path}/"))


class AllFilesHandler(FilesHandler):
    """/api/files."""

    async def get(self) -> None:
        """List the files of all storages; the printer's SD card has none."""
        await self.list_files()


class SdCardHandler(ApiHandler):
    """/api/files/sdcard."""

    def get(self) -> None:
        """List none: the printer's SD card is not supported."""
        self.write({"files": []})

    def post(self) -> None:
        """Refuse, as OctoPrint does with SD support disabled."""
        raise Refused(404, "SD support is disabled")


class FileHandler(FilesHandler):
    """/api/files/local/<path>."""

    async def get(self, path: str) -> None:
        """Show a file, or a folder with its entries."""
        await self.show(path)

    async def post(self, path: str) -> None:
        """Carry out a command about the file."""
        command, data = self.command(_COMMANDS)
        if command == "select":
            await self._select(path, data)
        elif command == "unselect":
            await self._unselect(path)
        elif command == "check":
            await self._check_only(path)
        else:
            await self._put(path, data["destination"], copy=command == "copy")

    async def _select(self, path: str, data: dict[str, Any]) -> None:
        start, force = is_true(data.get("print", False)), is_true(data.get("force", False))
        keyed = keyed_request(self, data, f"select {path}") if start else None
        if start and is_true(data.get("bedClear", False)):
            if keyed is None:
                raise Refused(400, f"bedClear needs an {HEADER}")
            keyed = replace(keyed, bed_clear=True)
        if keyed is not None and await keyed.existing_print(self) is not None:
            self.no_content()
            return
        entry = await self.service.files.info(path)
        if entry.type == "folder":
            raise Refused(404, f"{path} is a folder")
        self.require_operational()
        checked_file = None
        if start and not force:
            checked_file = (await self.check(entry, touches=is_true(data.get("touches", False)))).mark
        await self.select(entry, keyed, checked_file)
        if start and keyed is None:
            await self.service.jobs.start(checked_file)
        self.no_content()

    async def _check_only(self, path: str) -> None:
        """Check a file as `print` would, but do not print it."""
        entry = await self.service.files.info(path)
        if entry.type == "folder":
            raise Refused(404, f"{path} is a folder")
        check = await self.check(entry)
        self.write({"known": check.has_findings or not self.service.config.analysis.enabled})

    async def _unselect(self, path: str) -> None:
        self.require_operational()
        jobs = self.service.jobs
        if jobs.selected is not None and path not in ("current", jobs.selected.path):
            raise Refused(400, "Only the currently selected file can be unselected")
        await jobs.unselect()
        self.no_content()

    async def _put(self, path: str, destination: object, *, copy: bool) -> None:
        """Copy or move a file or folder; a moved file is unselected."""
        if not isinstance(destination, str):
            raise Refused(400, "destination must be a path")
        files = self.service.files
        target = destination.strip("/")
        entry = await (files.copy(path, target) if copy else files.move(path, target))
        if not copy:
            await self._forget(path)
            await self.service.queue.follow_move("/".join(check_path(path)), entry.path)
            self.publish_file_event("FolderMoved" if entry.type == "folder" else "FileMoved", entry)
        else:
            self.publish_file_event("FolderAdded" if entry.type == "folder" else "FileAdded", entry)
        self.set_status(201)
        self.set_header("Location", self.resource(entry.path))
        self.write(self.brief(entry))

    async def delete(self, path: str) -> None:
        """Delete a file, or a folder with all its entries."""
        entry = await self.service.files.info(path)
        await self.service.files.delete(path)
        await self._forget(path)
        await self.service.queue.follow_deletion("/".join(check_path(path)))
        self.publish_file_event("FolderRemoved" if entry.type == "folder" else "FileRemoved", entry)
        self.no_content()

    async def _forget(self, path: str) -> None:
        plain = "/".join(check_path(path))
        await self.service.analyses.forget(plain)
        if self.is_selected(plain) and not self.service.jobs.active:
            with suppress(CoreAway, JobConflict):  # then it stays selected; the file is gone, so no print of it starts
                await self.service.jobs.unselect()
