"""OwnLog: the service's own log, if it can be read: the file behind standard error, or the journal.

It cannot be read from a terminal, or from a journal that the service's user may not read.
"""

import asyncio
import os
import stat
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress

from daemon.front.access.keys import environment_of_children
from daemon.log import journal
from gcode.frozen import frozen

NAME = "nozzled.log"
BLOCK = 256 * 1024  # bytes
LINES = 20_000  # of the journal, the newest ones
JOURNAL_TIMEOUT = 20.0  # s for a block of the journal's answer
KILL_TIMEOUT = 1.0  # s until a killed process has ended
STDERR = 2
STDERR_FILE = f"/proc/self/fd/{STDERR}"


@frozen
class OwnLog:
    """The log: size in bytes (0: unknown), Unix time of its last line in s (journal: now), a function that reads it."""

    size: int
    date: int
    read: Callable[[], AsyncGenerator[bytes, None]]


async def find(wall: Callable[[], float]) -> OwnLog | None:
    """Return the log; None: it cannot be read."""
    with suppress(OSError):
        status = os.fstat(STDERR)
        if stat.S_ISREG(status.st_mode) and os.access(STDERR_FILE, os.R_OK):  # root may have opened it for us
            return OwnLog(status.st_size, int(status.st_mtime), lambda: _of_file(status.st_size))
    if journal.is_journal(sys.stderr) and await _has_entries():
        return OwnLog(0, int(wall()), _of_journal)
    return None


async def _of_file(size: int) -> AsyncGenerator[bytes, None]:
    """Read the file behind standard error, up to its current size."""
    file = await asyncio.to_thread(open, STDERR_FILE, "rb", 0)
    try:
        while size > 0 and (block := await asyncio.to_thread(file.read, min(BLOCK, size))):
            size -= len(block)
            yield block
    finally:
        await asyncio.to_thread(file.close)


async def _has_entries() -> bool:
    async with aclosing(_journal("1")) as blocks:
        async for block in blocks:
            return bool(block.strip())
    return False


def _of_journal() -> AsyncGenerator[bytes, None]:
    return _journal(str(LINES))


async def _journal(lines: str) -> AsyncGenerator[bytes, None]:
    """Read the newest entries of our units; nothing if that is not allowed."""
    from shutil import which  # noqa: PLC0415 - it imports compressors: half a MB, rarely needed

    if (program := which("journalctl")) is None:
        return
    try:
        process = await asyncio.create_subprocess_exec(
            program, "--no-pager", "--quiet", "--output=short-iso", f"--lines={lines}", "--unit=nozzled*",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            env=environment_of_children(),
        )  # fmt: skip
    except OSError:
        return
    out = process.stdout
    try:
        while out is not None:
            async with asyncio.timeout(JOURNAL_TIMEOUT):  # never around `yield`: it would cancel a slow reader
                block = await out.read(BLOCK)
            if not block:
                return
            yield block
    except TimeoutError:
        return
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        with suppress(TimeoutError):
            async with asyncio.timeout(KILL_TIMEOUT):
                while out is not None and await out.read(BLOCK):
                    pass  # `wait` returns only when the pipe has been read to its end
                await process.wait()
