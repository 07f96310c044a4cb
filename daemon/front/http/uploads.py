"""/api/files/local: take files in, as they come: a block in memory, the rest on disk, nothing left of half a file."""

import asyncio
import json
import math
import secrets
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from daemon.errors import FileExists, JobConflict, NoSuchFile, UnfitFile, UploadBroken
from daemon.front.http.base import ApiHandler, is_true
from daemon.front.http.files import FilesHandler
from daemon.front.http.idempotency import Wish, wish
from daemon.front.uploads.filenames import check_path, check_printable
from daemon.front.uploads.files import Upload
from daemon.front.uploads.tree import TreeEntry
from daemon.front.views.analysis import key_of
from daemon.http.errors import Refused
from daemon.packing.kinds import SNIFF, check_content, kind, plain_name

if TYPE_CHECKING:
    from daemon.front.front import Front
    from daemon.front.uploads.room import Claim
    from daemon.http.upload_form import UploadForm

MIN_RATE = 32 * 1024  # bytes/s; whoever is slower than that for a whole file has gone away
GRACE = 60.0  # s on top of it
LOOKED_AT = SNIFF  # bytes at the beginning of a file that tell whether it is a text

FIELDS = (
    "path", "filename", "select", "print", "userdata", "foldername", "noOverwrite", "size", "sha1", "force", "plate",
    "job", "modified",
)  # fmt: skip

_closing: set[asyncio.Future[None]] = set()  # the loop alone does not keep them from being collected

_LONGEST_PLATE = 4  # digits
_MULTIPART = "multipart/form-data"
_URLENCODED = "application/x-www-form-urlencoded"


