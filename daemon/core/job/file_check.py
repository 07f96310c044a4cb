"""Checks in the background, during the print, that a file is still what was uploaded.

Size, time and inode identify a file at once. They do not show that its bytes are the same: a failing card may return
other bytes, and a time can be set back. So after a reattachment the file is hashed once more, slowly, in the thread
that reads for the print, so that the two never compete for the disk.
"""

import asyncio
import os
from concurrent.futures import Executor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import hashlib

PIECE = 128 * 1024  # bytes read at once; meanwhile the print lives on its 1 MiB of lines read ahead
PAUSE = 0.1  # s between two pieces; 300 MB take four minutes


async def sha1_of(fd: int, executor: Executor) -> str:
    """Return the SHA-1 of an open file.

    Raises:
        OSError: it cannot be read.
    """
    import hashlib  # noqa: PLC0415 - 3.5 MB, needed only after a reattachment

    loop = asyncio.get_running_loop()
    digest, at = hashlib.sha1(usedforsecurity=False), 0
    while size := await loop.run_in_executor(executor, _add, digest, fd, at):
        at += size
        await asyncio.sleep(PAUSE)
    return digest.hexdigest()


def _add(digest: "hashlib._Hash", fd: int, at: int) -> int:
    """Hash the next piece, which releases the interpreter's lock; return its size, 0 at the end."""
    piece = os.pread(fd, PIECE, at)
    digest.update(piece)
    return len(piece)
