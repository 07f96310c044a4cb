"""FileStream: a file's commands for the link, read ahead by a thread.

The loop never touches the disk: a thread reads blocks well ahead of the wire, because SD cards stall for seconds during
uploads. The loop splits blocks into lines in batches, while the printer is not waiting for a line. In a batch a line
costs a third of what it costs if it is split off alone when its `ok` comes.
"""

import asyncio
import errno
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Protocol

from daemon.core.job.tally import Tally
from daemon.packing.kinds import packed_kind
from daemon.rest_of_print import is_rest
from gcode.compact import Compact
from gcode.errors import CommandError
from gcode.host_commands import CommandFirst, LeaveOut, Meaning, SendInstead, meaning
from gcode.outgoing import Line, job_line
from gcode.reader import MAX_LINE, Reader
from gcode.too_hot import PLAIN

BLOCK = 16 * 1024  # bytes; a block that has only comments must not stall the loop
AHEAD = 64  # blocks that are read ahead: 1 MiB lasts 40 s at 250,000 baud
LINES_A_TURN = 32  # the most lines that are made ready at once
BLOCKS_A_TURN = 2  # the most blocks that are searched for a line before the loop gets a turn
MAX_LOGGED = 10  # left-out lines that are logged one by one; further ones are only counted

_NO_TEXT = "this firmware does not know the command, or would take its text for commands"

FIRMWARE_WAITS = partial(meaning, host_waits=False)
"""What a line means where the firmware waits for temperatures."""


class LineReceiver(Protocol):
    """The printer that gets the lines, as far as they have to fit it."""

    @property
    def longest_command(self) -> int:
        """The length of the longest command that it reads, in bytes."""

    @property
    def compact(self) -> Compact | None:
        """Shortens lines for this printer; None: lines are sent as they are."""

    def fit(self, command: bytes) -> bytes | None:
        """Return a command, its text cut to what the printer can read; None: the command must not be sent."""


class AnyReceiver:
    """A receiver that takes any command."""

    longest_command = MAX_LINE
    compact: Compact | None = None

    def fit(self, command: bytes) -> bytes | None:
        """Return the command."""
        return command


