"""Files: streamed to the disk as they come, looked at, kept under their SHA-256."""

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
from daemon.farm.list.words import FileFacts
from daemon.http.errors import Refused
from daemon.http.upload_form import UploadForm

MAX_AT_ONCE = 8
"""Uploads that come in at the same time."""

SILENT = 30.0
"""Seconds without a byte after which an upload's place is given to another one that wants it."""

KEPT_FREE = 512 * 1024 * 1024
"""Bytes that an upload leaves on the disk."""

BLOCK = 1024 * 1024
"""Bytes that are written at once."""

LONGEST_NAME, LONGEST_SUFFIX = 200, 20  # characters

SUFFIXES = (".gcode", ".gco", ".g", ".bgcode", ".gz", ".3mf")
SHA256 = r"[0-9a-f]{64}"


class FarmUpload:
    """A file that comes in: hashed and written block by block, in a thread."""

    def __init__(self, farm: FarmSeams, content_type: str) -> None:
        self.form = UploadForm(content_type)
        self._farm = farm
        self._pending = bytearray()
        self._hash = hashlib.sha256()
        self._file: BinaryIO | None = None
        self._path = farm.folder / "uploads" / f"{secrets.token_hex(8)}.part"
        self.size = 0
        self.is_whole = False

    async def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        for piece in self.form.feed(chunk):
            if isinstance(piece, bytes):
                self._pending += piece
        if len(self._pending) >= BLOCK:
            await self._flush()

    async def _flush(self) -> None:
        block, self._pending = bytes(self._pending), bytearray()
        self.size += len(block)
        await asyncio.to_thread(self._write, block)

    def _write(self, block: bytes) -> None:
        if self._file is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        if shutil.disk_usage(self._path.parent).free < KEPT_FREE + len(block):
            raise StorageFull(f"the farm's disk has less than {KEPT_FREE >> 20} MB left")
        self._hash.update(block)
        self._file.write(block)

    async def keep(self) -> FileFacts:
        """Look at the file, and keep it; raises UploadBroken, Refused."""
        self.is_whole = True
        self.form.end()
        if self.form.filename is None:
            raise Refused(400, "the form has no file")
        await self._flush()
        if not self.size:
            raise Refused(400, "the file is empty")
        await asyncio.to_thread(self._close)
        name = shown_name(self.form.filename)
        if PurePosixPath(name).suffix.lower() not in SUFFIXES:
            raise Refused(415, f"{name} is no G-code by its name: {', '.join(SUFFIXES)} are printed")
        known = FileFacts(sha256=self._hash.hexdigest(), size=self.size, name=name, at=self._farm.wall())
        try:
            facts = await self._farm.jobs.call(lambda jobs: jobs.file(known.sha256))
        except UnknownFile:
            facts = known
        facts = msgspec.structs.replace(facts, name=name)  # the same bytes may come under another name
        if facts.extent is None:  # nothing was found in it, which may have been the machine's fault
            facts = await self._looked_at(known)
        sha256, _ = await self._farm.files.take(self._path)
        if sha256 != known.sha256:
            raise Refused(500, "the file is not what came in: the disk has changed it")
        await self._farm.jobs.call(lambda jobs: jobs.put_file(facts))
        return facts

    async def _looked_at(self, known: FileFacts) -> FileFacts:
        """Return what is in the file; the analysis knows kinds of files by their names, and ours is a made-up one."""
        named = self._path.with_suffix(PurePosixPath(known.name).suffix.lower())
        picture = picture_of(self._farm.folder, known.sha256)
        await asyncio.to_thread(picture.parent.mkdir, mode=0o700, parents=True, exist_ok=True)
        await asyncio.to_thread(os.link, self._path, named)
        try:
            return await self._farm.look(named, known, picture)
        finally:
            await asyncio.to_thread(named.unlink, missing_ok=True)

    def _close(self) -> None:
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    async def drop(self) -> None:
        """Leave nothing behind of what was not kept."""
        await asyncio.to_thread(self._drop)

    def _drop(self) -> None:
        if self._file is not None:
            self._file.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def picture_of(folder: Path, sha256: str) -> Path:
    """Return where the picture of a file is kept."""
    return folder / "pictures" / sha256[:2] / f"{sha256}.png"


