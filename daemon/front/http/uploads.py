"""/api/files/local: uploads. One block is in memory at a time; an upload that breaks off leaves no file."""

import asyncio
import json
import math
import secrets
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from daemon.errors import CoreAway, JobConflict, NoSuchFile, UnfitFile, UploadBroken
from daemon.front.http.base import ApiHandler, is_true
from daemon.front.http.files import FilesHandler
from daemon.front.http.idempotency import KeyedRequest, keyed_request
from daemon.front.uploads.filenames import check_path, check_printable
from daemon.front.uploads.files import Upload
from daemon.front.uploads.tree import TreeEntry
from daemon.front.views.analysis import key_of
from daemon.http.errors import Refused
from daemon.packing.kinds import SNIFF, check_content, packed_kind, plain_name

if TYPE_CHECKING:
    from daemon.bridge.words import FileMark
    from daemon.front.front import Front
    from daemon.front.uploads.room import Claim
    from daemon.http.upload_form import UploadForm

MIN_RATE = 32 * 1024  # bytes/s; a client that is slower on average is cut off
GRACE_S = 60.0  # in addition to the time at that rate

FIELDS = (
    "path", "filename", "select", "print", "userdata", "foldername", "noOverwrite", "size", "sha1", "force", "plate",
    "job", "modified",
)  # fmt: skip

_closing_tasks: set[asyncio.Future[None]] = set()  # references that keep the tasks from being garbage-collected

_MAX_PLATE_DIGITS = 4  # digits
_MULTIPART = "multipart/form-data"
_URLENCODED = "application/x-www-form-urlencoded"


