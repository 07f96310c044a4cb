"""/downloads/files: an uploaded file, as it was sent; read in a thread, never more of it than one block in memory."""

import asyncio
import os
from typing import BinaryIO
from urllib.parse import quote

from tornado.iostream import StreamClosedError

from daemon.front.http.base import ApiHandler
from daemon.front.http.errors import Refused

BLOCK = 256 * 1024  # bytes per hop to a thread
STALLED = 60.0  # s; who has not read a block by then has gone away


class DownloadHandler(ApiHandler):
    """/downloads/files/local/<path>."""

    async def get(self, path: str) -> None:
        """Send the file; a browser is to store it, not to show it."""
        entry = await self.service.files.info(path)
        if entry.type == "folder":
            raise Refused(404, f"{path} is a folder")
        file = await asyncio.to_thread(self._open, entry.path)
        try:
            self.set_header("Content-Type", "application/octet-stream")
            self.set_header("Content-Disposition", f"attachment; filename*=UTF-8''{quote(entry.name, safe='')}")
            await self._send(file, os.fstat(file.fileno()).st_size)
        except StreamClosedError:
            return  # the client has gone
        except TimeoutError:
            self.detach().close()
        finally:
            await asyncio.to_thread(file.close)

    def _open(self, path: str) -> BinaryIO:
        try:
            return self.service.files.resolve(path).open("rb", buffering=0)
        except OSError as error:
            raise Refused(404, f"{path}: {error.strerror}") from error

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