class UploadHandler(FilesHandler):
    """/api/files/local."""

    def initialize(self, service: "Front") -> None:
        """Prepare for a form; `max_body` is the largest upload there."""
        super().initialize(service)
        self._stack = AsyncExitStack()  # holds the upload: closed without a commit, nothing is left of it
        self._form: UploadForm | None = None
        self._upload: Upload | None = None
        self._name = ""
        self._beginning = bytearray()
        self._size = 0
        self._claim: Claim | None = None
        self._complete = False
        self._asked: Wish | None = None  # the print is asked for with a key
        if self.request.method == "POST":
            self.max_body = service.config.http.max_upload_mib * 1024 * 1024

    async def get(self) -> None:
        """List the files, and how much room is left."""
        await self.list_files()

    def admit(self) -> None:
        """Refuse what is no form; give its body the time that its size needs."""
        if self.request.method != "POST":
            return
        content_type = self.request.headers.get("Content-Type", "")
        kind = content_type.partition(";")[0].strip().lower()
        if kind == _MULTIPART:
            from daemon.http.upload_form import UploadForm  # noqa: PLC0415 - a MB, for uploads alone

            self._form = UploadForm(content_type, FIELDS)
            size = self.max_body if self.announced is None else self.announced
            self.request.connection.set_body_timeout(GRACE + size / MIN_RATE)  # type: ignore[union-attr]  # HTTP1Connection has it
        elif kind == _URLENCODED:
            self.max_body = ApiHandler.max_body
            self.check_announced()
        else:
            raise Refused(400, "No file to upload and no folder to create")

    async def take(self, chunk: bytes) -> None:
        """Pass the bytes of the file on, and return when they are on their way to the disk."""
        if self._form is None:
            await super().take(chunk)
            return
        for event in self._form.feed(chunk):
            if isinstance(event, str):
                await self._begin(event)
            elif self._upload is not None:
                self._gate(event)
                await self._upload.write(event)

    async def give_up(self) -> None:
        """Drop what came of the file."""
        await self._stack.aclose()

    def _gate(self, content: bytes) -> None:
        """Look at the first bytes of the file, and see that it stays within the quota.

        Raises:
            NotPrintable: it is no text.
            StorageFull: all uploads together would be too large.
        """
        if len(self._beginning) < LOOKED_AT:
            self._beginning += content[:LOOKED_AT]
            if len(self._beginning) >= LOOKED_AT and kind(bytes(self._beginning)) is None:
                check_content(self._name, bytes(self._beginning))
        self._size += len(content)
        if self._claim is not None:
            self._claim.resize(self._size)

    async def _begin(self, given: str) -> None:
        """Open the file. Where the path has come already, what is wrong with it is said before all bytes are sent."""
        known, renamed = (self._form.field("path"), self._form.field("filename")) if self._form else (None, None)
        name = self._name = _named(renamed or given)
        self._claim = await self._stack.enter_async_context(self.service.files.room.claim(name))
        early = f"{secrets.token_hex(16)}.gcode" if known is None else _placed(known, name)
        self._upload = await self._stack.enter_async_context(self.service.files.upload(early, name=given))

    def on_connection_close(self) -> None:
        """Drop what came of the file when the client has gone in the middle of it."""
        super().on_connection_close()
        if not self._complete:
            closing = asyncio.ensure_future(self._stack.aclose())
            _closing.add(closing)
            closing.add_done_callback(_closing.discard)

    async def post(self) -> None:
        """Put the file in its place, or make a folder; then select and print it if that is asked for."""
        self._complete = True
        async with self._stack:
            fields = self._fields()
            _check_userdata(fields.get("userdata", ""))
            if fields.get("filename"):
                self._name = _named(fields["filename"])
            if self._upload is not None:
                asked = self._wish(self._upload, fields)
                if asked is not None and await self._printed_before(asked, fields):
                    return
                self._asked = asked
                await self._answer_file(await self._commit(self._upload, fields), fields)
            elif fields.get("foldername"):
                path = _joined(fields.get("path", ""), fields["foldername"])
                self._answer_folder(await self.service.files.make_folder(path))
            else:
                raise Refused(400, "No file to upload and no folder to create")

    def _wish(self, upload: Upload, fields: dict[str, str]) -> Wish | None:
        """Return the key that the print of the file is asked for with; what is asked for is this very file."""
        if not is_true(fields.get("print", "")):
            return None
        return wish(self, {**fields, "sha1": upload.sha1, "size": upload.received}, f"upload {self._name}")

    async def _printed_before(self, asked: Wish, fields: dict[str, str]) -> bool:
        """Answer as the first time where the print has begun already; the file is as it was, or where it was."""
        path = _placed(fields.get("path", ""), self._name)
        try:
            entry = await self.service.files.info(path)
        except NoSuchFile:
            return False
        if await asked.begun_print(self) is None:
            return False
        self._answer(entry, selected=True, printing=True)
        return True

    def _fields(self) -> dict[str, str]:
        if self._form is not None:
            self._form.end()
            return self._form.fields
        try:
            given = parse_qsl(self.body.decode(), keep_blank_values=True, max_num_fields=64)
        except ValueError as error:
            raise UploadBroken("the form cannot be read") from error
        return {name: value for name, value in given if name in FIELDS}

    async def _commit(self, upload: Upload, fields: dict[str, str]) -> TreeEntry:
        _check_whole(upload, fields)
        date = _date(fields.get("modified", ""))
        plate = _plate(fields.get("plate", ""))
        if kind(bytes(self._beginning)) is not None or plate is not None:
            await self._unpack(upload, plate)
        else:
            check_content(self._name, bytes(self._beginning))  # where there was less than is looked at
        upload.path = _placed(fields.get("path", ""), self._name)
        if is_true(fields.get("noOverwrite", "")):
            await self._require_free(upload.path)
        entry = await upload.commit(date)
        if self._claim is not None:
            self._claim.kept = True
        return entry

    async def _unpack(self, upload: Upload, plate: int | None) -> None:
        """Put the text in the place of what it came in; the quota is for the text."""
        left = self._claim.left if self._claim is not None else None
        limit = self.max_body if left is None else min(self.max_body, max(0, left + self._size))
        size = await upload.unpack(limit, plate)
        if self._claim is not None:
            self._claim.resize(size)

    async def _require_free(self, path: str) -> None:
        try:
            await self.service.files.info(path)
        except NoSuchFile:
            return
        raise FileExists(f"{path} exists")

    async def _answer_file(self, entry: TreeEntry, fields: dict[str, str]) -> None:
        await self._renew_analysis(entry)
        self.files_changed("FileAdded", entry)
        await self.service.queue.came(entry.path)
        unfit = await self._unfit(entry, fields)
        selected, printing = await self._select(entry, fields, fit=not unfit)
        self._tell(entry, fields, selected=selected, printing=printing)
        self._answer(entry, unfit, selected=selected, printing=printing)

    def _answer(self, entry: TreeEntry, unfit: str = "", *, selected: bool, printing: bool) -> None:
        self.set_status(201)
        self.set_header("Location", self.resource(entry.path))
        answer = {"done": True, "effectiveSelect": selected, "effectivePrint": printing}
        self.write({"files": {"local": self.brief(entry)}, **answer, **({"notPrinted": unfit} if unfit else {})})

    async def _renew_analysis(self, entry: TreeEntry) -> None:
        """Have the file analysed, whatever is known of one that was there before."""
        await self.service.analyses.forget(entry.path)
        self.service.analyses.want(key_of(entry))

    async def _unfit(self, entry: TreeEntry, fields: dict[str, str]) -> str:
        """Return why the file should not be printed, where that is asked for; empty if nothing speaks against it."""
        if not is_true(fields.get("print", "")):
            return ""
        if not self.status().flags["operational"]:
            return "no printer is connected"
        if self.service.jobs.active:
            return "another print is in progress"
        if is_true(fields.get("force", "")):
            return ""
        try:
            await self.check(entry)
        except UnfitFile as error:
            return str(error)
        return ""

    def _tell(self, entry: TreeEntry, fields: dict[str, str], *, selected: bool, printing: bool) -> None:
        """Publish the upload, and what became of its wishes."""
        about = {"name": entry.name, "path": entry.path, "target": "local"}
        wanted = {name: is_true(fields.get(name, "")) for name in ("select", "print")}
        done = {"effective_select": selected, "effective_print": printing}
        self.service.events.publish("Upload", {**about, **wanted, **done})

    async def _select(self, entry: TreeEntry, fields: dict[str, str], *, fit: bool) -> tuple[bool, bool]:
        """Select and print as asked for, if that can be; return what was done. The upload stands in any case."""
        start = is_true(fields.get("print", ""))
        wanted = start or is_true(fields.get("select", ""))
        try:
            if wanted and self.status().flags["operational"]:
                asked = self._asked if start and fit else None
                await self.select(entry, asked)
                if start and fit and asked is None:
                    await self.service.jobs.start()
                return True, start and fit
            if self.is_selected(entry.path):
                await self.select(entry)  # its size and date are new
        except JobConflict:
            pass
        return False, False

    def _answer_folder(self, entry: TreeEntry) -> None:
        self.files_changed("FolderAdded", entry)
        self.set_status(201)
        self.set_header("Location", self.resource(entry.path))
        self.write({"folder": self.brief(entry), "done": True})


