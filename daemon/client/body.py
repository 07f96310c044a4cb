"""The body of an upload: multipart/form-data, read from the file block by block while it is sent."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from urllib.parse import quote

from tornado.iostream import StreamClosedError

from daemon.client.errors import FileChanged

BLOCK = 64 * 1024

Progress = Callable[[int, int], object]
"""Called with the bytes sent so far, and with all that are to be sent."""


class FormBody:
    """A form with some fields and one file behind them; slicers send them in this order too."""

    def __init__(
        self, fields: Mapping[str, str], source: Path | bytes, name: str, progress: Progress | None = None
    ) -> None:
        """Take a note of the file's size; nothing is read yet.

        Raises:
            OSError: the file cannot be looked at.
        """
        boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._head = form_fields(fields, boundary) + _file_header(name, boundary)
        self._source = source
        self._size = len(source) if isinstance(source, bytes) else source.stat().st_size
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._progress = progress
        self.failure: Exception | None = None  # why the body could not be sent to its end
        self.hung_up = asyncio.Event()  # the server has closed the connection in the middle of it
        self.length = len(self._head) + self._size + len(self._tail)

    async def write_to(self, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Send the body; what goes wrong on this side is kept in `failure` too."""
        try:
            async for piece in self.pieces():
                await write(piece)
        except (OSError, FileChanged) as error:
            if isinstance(error, StreamClosedError):  # the exchange's own trouble
                self.hung_up.set()
            else:
                self.failure = error
            raise

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body.

        Raises:
            FileChanged: the file has become shorter meanwhile.
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
            raise FileChanged(f"{self._source!s} had {self._size} bytes when its upload began, now it has {sent}")
        yield self._tail

    async def _blocks(self) -> AsyncIterator[bytes]:
        """Yield the file's bytes, as many as it had in the beginning; a file that grows is cut there."""
        if isinstance(self._source, bytes):
            for start in range(0, self._size, BLOCK):
                yield self._source[start : start + BLOCK]
            return
        file = await asyncio.to_thread(os.open, self._source, os.O_RDONLY)
        try:
            left = self._size
            while left and (block := await asyncio.to_thread(os.read, file, min(BLOCK, left))):
                yield block
                left -= len(block)
        finally:
            os.close(file)


def form_fields(fields: Mapping[str, str], boundary: str) -> bytes:
    """Return the fields of a form, each as a part of its own."""
    part = '--{}\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    return "".join(part.format(boundary, name, value) for name, value in fields.items()).encode()


def _file_header(name: str, boundary: str) -> bytes:
    """Return what stands before the file's bytes; a name that HTTP headers cannot hold goes by RFC 5987."""
    name = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")  # what the disk has may be no UTF-8
    plain = name.isascii() and name.isprintable() and not set('"\\%') & set(name)
    told = f'filename="{name}"' if plain else f"filename=\"file.gcode\"; filename*=UTF-8''{quote(name, safe='')}"
    return (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; {told}\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()
