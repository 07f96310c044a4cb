"""Uploads: files are streamed to the disk, analysed, and stored under their SHA-256."""

import asyncio
import hashlib
import os
import re
import secrets
import shutil
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import msgspec

from daemon.errors import StorageFull
from daemon.farm.errors import UnknownFile
from daemon.farm.http.base import FarmHandler
from daemon.farm.http.seams import FarmSeams
from daemon.farm.list.values import FileFacts
from daemon.http.errors import Refused
from daemon.http.upload_form import UploadForm

MAX_UPLOADS = 8
"""Uploads at the same time."""

STALLED_AFTER_S = 30.0
"""Seconds without a byte after which an upload may be dropped in favour of another one."""

MIN_FREE = 512 * 1024 * 1024
"""Bytes that uploads leave free on the disk."""

BLOCK = 1024 * 1024
"""Bytes of one write."""

MAX_NAME, MAX_SUFFIX = 200, 20  # characters

SUFFIXES = (".gcode", ".gco", ".g", ".bgcode", ".gz", ".3mf")
SHA256 = r"[0-9a-f]{64}"


class FarmUpload:
    """An upload in progress: hashed and written block by block, in a thread."""

    def __init__(self, farm: FarmSeams, content_type: str) -> None:
        self.form = UploadForm(content_type)
        self._farm = farm
        self._pending_bytes = bytearray()
        self._hash = hashlib.sha256()
        self._file: BinaryIO | None = None
        self._path = farm.folder / "uploads" / f"{secrets.token_hex(8)}.part"
        self.size = 0
        self.is_complete = False

    async def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        for piece in self.form.feed(chunk):
            if isinstance(piece, bytes):
                self._pending_bytes += piece
        if len(self._pending_bytes) >= BLOCK:
            await self._flush()

    async def _flush(self) -> None:
        block, self._pending_bytes = bytes(self._pending_bytes), bytearray()
        self.size += len(block)
        await asyncio.to_thread(self._write, block)

    def _write(self, block: bytes) -> None:
        if self._file is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        if shutil.disk_usage(self._path.parent).free < MIN_FREE + len(block):
            raise StorageFull(f"the farm's disk has less than {MIN_FREE >> 20} MB left")
        self._hash.update(block)
        self._file.write(block)

    async def store(self) -> FileFacts:
        """Check, analyse and store the file; raises UploadBroken, Refused."""
        self.is_complete = True
        self.form.end()
        if self.form.filename is None:
            raise Refused(400, "the form has no file")
        await self._flush()
        if not self.size:
            raise Refused(400, "the file is empty")
        await asyncio.to_thread(self._close)
        name = shown_name(self.form.filename)
        if PurePosixPath(name).suffix.lower() not in SUFFIXES:
            raise Refused(415, f"{name} does not look like G-code: its name must end in {', '.join(SUFFIXES)}")
        upload_facts = FileFacts(sha256=self._hash.hexdigest(), size=self.size, name=name, at=self._farm.wall())
        try:
            facts = await self._farm.jobs.call(lambda jobs: jobs.file(upload_facts.sha256))
        except UnknownFile:
            facts = upload_facts
        facts = msgspec.structs.replace(facts, name=name)  # the same bytes may be uploaded under another name
        if facts.extent is None:  # there was no analysis, or it ran out of memory or time
            facts = await self._analyse(upload_facts)
        sha256, _ = await self._farm.files.add(self._path)
        if sha256 != upload_facts.sha256:
            raise Refused(500, "the stored file differs from the upload: check the server's disk")
        await self._farm.jobs.call(lambda jobs: jobs.put_file(facts))
        return facts

    async def _analyse(self, upload_facts: FileFacts) -> FileFacts:
        """Analyse the file under its own suffix, which tells the analysis the format."""
        picture = picture_of(self._farm.folder, upload_facts.sha256)
        await asyncio.to_thread(picture.parent.mkdir, mode=0o700, parents=True, exist_ok=True)
        await asyncio.to_thread(self._rename, PurePosixPath(upload_facts.name).suffix.lower())
        return await self._farm.analyse(self._path, upload_facts, picture)

    def _rename(self, suffix: str) -> None:
        self._path = self._path.rename(self._path.with_suffix(suffix))

    def _close(self) -> None:
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    async def drop(self) -> None:
        """Remove a file that was not stored."""
        await asyncio.to_thread(self._drop)

    def _drop(self) -> None:
        if self._file is not None:
            self._file.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def picture_of(folder: Path, sha256: str) -> Path:
    """Return the path of a file's picture."""
    return folder / "pictures" / sha256[:2] / f"{sha256}.png"