def shown_name(filename: str) -> str:
    """Return a file's name as it is kept: its last part, one line, what can be shown."""
    last = re.split(r"[/\\]", filename)[-1].strip()
    plain = "".join(each if each.isprintable() else "_" for each in last)
    if len(plain) > LONGEST_NAME:
        suffix = "".join(PurePosixPath(plain).suffixes[-2:])[-LONGEST_SUFFIX:]
        plain = plain[: LONGEST_NAME - len(suffix)] + suffix
    return plain.strip() or "unnamed.gcode"


class UploadingHandler(FarmHandler):
    """Base of what takes a file in a form, beside JSON."""

    upload: FarmUpload | None = None
    fed = 0.0  # when the last byte came, in loop time

    def admit(self) -> None:
        """Begin with a form, where there is one; as many at once as there may be."""
        kind = self.request.headers.get("Content-Type", "")
        if self.request.method != "POST" or not kind.lower().startswith("multipart/"):
            return
        coming: set[UploadingHandler] = self.settings["farm_uploads"]
        if len(coming) >= MAX_AT_ONCE:
            _drop_silent(coming)
        if len(coming) >= MAX_AT_ONCE:
            raise Refused(503, f"{MAX_AT_ONCE} uploads are coming in already: try again in a minute")
        self.upload = FarmUpload(self.farm, kind)
        self.fed = asyncio.get_running_loop().time()
        coming.add(self)

    @property
    def max_body(self) -> int:  # type: ignore[override]  # it depends on what comes
        """A file may be large."""
        kind = self.request.headers.get("Content-Type", "").lower()
        return self.farm.max_upload if kind.startswith("multipart/") else FarmHandler.max_body

    async def take(self, chunk: bytes) -> None:
        """Write a file to the disk."""
        if self.upload is None:
            await super().take(chunk)
        else:
            self.fed = asyncio.get_running_loop().time()
            await self.upload.feed(chunk)

    async def give_up(self) -> None:
        """Leave no part of a file behind."""
        if self.upload is not None:
            upload, self.upload = self.upload, None
            self.settings["farm_uploads"].discard(self)
            await upload.drop()

    def on_finish(self) -> None:
        """Clean up behind the answer."""
        self._clean_up()

    def on_connection_close(self) -> None:
        """Clean up where the client has gone in the middle of the body; a file that is whole is kept."""
        if self.upload is not None and not self.upload.is_whole:
            self._clean_up()

    def _clean_up(self) -> None:
        if self.upload is not None:
            task = asyncio.ensure_future(self.give_up())
            self.settings["farm_tasks"].add(task)
            task.add_done_callback(self.settings["farm_tasks"].discard)


def _drop_silent(coming: set[UploadingHandler]) -> None:
    """Hang up on clients that send nothing any more, such as a phone that has fallen asleep."""
    now = asyncio.get_running_loop().time()
    for each in [one for one in coming if now - one.fed > SILENT and one.upload and not one.upload.is_whole]:
        coming.discard(each)
        each.request.connection.close()  # type: ignore[union-attr]  # Tornado's type leaves it to HTTP1Connection


class FarmFilesHandler(UploadingHandler):
    """/api/farm/files."""

    async def post(self) -> None:
        """Take a file, without making a job of it."""
        if self.upload is None:
            raise Refused(415, "an upload is a form: multipart/form-data")
        self.answer(await self.upload.keep(), 201)


class FileFactsHandler(FarmHandler):
    """/api/farm/files/<sha256>."""

    async def get(self, sha256: str) -> None:
        """Tell what is known of a file."""
        self.answer(await self.ask(lambda jobs: jobs.file(sha256)))


class ThumbnailsHandler(FarmHandler):
    """/api/farm/files/<sha256>/thumbnail."""

    async def get(self, sha256: str) -> None:
        """Give the picture that a slicer has put into the file."""
        path = picture_of(self.farm.folder, sha256)
        try:
            data = await asyncio.to_thread(path.read_bytes)
        except OSError:
            raise Refused(404, "this file has no picture") from None
        self.set_header("Content-Type", "image/png")
        self.set_header("Cache-Control", "private, max-age=86400, immutable")
        self.write(data)


def left_behind(folder: Path) -> None:
    """Remove what uploads of an earlier process have left."""
    for path in (folder / "uploads").glob("*"):
        if re.fullmatch(r"[0-9a-f]{16}\.\w+", path.name):
            path.unlink(missing_ok=True)
