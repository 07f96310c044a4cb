"""PlaceFile: keeps a few kilobytes on the disk, durably and atomically.

Two slots are written in turn, in a file whose size never changes. So a write changes a few blocks of the card, and
nothing in the file system's own data. A slot that a power cut has left half written has no valid checksum; then the
other slot counts.
"""

import asyncio
import errno
import os
import struct
from binascii import crc32
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

SLOT = 40 * 1024
"""Bytes of a slot; a job's snapshot has at most 32 KiB."""

_HEAD = struct.Struct("<Q I I")  # turn, length, checksum

T = TypeVar("T")


class PlaceFile:
    """One such file. Call it from the event loop; its own thread waits for the disk."""

    def __init__(self, path: Path) -> None:
        """Prepare; nothing is opened."""
        self._path = path
        self._fd = -1
        self._turn = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="place")

    async def get(self) -> bytes | None:
        """Return the text that was put last; None: there is none, or it cannot be read."""
        return await asyncio.to_thread(self._read)  # the file's own thread is only started for a print

    async def put(self, text: bytes) -> None:
        """Replace the text; it is on the disk when this returns.

        Raises:
            OSError: the new text may not be on the disk.
        """
        await self._run(self._write, text)

    async def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            await self._run(self._close)
        self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *args)

    # From here on: in a thread.

    def _read(self) -> bytes | None:
        try:
            with self._path.open("rb") as file:
                content = file.read(2 * SLOT)
        except OSError:
            return None
        slots = [slot for at in (0, SLOT) if (slot := _read_slot(content[at : at + SLOT])) is not None]
        self._turn, text = max(slots, default=(0, None))
        return text

    def _write(self, text: bytes) -> None:
        if len(text) > SLOT - _HEAD.size:
            raise OSError("the text is too long")
        self._open()
        self._turn += 1
        head = _HEAD.pack(self._turn, len(text), _checksum(self._turn, text))
        if os.pwrite(self._fd, head + text, self._turn % 2 * SLOT) < len(head + text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # written in part: the previous text still counts
        os.fdatasync(self._fd)

    def _open(self) -> None:
        if self._fd >= 0:
            return
        self._read()  # sets the turn
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if os.fstat(self._fd).st_size != 2 * SLOT:
            os.ftruncate(self._fd, 2 * SLOT)
            os.posix_fallocate(self._fd, 0, 2 * SLOT)
            os.fsync(self._fd)
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)  # the file's name
            finally:
                os.close(folder)

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)


def _read_slot(slot: bytes) -> tuple[int, bytes] | None:
    """Return the turn and the text of a slot; None: it is not complete."""
    if len(slot) < _HEAD.size:
        return None
    turn, length, checksum = _HEAD.unpack_from(slot)
    text = slot[_HEAD.size : _HEAD.size + length]
    return (turn, text) if turn and len(text) == length and _checksum(turn, text) == checksum else None


def _checksum(turn: int, text: bytes) -> int:
    return crc32(text, crc32(turn.to_bytes(8, "little")))