def shown_name(filename: str) -> str:
    """Return the name of a file for users: the last part of its path, as one printable line."""
    last = re.split(r"[/\\]", filename)[-1].strip()
    plain = "".join(each if each.isprintable() else "_" for each in last)
    if len(plain) > MAX_NAME:
        suffix = "".join(PurePosixPath(plain).suffixes[-2:])[-MAX_SUFFIX:]
        plain = plain[: MAX_NAME - len(suffix)] + suffix
    return plain.strip() or "unnamed.gcode"


class UploadingHandler(FarmHandler):
    """Base of handlers that take a file in a form, or JSON."""

    upload: FarmUpload | None = None
    fed_at = 0.0  # when the last byte arrived, in loop time

    def admit(self) -> None:
        """Begin an upload if the body is a form, and not too many are in progress."""
        kind = self.request.headers.get("Content-Type", "")
        if self.request.method != "POST" or not kind.lower().startswith("multipart/"):
            return
        uploads: set[UploadingHandler] = self.settings["farm_uploads"]
        if len(uploads) >= MAX_UPLOADS:
            _drop_stalled(uploads)
        if len(uploads) >= MAX_UPLOADS:
            raise Refused(503, f"{MAX_UPLOADS} uploads are in progress already: try again in a minute")
        self.upload = FarmUpload(self.farm, kind)
        self.fed_at = asyncio.get_running_loop().time()
        uploads.add(self)

    @property
    def max_body(self) -> int:  # type: ignore[override]  # it depends on the content type
        """The limit of the body: a file may be large."""
        kind = self.request.headers.get("Content-Type", "").lower()
        return self.farm.max_upload if kind.startswith("multipart/") else FarmHandler.max_body

    async def take(self, chunk: bytes) -> None:
        """Write the next bytes of a file to the disk."""
        if self.upload is None:
            await super().take(chunk)
        else:
            self.fed_at = asyncio.get_running_loop().time()
            await self.upload.feed(chunk)

    async def give_up(self) -> None:
        """Remove the part of the file that has arrived."""
        if self.upload is not None:
            upload, self.upload = self.upload, None
            self.settings["farm_uploads"].discard(self)
            await upload.drop()

    def on_finish(self) -> None:
        """Clean up after the answer."""
        self._clean_up()

    def on_connection_close(self) -> None:
        """Clean up if the client has gone in the middle of the body; a complete file is stored nevertheless."""
        super().on_connection_close()
        if self.upload is not None and not self.upload.is_complete:
            self._clean_up()

    def _clean_up(self) -> None:
        if self.upload is not None:
            task = asyncio.ensure_future(self.give_up())
            self.settings["farm_tasks"].add(task)
            task.add_done_callback(self.settings["farm_tasks"].discard)


def _drop_stalled(uploads: set[UploadingHandler]) -> None:
    """Close the connections of clients that have stopped sending, such as a phone that has fallen asleep."""
    now = asyncio.get_running_loop().time()
    for handler in [*uploads]:
        if handler.upload is None or handler.upload.is_complete or now - handler.fed_at <= STALLED_AFTER_S:
            continue
        uploads.discard(handler)
        handler.request.connection.close()  # type: ignore[union-attr]  # Tornado's type leaves it to HTTP1Connection


class FarmFilesHandler(UploadingHandler):
    """/api/farm/files."""

    async def post(self) -> None:
        """Store a file, without a job."""
        if self.upload is None:
            raise Refused(415, "an upload must be a form: multipart/form-data")
        self.answer(await self.upload.store(), 201)


class FileFactsHandler(FarmHandler):
    """/api/farm/files/<sha256>."""

    async def get(self, sha256: str) -> None:
        """Send the facts about a file."""
        self.answer(await self.ask(lambda jobs: jobs.file(sha256)))


class ThumbnailsHandler(FarmHandler):
    """/api/farm/files/<sha256>/thumbnail."""

    async def get(self, sha256: str) -> None:
        """Send the picture that a slicer has put into the file."""
        path = picture_of(self.farm.folder, sha256)
        try:
            data = await asyncio.to_thread(path.read_bytes)
        except OSError:
            raise Refused(404, "this file has no picture") from None
        self.set_header("Content-Type", "image/png")
        self.set_header("Cache-Control", "private, max-age=86400, immutable")
        self.write(data)


def remove_leftovers(folder: Path) -> None:
    """Remove the unfinished uploads of an earlier process."""
    for path in (folder / "uploads").glob("*"):
        if re.fullmatch(r"[0-9a-f]{16}\.\w+", path.name):
            path.unlink(missing_ok=True)