class UploadHandler(FilesHandler):
    """/api/files/local."""

    def initialize(self, service: "Front") -> None:
        """Prepare for a form; for POST, `max_body` is the largest upload."""
        super().initialize(service)
        self._stack = AsyncExitStack()  # holds the upload: closing it without a commit removes the file
        self._form: UploadForm | None = None
        self._upload: Upload | None = None
        self._name = ""
        self._beginning = bytearray()
        self._size = 0
        self._claim: Claim | None = None
        self._is_complete = False
        self._is_over = False  # the client has gone, or its time is up
        self._keyed: KeyedRequest | None = None  # the print, if it is requested with a key
        self._checked_file: FileMark | None = None  # the file that may be printed; None: it was not checked
        if self.request.method == "POST":
            self.max_body = service.config.http.max_upload_mib * 1024 * 1024

    async def get(self) -> None:
        """List the files, and the free space."""
        await self.list_files()

    def admit(self) -> None:
        """Refuse a body that is not a form; set the timeout by the body's size."""
        if self.request.method != "POST":
            return
        content_type = self.request.headers.get("Content-Type", "")
        kind = content_type.partition(";")[0].strip().lower()
        if kind == _MULTIPART:
            from daemon.http.upload_form import UploadForm  # noqa: PLC0415 - a MB, for uploads alone

            self._form = UploadForm(content_type, FIELDS)
            size = self.max_body if self.content_length is None else self.content_length
            self.request.connection.set_body_timeout(GRACE_S + size / MIN_RATE)  # type: ignore[union-attr]  # HTTP1Connection has it
        elif kind == _URLENCODED:
            self.max_body = ApiHandler.max_body
            self.check_content_length()
        else:
            raise Refused(400, "No file to upload and no folder to create")

    async def take(self, chunk: bytes) -> None:
        """Feed the form, and write the bytes of its file."""
        if self._form is None:
            await super().take(chunk)
            return
        for event in self._form.feed(chunk):
            if self._is_over:  # the upload may have ended while this waited for the disk; its claim must not grow then
                return
            if isinstance(event, str):
                await self._begin(event)
            elif self._upload is not None:
                self._check_piece(event)
                await self._upload.write(event)

    async def give_up(self) -> None:
        """Remove the unfinished file."""
        await self._stack.aclose()

    def _check_piece(self, content: bytes) -> None:
        """Check the file's first bytes, and that its size stays within the quota.

        Raises:
            NotPrintable: it is not text.
            StorageFull: all uploads together would be too large.
        """
        if len(self._beginning) < SNIFF:
            self._beginning += content[:SNIFF]
            if len(self._beginning) >= SNIFF and packed_kind(bytes(self._beginning)) is None:
                check_content(self._name, bytes(self._beginning))
        self._size += len(content)
        if self._claim is not None:
            self._claim.resize(self._size)

    async def _begin(self, raw_name: str) -> None:
        """Open the file. If the path precedes it in the form, a bad path is refused before the file is sent."""
        path, renamed = (self._form.field("path"), self._form.field("filename")) if self._form else (None, None)
        name = self._name = _stored_name(renamed or raw_name)
        self._claim = await self._stack.enter_async_context(self.service.files.room.claim(name))
        target = f"{secrets.token_hex(16)}.gcode" if path is None else _upload_path(path, name)
        self._upload = await self._stack.enter_async_context(self.service.files.upload(target, name=raw_name))
        if self._is_over:  # the upload ended during the wait for the disk; the stack was closed before it held the file
            await self._stack.aclose()

    def on_connection_close(self) -> None:
        """Remove the unfinished file when the client disconnects, or its time is up."""
        super().on_connection_close()
        self._is_over = True
        if not self._is_complete:
            closing = asyncio.ensure_future(self._stack.aclose())
            _closing_tasks.add(closing)
            closing.add_done_callback(_closing_tasks.discard)

    async def post(self) -> None:
        """Store the file, or make a folder; then select and print the file if the form says so."""
        self._is_complete = True
        async with self._stack:
            fields = self._fields()
            _check_userdata(fields.get("userdata", ""))
            if fields.get("filename"):
                self._name = _stored_name(fields["filename"])
            if self._upload is not None:
                keyed = self._keyed_request(self._upload, fields)
                if keyed is not None and await self._answer_repeat(keyed, fields):
                    return
                self._keyed = keyed
                await self._answer_file(await self._commit(self._upload, fields), fields)
            elif fields.get("foldername"):
                path = _joined(fields.get("path", ""), fields["foldername"])
                self._answer_folder(await self.service.files.make_folder(path))
            else:
                raise Refused(400, "No file to upload and no folder to create")

    def _keyed_request(self, upload: Upload, fields: dict[str, str]) -> KeyedRequest | None:
        """Return the keyed request for printing the file, if any; its mark includes the file's hash and size."""
        if not is_true(fields.get("print", "")):
            return None
        return keyed_request(
            self, {**fields, "sha1": upload.sha1, "size": upload.received_bytes}, f"upload {self._name}"
        )

    async def _answer_repeat(self, keyed: KeyedRequest, fields: dict[str, str]) -> bool:
        """If the key has already begun its print, answer as the first time; tell whether it has."""
        path = _upload_path(fields.get("path", ""), self._name)
        try:
            entry = await self.service.files.info(path)
        except NoSuchFile:
            return False
        if await keyed.existing_print(self) is None:
            return False
        self._answer(entry, selected=True, printing=True)
        return True

    def _fields(self) -> dict[str, str]:
        if self._form is not None:
            self._form.end()
            return self._form.fields
        try:
            pairs = parse_qsl(self.body.decode(), keep_blank_values=True, max_num_fields=64)
        except ValueError as error:
            raise UploadBroken("the form cannot be read") from error
        return {name: value for name, value in pairs if name in FIELDS}

    async def _commit(self, upload: Upload, fields: dict[str, str]) -> TreeEntry:
        _check_whole(upload, fields)
        date = _date(fields.get("modified", ""))
        plate = _plate(fields.get("plate", ""))
        if packed_kind(bytes(self._beginning)) is not None or plate is not None:
            await self._unpack(upload, plate)
        else:
            check_content(self._name, bytes(self._beginning))  # for files shorter than `SNIFF`
        upload.path = _upload_path(fields.get("path", ""), self._name)
        upload.overwrites = not is_true(fields.get("noOverwrite", ""))
        entry = await upload.commit(date)
        if self._claim is not None:
            self._claim.is_stored = True
        return entry

    async def _unpack(self, upload: Upload, plate: int | None) -> None:
        """Replace the package by the G-code in it; only the G-code counts towards the quota."""
        left = self._claim.free_bytes if self._claim is not None else None
        limit = self.max_body if left is None else min(self.max_body, max(0, left + self._size))
        size = await upload.unpack(limit, plate)
        if self._claim is not None:
            self._claim.resize(size)

    async def _answer_file(self, entry: TreeEntry, fields: dict[str, str]) -> None:
        await self._renew_analysis(entry)
        self.publish_file_event("FileAdded", entry)
        await self.service.queue.follow_upload(entry.path)
        reason = await self._reason_not_to_print(entry, fields)
        selected, printing = await self._select(entry, fields, may_print=not reason)
        self._publish_upload(entry, fields, selected=selected, printing=printing)
        self._answer(entry, reason, selected=selected, printing=printing)

    def _answer(self, entry: TreeEntry, not_printed: str = "", *, selected: bool, printing: bool) -> None:
        self.set_status(201)
        self.set_header("Location", self.resource(entry.path))
        answer = {"done": True, "effectiveSelect": selected, "effectivePrint": printing}
        self.write(
            {"files": {"local": self.brief(entry)}, **answer, **({"notPrinted": not_printed} if not_printed else {})}
        )

    async def _renew_analysis(self, entry: TreeEntry) -> None:
        """Have the file analysed, and forget the analysis of the one that it replaces."""
        await self.service.analyses.forget(entry.path)
        self.service.analyses.enqueue(key_of(entry))

    async def _reason_not_to_print(self, entry: TreeEntry, fields: dict[str, str]) -> str:
        """Return why the file should not be printed, if the form asks for a print; "" if it may be printed."""
        if not is_true(fields.get("print", "")):
            return ""
        if not self.status().flags["operational"]:
            return "no printer is connected"
        if self.service.jobs.active:
            return "another print is in progress"
        if is_true(fields.get("force", "")):
            return ""
        try:
            self._checked_file = (await self.check(entry)).mark
        except (UnfitFile, JobConflict) as error:
            return str(error)
        except Refused as error:  # the client has given up; the file stays
            return error.text
        return ""

    def _publish_upload(self, entry: TreeEntry, fields: dict[str, str], *, selected: bool, printing: bool) -> None:
        """Publish the upload: whether it was to be selected and printed, and whether that was done."""
        file = {"name": entry.name, "path": entry.path, "target": "local"}
        requested = {name: is_true(fields.get(name, "")) for name in ("select", "print")}
        done = {"effective_select": selected, "effective_print": printing}
        self.service.events.publish("Upload", {**file, **requested, **done})

    async def _select(self, entry: TreeEntry, fields: dict[str, str], *, may_print: bool) -> tuple[bool, bool]:
        """Select and print the file if requested and possible; return whether it is selected, and printing."""
        start = is_true(fields.get("print", ""))
        is_wanted = start or is_true(fields.get("select", ""))
        try:
            if is_wanted and self.status().flags["operational"]:
                keyed = self._keyed if start and may_print else None
                await self.select(entry, keyed, self._checked_file)
                if start and may_print and keyed is None:
                    await self.service.jobs.start(self._checked_file)
                return True, start and may_print
            if self.is_selected(entry.path):
                with suppress(CoreAway):  # nobody asked for it, and the start of a print does it too
                    await self.select(entry)  # for its new size and date
        except JobConflict:
            pass
        return False, False

    def _answer_folder(self, entry: TreeEntry) -> None:
        self.publish_file_event("FolderAdded", entry)
        self.set_status(201)
        self.set_header("Location", self.resource(entry.path))
        self.write({"folder": self.brief(entry), "done": True})