def _named(given: str) -> str:
    """Return the name of what is to be kept of a file: of what it holds, where it is packed.

    Raises:
        NotPrintable, BadFileName: there is no G-code, or nothing can have that name.
    """
    name = plain_name(given)
    check_printable(name)
    check_path(name)
    return name


def _placed(folder: str, name: str) -> str:
    """Return the path of an upload: as with OctoPrint the folder in its name is none where one is given besides."""
    return _joined(folder, name.rpartition("/")[2] if folder.strip("/") else name)


def _joined(folder: str, name: str) -> str:
    """Return the path of a name in a folder; clients write the uploads' own folder as "", "/" or not at all."""
    folder = folder.strip("/")
    return "/".join(check_path(f"{folder}/{name}" if folder else name))


def _check_whole(upload: Upload, fields: dict[str, str]) -> None:
    """Refuse a file that is not as long, or does not have the hash, that the client says (ours: `size`, `sha1`)."""
    size, sha1 = fields.get("size", ""), fields.get("sha1", "").strip().lower()
    if size and size != str(upload.received):
        raise UploadBroken(f"the file has {upload.received} bytes, the client counted {size[:20]}")
    if sha1 and sha1 != upload.sha1:
        raise UploadBroken("the file's SHA-1 is not what the client says: it was damaged on its way")


def _plate(text: str) -> int | None:
    if not text.strip():
        return None
    if not text.strip().isdecimal() or len(text) > _LONGEST_PLATE:
        raise Refused(400, "plate must be a number, as in the name of a plate of a 3MF")
    return int(text)


def _date(text: str) -> float | None:
    if not text.strip():
        return None
    try:
        date = float(text)
    except ValueError:
        date = math.nan
    if not (math.isfinite(date) and date >= 0):
        raise Refused(400, "modified must be the date of the file's last change, in s since 1970")
    return date


def _check_userdata(text: str) -> None:
    """Refuse data that is no JSON, as OctoPrint does; nobody asks for it again, so it is not kept."""
    if not text:
        return
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "userdata contains invalid JSON") from error
