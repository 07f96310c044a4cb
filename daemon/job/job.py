"""Job: one print, from start to end: what it prints, where it is, and the times and places that it remembers."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from daemon.errors import ServiceError
from daemon.job.machine import JobMachine
from daemon.job.parking import Rest
from daemon.job.states import JobState
from daemon.job.steps import Steps
from daemon.job.streamer import FileStream
from daemon.store import NewJob
from hal.printer import Identity, Printer


@dataclass(frozen=True, slots=True)
class Selection:
    """The file to print: its path among the uploads, and what is known of it (size in bytes, date in s)."""

    path: str
    name: str
    size: int
    date: int
    user: str | None = None


@dataclass(frozen=True, slots=True)
class FileMark:
    """By which a file is known again: nothing was written to it, and it is no other one of the same name.

    Attributes:
        sha1: of the upload; None: it did not come as one. Too slow to compare by, `daemon.job.file_check` does so.
    """

    path: str
    size: int
    mtime_ns: int
    inode: int
    sha1: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the job is; None where there is nothing to tell. Times in s, completion in percent."""

    completion: float | None = None
    offset: int | None = None
    print_time: float | None = None
    print_time_left: float | None = None
    left_origin: str | None = None
    lines: int = 0


@dataclass(slots=True)
class Job:
    """One print. Times are the loop's, in s; offsets are bytes in the file."""

    selection: Selection
    printer: Printer
    machine: JobMachine
    started: float
    script: deque[str]  # what is left of the script before the next line of the file
    steps: Steps
    offsets: dict[str, float]  # °C that are added to the file's targets, by heater
    address: str = ""  # of its printer, also where that is gone
    identity: Identity = field(default_factory=Identity)
    number: int | None = None  # in the store
    first_line: int = 1  # the first line number that can be of this job
    file: FileMark | None = None
    stream: FileStream | None = None
    passed: int = -1  # offset of the last line that was the host's and is done with
    left_in: JobState | None = None  # the state to go back to from REATTACHING
    wanted: str | None = None  # what was asked for meanwhile
    feeding: bool = False
    effect: asyncio.Task[None] | None = None  # of the state that it is in
    runner: asyncio.Task[None] | None = None
    checking: asyncio.Task[None] | None = None  # that its file is still what was uploaded
    rest: Rest | None = None  # where a pause left it, until it has gone back
    standing_by: bool = False  # the hotends have been let cool in a pause
    printer_paused: bool = False  # the firmware has paused by itself: it parks, and it goes back
    paused_at: float | None = None
    paused_for: float = 0.0
    ended_at: float | None = None
    reason: str | None = None
    bad_line: str | None = None  # what to tell of a line that damages much
    trouble: ServiceError | None = None  # what it is to end for, whatever it is doing
    lines: int = 0
    offset: int = 0

    @property
    def state(self) -> JobState:
        """Where the job is."""
        return self.machine.state

    def record(self, file: FileMark) -> NewJob:
        """Return what the store gets to know of it; `file` is what it prints."""
        chosen = self.selection
        return NewJob(
            chosen.path, chosen.name, file.size, file.sha1, file.mtime_ns, "local", chosen.user, printer=self.address
        )

    def stop(self, trouble: ServiceError) -> None:
        """End for this, whatever it is doing."""
        if not self.state.ended:
            self.trouble = trouble
            if self.effect is not None:
                self.effect.cancel()

    def note_position(self) -> None:
        """Take down how far the printer has got, while it is this job that is fed to it."""
        if self.feeding and not self.state.ended:
            self.lines, self.offset = self.printer.position.lines, self.printer.position.offset

    def count_pause(self, now: float, *, paused: bool) -> None:
        """Begin or end to count time as paused."""
        if paused and self.paused_at is None:
            self.paused_at = now
        elif not paused and self.paused_at is not None:
            self.paused_for += now - self.paused_at
            self.paused_at = None

    def print_time(self, now: float) -> float:
        """Return the seconds that the job has been printing: without pauses."""
        end = self.ended_at if self.ended_at is not None else now
        pausing = end - self.paused_at if self.paused_at is not None else 0.0
        return end - self.started - self.paused_for - pausing

    def progress(self, now: float) -> Progress:
        """Return how far it is, or was at its end; what is left is what the rest takes at the pace so far."""
        elapsed, size = self.print_time(now), self.selection.size
        if self.state is JobState.COMPLETED:
            return Progress(100.0, size, elapsed, 0.0, None, self.lines)
        self.note_position()
        share = self.offset / size if size else 0.0
        left = elapsed / share - elapsed if share > 0 and not self.state.ended else None
        origin = "linear" if left is not None else None
        return Progress(100.0 * share, self.offset, elapsed, left, origin, self.lines)