class FileStream:
    """A `hal.printer.LineSource` that reads one file.

    A line at which the host has to act stops the stream: `barrier` is its meaning, and `proceed` continues after it. A
    plain line (`PLAIN`: a move or a tool) never does. The file stays open from `open` to `close`, so it may be
    replaced or deleted without any effect on this print.
    """

    def __init__(
        self,
        open_file: Callable[[], int],
        executor: Executor,
        *,
        on_more: Callable[[], None],
        on_left_out: Callable[[int, str, str], None],
        understand: Callable[[bytes], Meaning | None] = FIRMWARE_WAITS,
        receiver: Callable[[], LineReceiver] | None = None,
        check: Callable[[bytes], str | None] = lambda _: None,
        alter: Callable[[bytes], bytes] = lambda command: command,
    ) -> None:
        """Prepare.

        Args:
            open_file: returns a descriptor of the file; called in a thread, raises OSError.
            executor: its threads read.
            on_more: called when `next_line` has lines again after it had none.
            on_left_out: called with (offset, command, reason) for a line that is not sent.
            understand: returns what a line means to the host, such as a wait for heat (M109); None: nothing.
            receiver: returns the printer that gets the lines; a command that is too long for it fails the job.
            check: returns why a command other than a plain move must not be sent, which fails the job; None: it may be.
            alter: returns what is sent instead of a command other than a plain move.
        """
        self.size = self.mtime_ns = self.inode = 0
        self.attention = asyncio.Event()  # set if the stream has `ended`, or stops at a `barrier` or an `error`
        self.ended = False  # every line has been handed out
        self.barrier: Meaning | None = None
        self.barrier_offset = -1
        self.error: OSError | CommandError | None = None
        self.is_rest = False  # the file is the rest of a lost print (`daemon.rest_of_print`)
        self.left_out_count = 0  # how many lines were left out
        self.waits = 0  # how often the printer had room for lines that had not been read from the disk yet
        self._open_file = open_file
        self._executor = executor
        self._on_more = on_more
        self._on_left_out = on_left_out
        self._understand = understand
        self._receiver = receiver or AnyReceiver
        self._max_command = self._receiver().longest_command
        self._compact = self._receiver().compact
        self._check = check
        self._alter = alter
        self._loop = asyncio.get_running_loop()
        self._reader = Reader()
        self._blocks: deque[bytes] = deque()
        self._ready: deque[Line] = deque()
        self._special_line: tuple[int, bytes] | None = None  # the line after the ready ones, if it is not plain
        self._fd = -1
        self._at = 0
        self._read_all = False
        self._reader_finished = False
        self._starved = False
        self._starved_at = 0.0  # s of the loop's clock
        self.tally = Tally()  # counts underruns; the caller may replace it by that of all prints
        self._reading: asyncio.Future[bytes] | None = None

    async def open(self, after: int = -1, barrier_offset: int = -1) -> None:
        """Open the file and read the first block.

        Args:
            after: offset of the last line that was sent; the stream begins after this line.
            barrier_offset: offset of the last line for the host that has been dealt with.

        Raises:
            OSError: it cannot be opened or read.
            CommandError: it is not text.
        """
        start = max(after, barrier_offset)
        self._reader = Reader(max(start, 0))
        self._at = max(start, 0)
        opening = self._loop.run_in_executor(self._executor, self._open_file)
        try:
            self._fd = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(self._close_unused)
            raise
        status = await self._loop.run_in_executor(self._executor, os.fstat, self._fd)
        self.size, self.mtime_ns, self.inode = status.st_size, status.st_mtime_ns, status.st_ino
        self._read_ahead()
        if self._reading is not None:
            await asyncio.wait([self._reading])
        if self.error is not None:
            raise self.error
        if start < 0 and self._blocks and (packed := packed_kind(self._blocks[0])):
            raise CommandError(f"the file is {packed}, not text: upload it to have it unpacked")
        self.is_rest = start < 0 and bool(self._blocks) and is_rest(self._blocks[0])
        if start >= 0:
            await self._leave_out_first(barrier_is_done=barrier_offset >= start)

    def _close_unused(self, opening: asyncio.Future[int]) -> None:
        """Close the descriptor of an `open` that was cancelled; the thread may open the file only later."""
        if not opening.cancelled() and opening.exception() is None:
            self._executor.submit(os.close, opening.result())

    async def _leave_out_first(self, *, barrier_is_done: bool) -> None:
        """Leave out the first line, which was sent before, but stop at it if the host has not yet done its part."""
        while self._next_block() or await self._wait_for_block():
            for offset, command in self._reader:
                barrier = self._understand(self._alter(command))
                if not barrier_is_done and isinstance(barrier, CommandFirst):
                    self._stop_at(offset, barrier)
                return

    async def _wait_for_block(self) -> bool:
        """Wait for the block that is being read; False: none is being read."""
        if self._reading is None:
            return False
        await asyncio.wait([self._reading])
        return True

    def duplicate(self) -> int:
        """Return another descriptor of the file, for `os.pread`; the caller closes it."""
        return os.dup(self._fd)

    async def close(self) -> None:
        """Close the file, once no read is in progress; idempotent."""
        fd, self._fd = self._fd, -1
        if self._reading is not None:
            await asyncio.wait([self._reading])
        if fd >= 0:
            await self._loop.run_in_executor(self._executor, os.close, fd)

    def next_line(self) -> Line | None:
        """Return the next line; None: it has not been read yet, or `attention` has to be dealt with first."""
        ready = self._ready
        if not (ready or self._prepare()):
            return None
        line = ready.popleft()
        if not ready:
            self._loop.call_soon(self._prepare_ahead)
        return line

    def _prepare_ahead(self) -> None:
        """Make the next lines ready before the printer needs them, which saves 0.25 ms when it does.

        A line that is not plain is not made ready ahead. Lines that have not been read yet are no underrun here.
        """
        if not (self._ready or self._stopped or self._special_line or self._fd < 0):
            self._take_lines(ahead=True)

    def _prepare(self) -> bool:
        """Make the next lines ready; False: there are none at present."""
        for _ in range(BLOCKS_A_TURN):
            if self._stopped or self._take_lines():
                return bool(self._ready)
            if not self._next_block():
                return False
        self._loop.call_soon(self._on_more)  # no line in these blocks: let the loop have its turn
        return False

    @property
    def _stopped(self) -> bool:
        return self.barrier is not None or self.error is not None

    def _take_lines(self, *, ahead: bool = False) -> bool:
        """Make lines ready, up to a line that is not plain; False: no line of the block is left.

        Args:
            ahead: the printer does not need the next line yet.
        """
        receiver = self._receiver()
        self._max_command, self._compact = receiver.longest_command, receiver.compact
        if self._special_line is not None and self._take_special(*self._special_line):
            return True
        for offset, command in self._reader:
            if PLAIN(command) and len(command) <= self._max_command:
                self._ready.append(job_line(offset, command, self._compact))
                if len(self._ready) >= LINES_A_TURN:
                    return True
            elif self._ready or ahead:
                self._special_line = offset, command
                return True
            elif self._take_special(offset, command):
                return True
        return bool(self._ready)

    def _take_special(self, offset: int, command: bytes) -> bool:
        """Take a line that is not plain; False: nothing is sent for it, and it does not stop the stream."""
        self._special_line = None
        if replacement := self._interpret(offset, command):
            self._ready.append(job_line(*replacement, self._compact))
        return bool(self._ready) or self._stopped

    def proceed(self) -> None:
        """Continue after the barrier."""
        self.barrier = None
        self.attention.clear()

    def _interpret(self, offset: int, command: bytes) -> tuple[int, bytes] | None:
        """Interpret a line that is not plain or is too long; return what the printer gets, None: it gets nothing."""
        if problem := self._check(command):
            self._fail(f"the line at byte {offset}: {problem}")
            return None
        command = self._alter(command)
        host_meaning = self._understand(command)
        if host_meaning is None:
            return self._fit(offset, command)
        if isinstance(host_meaning, LeaveOut):
            self._leave_out(offset, command, host_meaning.reason)
            return None
        if isinstance(host_meaning, SendInstead):
            return self._fit(offset, host_meaning.command)
        self._stop_at(offset, host_meaning)
        return self._fit(offset, host_meaning.command) if isinstance(host_meaning, CommandFirst) else None

    def _stop_at(self, offset: int, barrier: Meaning) -> None:
        self.barrier, self.barrier_offset = barrier, offset
        self.attention.set()

    def _fit(self, offset: int, command: bytes) -> tuple[int, bytes] | None:
        """Return the line in a form that the firmware reads whole: one that the firmware cuts is never acknowledged."""
        fitting_command = self._receiver().fit(command)
        if fitting_command is None:
            self._leave_out(offset, command, _NO_TEXT)
        elif len(fitting_command) > self._max_command:
            self._fail(
                f"the line at byte {offset} has {len(fitting_command)} characters, "
                f"but the firmware reads {self._max_command}: {fitting_command[:40].decode()}…"
            )
        else:
            return offset, fitting_command
        return None

    def _leave_out(self, offset: int, command: bytes, reason: str) -> None:
        self.left_out_count += 1
        if self.left_out_count <= MAX_LOGGED:
            self._on_left_out(offset, command.decode(), reason)

    def _fail(self, reason: str) -> None:
        self.error = CommandError(reason)
        self.attention.set()

    def _fail_to_read(self, error: OSError) -> None:
        self.error = error
        self._ready.clear()
        self.attention.set()

    def _next_block(self) -> bool:
        """Give the reader the next block; False: none has been read yet, or the file has ended."""
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
        if not self._reader_finished:
            self._reader_finished = True
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
            self._fail_to_read(error if isinstance(error, OSError) else OSError(str(error)))
            return
        block = reading.result()
        self._at += len(block)
        self._read_all = not block
        if self._read_all and self._at < self.size:
            self._fail_to_read(OSError(errno.EIO, f"it has become shorter: {self._at} of {self.size} bytes are left"))
            return
        if block:
            self._blocks.append(block)
        self._read_ahead()
        if self._starved:
            self._starved = False
            self.tally.starved += self._loop.time() - self._starved_at
            self._on_more()
