"""The body of an upload: multipart/form-data, read from the file in blocks while it is sent."""

import asyncio
import errno
import os
import secrets
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from urllib.parse import quote

from tornado.iostream import StreamClosedError

from daemon.client.errors import FileChanged

BLOCK = 64 * 1024

ShowProgress = Callable[[int, int], object]
"""Is called with the number of bytes sent so far, and with the total."""


class FormBody:
    """A form with fields followed by one file, in the order that slicers use."""

    def __init__(
        self, fields: Mapping[str, str], source: Path | bytes, name: str, progress: ShowProgress | None = None
    ) -> None:
        """Read the file's size; its contents are not read yet.

        Raises:
            OSError: the file's size cannot be read, or it is no regular file.
        """
        boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._head = form_fields(fields, boundary) + _file_header(name, boundary)
        self._source = source
        self._size = len(source) if isinstance(source, bytes) else _size(source)
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._progress = progress
        self.failure: Exception | None = None  # why the body could not be sent completely
        self.hang_up = asyncio.Event()  # set: the server has closed the connection while the body was being sent
        self.length = len(self._head) + self._size + len(self._tail)

    async def write_to(self, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Send the body; an error in reading the file is also stored in `failure`."""
        try:
            async for piece in self.pieces():
                await write(piece)
        except (OSError, FileChanged) as error:
            if isinstance(error, StreamClosedError):  # an error of the connection
                self.hang_up.set()
            else:
                self.failure = error
            raise

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body.

        Raises:
            FileChanged: the file was truncated meanwhile.
            OSError: the file cannot be read.
        """
        yield self._head
        sent = 0
        async for block in self._blocks():
            yield block
            sent += len(block)
            if self._progress is not None:
                self._progress(sent, self._size)
        if sent < self._size:
            raise FileChanged(f"{self._source!s} had {self._size} bytes when its upload started, and now has {sent}")
        yield self._tail

    async def _blocks(self) -> AsyncIterator[bytes]:
        """Yield the file's bytes, at most as many as it had at the beginning."""
        if isinstance(self._source, bytes):
            for start in range(0, self._size, BLOCK):
                yield self._source[start : start + BLOCK]
            return
        file = await asyncio.to_thread(os.open, self._source, os.O_RDONLY)
        try:
            remaining = self._size
            while remaining and (block := await asyncio.to_thread(os.read, file, min(BLOCK, remaining))):
                yield block
                remaining -= len(block)
        finally:
            os.close(file)


def _size(path: Path) -> int:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):  # a folder is refused when it is read
        raise OSError(errno.EINVAL, "it is not a regular file, so its size is not known", str(path))
    return status.st_size


def as_unicode(name: str) -> str:
    """Return a name with question marks for bytes that are not UTF-8; names on a disk and arguments may have such."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def form_fields(fields: Mapping[str, str], boundary: str) -> bytes:
    """Return the fields of a form, each as a part of its own."""
    part = '--{}\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    return "".join(part.format(boundary, name, as_unicode(value)) for name, value in fields.items()).encode()


def _file_header(name: str, boundary: str) -> bytes:
    """Return the part's headers; a name that HTTP headers cannot hold is encoded by RFC 5987."""
    name = as_unicode(name)
    plain = name.isascii() and name.isprintable() and not set('"\\%') & set(name)
    parameter = f'filename="{name}"' if plain else f"filename=\"file.gcode\"; filename*=UTF-8''{quote(name, safe='')}"
    return (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; {parameter}\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()
