"""/api/files/local: take files in, as they come: a block in memory, the rest on disk, nothing left of half a file."""

import asyncio
import json
import secrets
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from daemon.errors import FileExists, JobConflict, NoSuchFile, UploadBroken
from daemon.filenames import check_path, check_printable
from daemon.files import Entry, Upload
from daemon.http.base import ApiHandler, is_true
from daemon.http.errors import Refused
from daemon.http.files import FilesHandler
from daemon.http.multipart_form import KEPT, FileBegins, UploadForm

if TYPE_CHECKING:
    from daemon.app import Service

MIN_RATE = 32 * 1024  # bytes/s; whoever is slower than that for a whole file has gone away
GRACE = 60.0  # s on top of it

_closing: set[asyncio.Future[None]] = set()  # the loop alone does not keep them from being collected

_MULTIPART = "multipart/form-data"
_URLENCODED = "application/x-www-form-urlencoded"


class UploadHandler(FilesHandler):
    """/api/files/local."""

    def initialize(self, service: "Service") -> None:
        """Prepare for a form; `max_body` is the largest upload there."""
        super().initialize(service)
        self._stack = AsyncExitStack()  # holds the upload: closed without a commit, nothing is left of it
        self._form: UploadForm | None = None
        self._upload: Upload | None = None
        self._name = ""
        self._complete = False
        if self.request.method == "POST":
            self.max_body = service.config.http.max_upload_mib * 1024 * 1024

    async def get(self) -> None:
        """List the files, and how much room is left."""
        self.write(await self.listing())

    def admit(self) -> None:
        """Refuse what is no form; give its body the time that its size needs."""
        if self.request.method != "POST":
            return
        content_type = self.request.headers.get("Content-Type", "")
        kind = content_type.partition(";")[0].strip().lower()
        if kind == _MULTIPART:
            self._form = UploadForm(content_type)
            length = self.request.headers.get("Content-Length", "")
            size = int(length) if length.isdecimal() else self.max_body
            self.request.connection.set_body_timeout(GRACE + size / MIN_RATE)  # type: ignore[union-attr]  # HTTP1Connection has it
        elif kind == _URLENCODED:
            self.max_body = ApiHandler.max_body
            self._check_size()
        else:
            raise Refused(400, "No file to upload and no folder to create")

    async def take(self, chunk: bytes) -> None:
        """Pass the bytes of the file on, and return when they are on their way to the disk."""
        if self._form is None:
            await super().take(chunk)
            return
        for event in self._form.feed(chunk):
            if isinstance(event, FileBegins):
                await self._begin(event)
            elif self._upload is not None:
                await self._upload.write(event)

    async def give_up(self) -> None:
        """Drop what came of the file."""
        await self._stack.aclose()

    async def _begin(self, name: str) -> None:
        """Open the file. Where the path has come already, what is wrong with it is said before all bytes are sent."""
        check_printable(name)
        check_path(name)
        self._name = name
        known = self._form.known("path") if self._form is not None else None
        early = f"{secrets.token_hex(16)}.gcode" if known is None else _joined(known, name)
        self._upload = await self._stack.enter_async_context(self.service.files.upload(early, name=name))

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
            if self._upload is not None:
                await self._answer_file(await self._commit(self._upload, fields), fields)
            elif fields.get("foldername"):
                path = _joined(fields.get("path", ""), fields["foldername"])
                self._answer_folder(await self.service.files.make_folder(path))
            else:
                raise Refused(400, "No file to upload and no folder to create")

    def _fields(self) -> dict[str, str]:
        if self._form is not None:
            self._form.end()
            return self._form.fields
        try:
            given = parse_qsl(self.body.decode(), keep_blank_values=True, max_num_fields=64)
        except ValueError as error:
            raise UploadBroken("the form cannot be read") from error
        return {name: value for name, value in given if name in KEPT}

    async def _commit(self, upload: Upload, fields: dict[str, str]) -> Entry:
        upload.path = _joined(fields.get("path", ""), self._name)
        if is_true(fields.get("noOverwrite", "")):
            await self._require_free(upload.path)
        return await upload.commit()

    async def _require_free(self, path: str) -> None:
        try:
            await self.service.files.info(path)
        except NoSuchFile:
            return
        raise FileExists(f"{path} exists")

    async def _answer_file(self, entry: Entry, fields: dict[str, str]) -> None:
        selected, printing = self._select(entry, fields)
        self.set_status(201)
        self.set_header("Location", self.resource(entry.path))
        self.write(
            {
                "files": {"local": self.brief(entry)},
                "done": True,
                "effectiveSelect": selected,
                "effectivePrint": printing,
            }
        )

    def _select(self, entry: Entry, fields: dict[str, str]) -> tuple[bool, bool]:
        """Select and print as asked for, if that can be; return what was done. The upload stands in any case."""
        start = is_true(fields.get("print", ""))
        wanted = start or is_true(fields.get("select", ""))
        try:
            if wanted and self.status().flags["operational"]:
                self.select(entry)
                if start:
                    self.service.jobs.start()
                return True, start
            if self.is_selected(entry.path):
                self.select(entry)  # its size and date are new
        except JobConflict:
            pass
        return False, False

    def _answer_folder(self, entry: Entry) -> None:
        self.set_status(201)
        self.set_header("Location", self.resource(entry.path))
        self.write({"folder": self.brief(entry), "done": True})


def _joined(folder: str, name: str) -> str:
    """Return the path of a name in a folder; clients write the uploads' own folder as "", "/" or not at all."""
    folder = folder.strip("/")
    return "/".join(check_path(f"{folder}/{name}" if folder else name))


def _check_userdata(text: str) -> None:
    """Refuse data that is no JSON, as OctoPrint does; nobody asks for it again, so it is not kept."""
    if not text:
        return
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "userdata contains invalid JSON") from error
