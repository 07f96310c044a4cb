"""/downloads/files: an uploaded file, as it was sent; read in a thread, never more of it than one block in memory.

Whole, or the one range of bytes that is asked for (RFC 9110, section 14); several at once get the whole.
"""

import asyncio
import os
import re
from collections.abc import Callable
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
STALLED = 60.0  # s; who has not read a block by then has gone away


class SendingHandler(ApiHandler):
    """Base: sends an open file, or a part of it."""

    async def send(self, file: BinaryIO, describe: Callable[[os.stat_result], None]) -> None:
        """Send the file, and close it.

        Args:
            file: read in a thread.
            describe: sets the headers that tell what it is, the ETag among them.
        """
        try:
            found = os.fstat(file.fileno())
            self.set_header("Content-Type", "application/octet-stream")
            self.set_header("Accept-Ranges", "bytes")
            self.set_header("Last-Modified", datetime.fromtimestamp(found.st_mtime, UTC))
            describe(found)
            if self._is_known(found.st_mtime):
                self.set_status(304)
                return
            if (wanted := self._range(found.st_size)) is None:
                self.set_status(416)
                self.set_header("Content-Range", f"bytes */{found.st_size}")
                self.write({"error": f"the file has {found.st_size} bytes"})
                return
            first, length = wanted
            await asyncio.to_thread(file.seek, first)
            await self._send(file, length)
        except StreamClosedError:
            return  # the client has gone
        except TimeoutError:
            self.detach().close()
        finally:
            await asyncio.to_thread(file.close)

    def _is_known(self, changed: float) -> bool:
        """Tell whether the client has this very file; its date counts where it has no ETag (RFC 9110, 13.2.2)."""
        if "If-None-Match" in self.request.headers:
            return self.check_etag_header()
        try:
            known = parsedate_to_datetime(self.request.headers.get("If-Modified-Since", ""))
            return int(changed) <= known.timestamp()
        except (ValueError, OverflowError):
            return False

    def _range(self, size: int) -> tuple[int, int] | None:
        """Return where the wanted bytes begin, and how many they are; None: the file has no such bytes."""
        wanted = _RANGE.fullmatch(self.request.headers.get("Range", "").replace(" ", ""))
        if wanted is None or not any(wanted.groups()) or not self._is_same():
            return 0, size
        first, last = wanted.groups()
        begin = int(first) if first else max(0, size - int(last))  # "-500": the last 500
        end = min(int(last), size - 1) if first and last else size - 1
        if first and last and int(last) < begin:
            return 0, size  # no range at all
        if begin > end:
            return None
        self.set_status(206)
        self.set_header("Content-Range", f"bytes {begin}-{end}/{size}")
        return begin, end - begin + 1

    def _is_same(self) -> bool:
        """Tell whether it is the file of which the client has the beginning (If-Range)."""
        known = self.request.headers.get("If-Range", "")
        return not known or known in (self._headers["ETag"], self._headers["Last-Modified"])

    async def _send(self, file: BinaryIO, size: int) -> None:
        """Send as many bytes as were promised; it may be appended to meanwhile."""
        self.set_header("Content-Length", str(size))
        if self.request.method == "HEAD":
            return
        while size > 0:
            block = await asyncio.to_thread(file.read, min(BLOCK, size))
            if not block:
                self.detach().close()  # cut short meanwhile: the client must see that this is not all
                return
            size -= len(block)
            self.write(block)
            async with asyncio.timeout(STALLED):
                await self.flush()


class DownloadHandler(SendingHandler):
    """/downloads/files/local/<path>."""

    signable = True

    async def get(self, path: str) -> None:
        """Send the file; a browser is to store it, not to show it."""
        entry = await self.service.files.info(path)
        if entry.type == "folder":
            raise Refused(404, f"{path} is a folder")
        await self.send_file(self.service.files.resolve(entry.path), entry.name)

    async def send_file(self, path: Path, name: str) -> None:
        """Send a file under this name."""
        file = await asyncio.to_thread(_open, path, name)
        await self.send(file, lambda found: self._describe(name, found))

    def _describe(self, name: str, found: os.stat_result) -> None:
        """Tell what it is, and by what it is known again."""
        self.set_header("Content-Disposition", f"attachment; filename*=UTF-8''{quote(name, safe='')}")
        self.set_header("ETag", f'"{found.st_size:x}-{found.st_mtime_ns:x}-{found.st_ino:x}"')


def _open(path: Path, name: str) -> BinaryIO:
    try:
        return path.open("rb", buffering=0)
    except OSError as error:
        raise Refused(404, f"{name}: {error.strerror}") from error
