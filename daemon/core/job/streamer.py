"""FileStream: a file's commands for the link, read ahead by a thread.

The loop never touches the disk: a thread reads blocks of bytes well ahead of the wire (SD cards stall for seconds
during uploads), and the loop splits them into lines, some at a time, while the printer waits for none: in a batch, a
line costs a third of what it costs when each is made at its `ok`.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Protocol

from daemon.core.job.tally import Tally
from daemon.packing.kinds import kind
from daemon.rest_of_print import is_rest
from gcode.compact import Compact
from gcode.errors import CommandError
from gcode.host_commands import Instead, Meaning, Sent, Skip, meaning
from gcode.outgoing import Line, job_line
from gcode.reader import MAX_LINE, Reader
from gcode.too_hot import PLAIN

BLOCK = 16 * 1024  # bytes; a block that holds nothing but comments must not keep the loop for long
AHEAD = 64  # blocks that are read ahead: 1 MiB lasts 40 s at 250,000 baud
LINES_A_TURN = 32  # lines that are made ready at once
BLOCKS_A_TURN = 2  # blocks that are searched for a line before the loop may do something else
TOLD = 10  # lines left out that are logged one by one; further ones are only counted

WAITS_ITSELF = partial(meaning, host_waits=False)
"""What a line means where the firmware waits for temperatures."""


class LineTarget(Protocol):
    """What a line has to fit: a printer."""

    @property
    def longest_command(self) -> int:
        """Bytes of a command that it reads now."""

    @property
    def compact(self) -> Compact | None:
        """What makes a line shorter for it."""

    def fitting(self, command: bytes) -> bytes | None:
        """Return a command as it can read it; None: it had better not be sent."""


class Anyone:
    """A receiver that takes any command."""

    longest_command = MAX_LINE
    compact: Compact | None = None

    def fitting(self, command: bytes) -> bytes | None:
        """Return the command."""
        return command


class FileStream:
    """A `hal.printer.LineSource` over one open file.

    A line that means something to the host stops the stream: `barrier` says what, `proceed` goes on behind it.
    The file stays open from `open` to `close`, so replacing or deleting it changes nothing for this print.
    """

    def __init__(
        self,
        open_file: Callable[[], int],
        executor: Executor,
        *,
        on_more: Callable[[], None],
        on_skipped: Callable[[int, str, str], None],
        understand: Callable[[bytes], Meaning | None] = WAITS_ITSELF,
        receiver: Callable[[], LineTarget] | None = None,
        check: Callable[[bytes], str | None] = lambda _: None,
        alter: Callable[[bytes], bytes] = lambda command: command,
    ) -> None:
        """Prepare.

        Args:
            open_file: returns a descriptor of the file; called in a thread, raises OSError.
            executor: whose threads read.
            on_more: called when `next_line` has lines again after it had none.
            on_skipped: called with (offset, command, reason) for a line that is not sent.
            understand: tells what a line means to the host, such as a barrier instead of M109.
            receiver: tells who gets the lines; a command that is too long for it fails the job.
            check: tells what speaks against sending a command other than a move, which fails the job.
            alter: makes of such a command what is sent instead.
        """
        self.size = self.mtime_ns = self.inode = 0
        self.attention = asyncio.Event()  # `ended`, or a `barrier` is reached, or `error` is set
        self.ended = False  # every line has been handed out
        self.barrier: Meaning | None = None
        self.barrier_offset = -1
        self.error: OSError | CommandError | None = None
        self.is_rest = False  # it begins with the rest of a print that was lost
        self.skipped = 0  # lines that were not sent
        self.waits = 0  # times that the next lines were not read from the disk when the printer had room for them
        self._open_file = open_file
        self._executor = executor
        self._on_more = on_more
        self._on_skipped = on_skipped
        self._understand = understand
        self._receiver = receiver or Anyone
        self._longest = self._receiver().longest_command
        self._compact = self._receiver().compact
        self._check = check
        self._alter = alter
        self._loop = asyncio.get_running_loop()
        self._reader = Reader()
        self._blocks: deque[bytes] = deque()
        self._ready: deque[Line] = deque()
        self._behind_ready: tuple[int, bytes] | None = None  # the line behind those, which needs a closer look
        self._fd = -1
        self._at = 0
        self._read_all = False
        self._finished = False
        self._starved = False
        self._starved_at = 0.0  # since when; in loop time
        self.tally = Tally()  # of all prints of this process, where there is one
        self._reading: asyncio.Future[bytes] | None = None

    async def open(self, behind: int = -1, passed: int = -1) -> None:
        """Open the file and read the first block.

        Args:
            behind: offset of a line; begin with the one behind it.
            passed: offset of the last line that was the host's and is done with.

        Raises:
            OSError: it cannot be opened or read.
            CommandError: it is no text.
        """
        start = max(behind, passed)
        self._reader = Reader(max(start, 0))
        self._at = max(start, 0)
        self._fd = await self._loop.run_in_executor(self._executor, self._open_file)
        found = await self._loop.run_in_executor(self._executor, os.fstat, self._fd)
        self.size, self.mtime_ns, self.inode = found.st_size, found.st_mtime_ns, found.st_ino
        self._read_ahead()
        if self._reading is not None:
            await asyncio.wait([self._reading])
        if self.error is not None:
            raise self.error
        if start < 0 and self._blocks and (packed := kind(self._blocks[0])):
            raise CommandError(f"the file is {packed}, not text: upload it to have it unpacked")
        self.is_rest = start < 0 and bool(self._blocks) and is_rest(self._blocks[0])
        if start >= 0:
            await self._skip_first(done=passed >= start)

    async def _skip_first(self, *, done: bool) -> None:
        """Leave out the first line, which was sent; what it asks of the host remains, unless that is done too."""
        while self._next_block() or await self._more():
            for offset, command in self._reader:
                found = self._understand(self._alter(command))
                if not done and isinstance(found, Sent):
                    self._stop_at(offset, found)
                return

    async def _more(self) -> bool:
        """Wait for the block that is being read; False: there is none."""
        if self._reading is None:
            return False
        await asyncio.wait([self._reading])
        return True

    def duplicate(self) -> int:
        """Return another descriptor of the file, for `os.pread`; whoever asks closes it."""
        return os.dup(self._fd)

    async def close(self) -> None:
        """Close the file, after a read that is going on; idempotent."""
        fd, self._fd = self._fd, -1
        if self._reading is not None:
            await asyncio.wait([self._reading])
        if fd >= 0:
            await self._loop.run_in_executor(self._executor, os.close, fd)

    def next_line(self) -> Line | None:
        """Return the next line; None: there is none yet, or, if `attention` is set, none until that is dealt with."""
        ready = self._ready
        if not (ready or self._prepare()):
            return None
        line = ready.popleft()
        if not ready:
            self._loop.call_soon(self._take_ahead)
        return line

    def _take_ahead(self) -> None:
        """Make the next lines ready while the printer waits for none, which saves 0.25 ms when it does.

        A line that needs a closer look gets it when its turn has come, and lines that are not read yet are no underrun.
        """
        if not (self._ready or self._stopped or self._behind_ready or self._fd < 0):
            self._take_lines(ahead=True)

    def _prepare(self) -> bool:
        """Make the next lines ready; False: there is none now."""
        for _ in range(BLOCKS_A_TURN):
            if self._stopped or self._take_lines():
                return bool(self._ready)
            if not self._next_block():
                return False
        self._loop.call_soon(self._on_more)  # blocks without a line to send: let others have their turn
        return False

    @property
    def _stopped(self) -> bool:
        return self.barrier is not None or self.error is not None

    def _take_lines(self, *, ahead: bool = False) -> bool:
        """Make lines ready, up to a line that needs a closer look; False: no line of the block is left.

        Args:
            ahead: the turn of the next line has not come yet.
        """
        receiver = self._receiver()
        self._longest, self._compact = receiver.longest_command, receiver.compact
        if self._behind_ready is not None and self._look_closer(*self._behind_ready):
            return True
        for offset, command in self._reader:
            if PLAIN(command) and len(command) <= self._longest:
                self._ready.append(job_line(offset, command, self._compact))
                if len(self._ready) >= LINES_A_TURN:
                    return True
            elif self._ready or ahead:
                self._behind_ready = offset, command
                return True
            elif self._look_closer(offset, command):
                return True
        return bool(self._ready)

    def _look_closer(self, offset: int, command: bytes) -> bool:
        """Deal with a line whose turn has come; False: nothing of it is sent, and it does not stop the stream."""
        self._behind_ready = None
        if found := self._special(offset, command):
            self._ready.append(job_line(*found, self._compact))
        return bool(self._ready) or self._stopped

    def proceed(self) -> None:
        """Go on behind the barrier."""
        self.barrier = None
        self.attention.clear()

    def _special(self, offset: int, command: bytes) -> tuple[int, bytes] | None:
        """Look at a line that may be the host's, or too long; return what of it goes to the printer."""
        if problem := self._check(command):
            self._fail(f"the line at byte {offset}: {problem}")
            return None
        command = self._alter(command)
        found = self._understand(command)
        if found is None:
            return self._fitting(offset, command)
        if isinstance(found, Skip):
            self._skip(offset, command, found.reason)
            return None
        if isinstance(found, Instead):
            return self._fitting(offset, found.command)
        self._stop_at(offset, found)
        return self._fitting(offset, found.command) if isinstance(found, Sent) else None

    def _stop_at(self, offset: int, found: Meaning) -> None:
        self.barrier, self.barrier_offset = found, offset
        self.attention.set()

    def _fitting(self, offset: int, command: bytes) -> tuple[int, bytes] | None:
        """Return the line as the firmware can read it; one that it would cut could never be acknowledged."""
        fitted = self._receiver().fitting(command)
        if fitted is None:
            self._skip(offset, command, "this firmware would take the text for a command")
        elif len(fitted) > self._longest:
            self._fail(
                f"the line at byte {offset} has {len(fitted)} characters, the firmware reads {self._longest}: "
                f"{fitted[:40].decode()}…"
            )
        else:
            return offset, fitted
        return None

    def _skip(self, offset: int, command: bytes, reason: str) -> None:
        self.skipped += 1
        if self.skipped <= TOLD:
            self._on_skipped(offset, command.decode(), reason)

    def _fail(self, reason: str) -> None:
        self.error = CommandError(reason)
        self.attention.set()

    def _next_block(self) -> bool:
        """Give the reader the next block; False: none is read yet, or the file has ended."""
        if self._blocks:
            self._reader.feed(self._blocks.popleft())
            self._read_ahead()
            return True
        if not self._read_all:
            if not self._starved:
                self._starved, self._starved_at = True, self._loop.time()
                self.waits += 1
                self.tally.underruns += 1
            return False
        if not self._finished:
            self._finished = True
            self._reader.finish()
            return True
        self.ended = True
        self.attention.set()
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
            self._ready.clear()
            self.attention.set()
            return
        block = reading.result()
        self._at += len(block)
        self._read_all = not block
        if block:
            self._blocks.append(block)
        self._read_ahead()
        if self._starved:
            self._starved = False
            self.tally.starved += self._loop.time() - self._starved_at
            self._on_more()