def _stored_name(raw_name: str) -> str:
    """Return the name under which to store a file; a package's name loses the suffix of the packing.

    Raises:
        NotPrintable, BadFileName: it does not name G-code, or is not a valid name.
    """
    name = plain_name(raw_name)
    check_printable(name)
    check_path(name)
    return name


def _upload_path(folder: str, name: str) -> str:
    """Return the path of an upload; as in OctoPrint, `folder` replaces the folder in the file's name."""
    return _joined(folder, name.rpartition("/")[2] if folder.strip("/") else name)


def _joined(folder: str, name: str) -> str:
    """Return the path of a name in a folder; clients name the uploads folder itself "", "/" or not at all."""
    folder = folder.strip("/")
    return "/".join(check_path(f"{folder}/{name}" if folder else name))


def _check_whole(upload: Upload, fields: dict[str, str]) -> None:
    """Refuse a file whose size or hash differs from the form's `size` or `sha1`, which OctoPrint does not have."""
    size, sha1 = fields.get("size", ""), fields.get("sha1", "").strip().lower()
    if size and size != str(upload.received_bytes):
        raise UploadBroken(f"the file arrived with {upload.received_bytes} bytes, but the client announced {size[:20]}")
    if sha1 and sha1 != upload.sha1:
        raise UploadBroken("the file's SHA-1 differs from the client's: the file was damaged in transit")


def _plate(text: str) -> int | None:
    if not text.strip():
        return None
    if not text.strip().isdecimal() or len(text) > _MAX_PLATE_DIGITS:
        raise Refused(400, "plate must be the number of a plate in the 3MF file")
    return int(text)


def _date(text: str) -> float | None:
    if not text.strip():
        return None
    try:
        date = float(text)
    except ValueError:
        date = math.nan
    if not (math.isfinite(date) and date >= 0):
        raise Refused(400, "modified must be the Unix time of the file's last change, in s")
    return date


def _check_userdata(text: str) -> None:
    """Refuse user data that is not JSON, as OctoPrint does; it cannot be read back, so it is not stored."""
    if not text:
        return
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "userdata contains invalid JSON") from error
