"""Checks in the background, during the print, that a file is still what was uploaded.

Size, time and inode identify a file at once, but they do not show that its bytes are the same: a failing card may
return other bytes, and a time can be set back. So after a reattachment the file is hashed, slowly. The thread that
reads for the print does this too, so print and check never compete for the disk.
"""

import asyncio
import os
from concurrent.futures import Executor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import hashlib

PIECE = 128 * 1024  # bytes read at once; meanwhile the print uses the 1 MiB that was read ahead
READ_INTERVAL = 0.1  # s between two pieces; 300 MB take four minutes


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
        await asyncio.sleep(READ_INTERVAL)
    return digest.hexdigest()


def _add(digest: "hashlib._Hash", fd: int, at: int) -> int:
    """Hash the next piece, without holding the interpreter's lock; return its size, 0 at the end of the file."""
    piece = os.pread(fd, PIECE, at)
    digest.update(piece)
    return len(piece)
