"""/downloads/files: uploaded files. They are read in a thread, one block at a time.

A request for one range of bytes gets that range (RFC 9110, section 14); one for several gets the whole file.
"""

import asyncio
import os
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from tornado.iostream import StreamClosedError

from daemon.front.http.base import ApiHandler
from daemon.http.errors import Refused

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
BLOCK = 256 * 1024  # bytes per hop to a thread
STALL_TIMEOUT = 60.0  # s for a client to read a block


class SendingHandler(ApiHandler):
    """Base of the handlers that send an open file, or a range of it."""

    async def send(self, file: BinaryIO, describe: Callable[[os.stat_result], None]) -> None:
        """Send the file, and close it.

        Args:
            file: the open file.
            describe: sets the headers about the file, the ETag among them.
        """
        try:
            status = os.fstat(file.fileno())
            self.set_header("Content-Type", "application/octet-stream")
            self.set_header("Accept-Ranges", "bytes")
            with suppress(ValueError, OverflowError):  # before the year 1 or after 9999; the ETag is enough
                self.set_header("Last-Modified", datetime.fromtimestamp(status.st_mtime, UTC))
            describe(status)
            if self._is_unchanged(status.st_mtime):
                self.set_status(304)
                return
            if (requested := self._range(status.st_size)) is None:
                self.set_status(416)
                self.set_header("Content-Range", f"bytes */{status.st_size}")
                self.write({"error": f"the file has {status.st_size} bytes"})
                return
            first, length = requested
            await asyncio.to_thread(file.seek, first)
            await self._send(file, length)
        except StreamClosedError:
            return  # the client has gone
        except TimeoutError:
            self.detach().close()
        finally:
            await asyncio.to_thread(file.close)

    def _is_unchanged(self, modified: float) -> bool:
        """Tell whether the client has the current file; a date counts only without an ETag (RFC 9110, 13.2.2)."""
        if "If-None-Match" in self.request.headers:
            return self.check_etag_header()
        try:
            date = parsedate_to_datetime(self.request.headers.get("If-Modified-Since", ""))
            return int(modified) <= date.timestamp()
        except (ValueError, OverflowError):
            return False

    def _range(self, size: int) -> tuple[int, int] | None:
        """Return offset and length of the requested bytes; None: the file has no such bytes."""
        requested = _RANGE.fullmatch(self.request.headers.get("Range", "").replace(" ", ""))
        if requested is None or not any(requested.groups()) or not self._is_range_current():
            return 0, size
        first, last = requested.groups()
        begin = int(first) if first else max(0, size - int(last))  # "-500": the last 500
        end = min(int(last), size - 1) if first and last else size - 1
        if first and last and int(last) < begin:
            return 0, size  # not a valid range
        if begin > end:
            return None
        self.set_status(206)
        self.set_header("Content-Range", f"bytes {begin}-{end}/{size}")
        return begin, end - begin + 1

    def _is_range_current(self) -> bool:
        """Tell whether the part that the client has belongs to the current file (If-Range)."""
        validator = self.request.headers.get("If-Range", "")
        return not validator or validator in (self._headers["ETag"], self._headers.get("Last-Modified"))

    async def _send(self, file: BinaryIO, size: int) -> None:
        """Send exactly this many bytes: the file may grow meanwhile."""
        self.set_header("Content-Length", str(size))
        if self.request.method == "HEAD":
            return
        while size > 0:
            block = await asyncio.to_thread(file.read, min(BLOCK, size))
            if not block:
                self.detach().close()  # the file was truncated: the client must notice that it got too little
                return
            size -= len(block)
            self.write(block)
            async with asyncio.timeout(STALL_TIMEOUT):
                await self.flush()


class DownloadHandler(SendingHandler):
    """/downloads/files/local/<path>."""

    accepts_signed_address = True

    async def get(self, path: str) -> None:
        """Send the file, as an attachment: a browser stores it instead of showing it."""
        entry = await self.service.files.info(path)
        if entry.type == "folder":
            raise Refused(404, f"{path} is a folder")
        await self.send_file(await asyncio.to_thread(self.service.files.resolve, entry.path), entry.name)

    async def send_file(self, path: Path, name: str) -> None:
        """Send a file under this name."""
        file = await asyncio.to_thread(_open, path, name)
        await self.send(file, lambda status: self._describe(name, status))

    def _describe(self, name: str, status: os.stat_result) -> None:
        self.set_header("Content-Disposition", f"attachment; filename*=UTF-8''{quote(name, safe='')}")
        self.set_header("ETag", f'"{status.st_size:x}-{status.st_mtime_ns:x}-{status.st_ino:x}"')


def _open(path: Path, name: str) -> BinaryIO:
    try:
        return path.open("rb", buffering=0)
    except OSError as error:
        raise Refused(404, f"{name}: {error.strerror}") from error
