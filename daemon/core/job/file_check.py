"""Whether a file is still what was uploaded, found out in the background while it is printed.

By size, time and inode a file is known again at once. What they do not tell is whether its bytes are the same: a card
may give back others than were written, and a time can be put back. So a print that went on with another host, or behind
another cable, has its file read once more, slowly, through the thread that reads for the print: the two never compete.
"""

import asyncio
import os
from concurrent.futures import Executor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import hashlib

PIECE = 128 * 1024  # bytes read at once; the print has 1 MiB in hand, and waits behind a piece for its next block
PAUSE = 0.1  # s between two pieces; 300 MB take four minutes


async def sha1_of(fd: int, executor: Executor) -> str:
    """Return the hash of an open file.

    Raises:
        OSError: it cannot be read.
    """
    import hashlib  # noqa: PLC0415 - 3.5 MB, for a print that has been taken over

    loop = asyncio.get_running_loop()
    digest, at = hashlib.sha1(usedforsecurity=False), 0
    while size := await loop.run_in_executor(executor, _add, digest, fd, at):
        at += size
        await asyncio.sleep(PAUSE)
    return digest.hexdigest()


def _add(digest: "hashlib._Hash", fd: int, at: int) -> int:
    """Take in the next piece, which needs no lock of the interpreter; return its size, 0 at the end."""
    piece = os.pread(fd, PIECE, at)
    digest.update(piece)
    return len(piece)
