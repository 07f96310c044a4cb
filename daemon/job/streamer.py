"""FileStream: a file's commands for the link, read ahead by a thread.

The loop never touches the disk: a thread reads blocks of bytes well ahead of the wire (SD cards stall for seconds
during uploads), and the loop takes them apart line by line when the link asks, which costs a microsecond or two.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

from gcode.link import forbidden
from gcode.reader import Reader

BLOCK = 64 * 1024
AHEAD = 16  # blocks: 1 MiB lasts 40 s at 250,000 baud

_PLAIN = frozenset(b"GgTt")
_HALT = b"M112"


class FileStream:
    """A `hal.printer.LineSource` over one open file.

    The file stays open from `open` to `close`, so replacing or deleting it changes nothing for this print.
    """

    def __init__(
        self,
        path: Path,
        executor: Executor,
        *,
        on_more: Callable[[], None],
        on_skipped: Callable[[int, str], None],
    ) -> None:
        """Prepare.

        Args:
            path: the file.
            executor: whose threads read.
            on_more: called when `next_line` has lines again after it had none.
            on_skipped: called with (offset, command) for a command that a file must not send.
        """
        self.size = self.mtime_ns = 0
        self.ended = asyncio.Event()  # every line has been handed out, or `error` is set
        self.error: OSError | None = None
        self._path = path
        self._executor = executor
        self._on_more = on_more
        self._on_skipped = on_skipped
        self._loop = asyncio.get_running_loop()
        self._reader = Reader()
        self._blocks: deque[bytes] = deque()
        self._fd = -1
        self._at = 0
        self._read_all = False
        self._finished = False
        self._starved = False
        self._reading: asyncio.Future[bytes] | None = None

    async def open(self) -> None:
        """Open the file and read the first block.

        Raises:
            OSError: it cannot be opened or read.
        """
        self._fd = await self._loop.run_in_executor(self._executor, os.open, self._path, os.O_RDONLY | os.O_CLOEXEC)
        found = await self._loop.run_in_executor(self._executor, os.fstat, self._fd)
        self.size, self.mtime_ns = found.st_size, found.st_mtime_ns
        self._read_ahead()
        if self._reading is not None:
            await asyncio.wait([self._reading])

    async def close(self) -> None:
        """Close the file, after a read that is going on; idempotent."""
        fd, self._fd = self._fd, -1
        if self._reading is not None:
            await asyncio.wait([self._reading])
        if fd >= 0:
            await self._loop.run_in_executor(self._executor, os.close, fd)

    def next_line(self) -> tuple[int, bytes] | None:
        """Return (byte offset, command), or None: nothing now, or, when `ended` is set, nothing more."""
        while True:
            for offset, command in self._reader:
                if command[0] in _PLAIN or self._may_pass(offset, command):
                    return offset, command
            if not self._next_block():
                return None

    def _may_pass(self, offset: int, command: bytes) -> bool:
        """Stop what belongs to the link, what halts the machine, and what is meant for a host (`@…`)."""
        if not forbidden(command) and not command.upper().startswith(_HALT) and command[0] != ord("@"):
            return True
        self._on_skipped(offset, command.decode())
        return False

    def _next_block(self) -> bool:
        if self._blocks:
            self._reader.feed(self._blocks.popleft())
            self._read_ahead()
            return True
        if not self._read_all:
            self._starved = True
            return False
        if not self._finished:
            self._finished = True
            self._reader.finish()
            return True
        self.ended.set()
        return False

    def _read_ahead(self) -> None:
        if self._reading is not None or self._read_all or self._fd < 0 or len(self._blocks) >= AHEAD:
            return
        self._reading = self._loop.run_in_executor(self._executor, os.pread, self._fd, BLOCK, self._at)
        self._reading.add_done_callback(self._on_read)

    def _on_read(self, reading: asyncio.Future[bytes]) -> None:
        self._reading = None
        if reading.cancelled():
            return
        error = reading.exception()
        if error is not None:
            self.error = error if isinstance(error, OSError) else OSError(str(error))
            self.ended.set()
            return
        block = reading.result()
        self._at += len(block)
        self._read_all = not block
        if block:
            self._blocks.append(block)
        self._read_ahead()
        if self._starved:
            self._starved = False
            self._on_more()
