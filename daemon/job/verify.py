"""Verification: what a print goes on with is what was uploaded, to the last byte.

Size, time and inode say at once that nobody wrote to a file. A disk that loses what was written to it, as after a
crash, does not show in these; the hash does, and is looked at while the print goes on already.
"""

import asyncio
import hashlib
from concurrent.futures import Executor
from pathlib import Path

BLOCK = 1024 * 1024  # bytes
REST = 0.1  # s between two blocks: the print reads from the same disk


async def has_hash(path: Path, sha1: str, executor: Executor) -> bool:
    """Tell whether the content of a file has this SHA-1; at 10 MB/s at most, and off the loop.

    Raises:
        OSError: it cannot be read.
    """
    loop = asyncio.get_running_loop()
    found, at = hashlib.sha1(usedforsecurity=False), 0
    while block := await loop.run_in_executor(executor, _read, path, at):
        await loop.run_in_executor(executor, found.update, block)
        at += len(block)
        await asyncio.sleep(REST)
    return found.hexdigest() == sha1


def _read(path: Path, at: int) -> bytes:
    with path.open("rb") as file:  # opened for each block: a check that is ended leaves nothing open
        file.seek(at)
        return file.read(BLOCK)
