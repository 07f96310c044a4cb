"""What takes the place of threads, disk and line: on a clock that jumps nobody may wait for real things."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from daemon.core.job.kept import KeptFile
from daemon.core.job.selection import FileMark
from daemon.core.job.streamer import FileStream
from daemon.core.record.store import JobRecord, NewJob, Store
from hal.driver import LinePrinter, LinkSettings
from hal.logbook import Logbook
from hal.transport import Transport

P = ParamSpec("P")
T = TypeVar("T")


class InlineExecutor(ThreadPoolExecutor):
    """Does the work at once, on the caller's thread: reading a file takes no virtual time.

    It is a pool, but one that never starts a thread, because a loop's own executor has to be one.
    """

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Do it, and return a future that is done."""
        future: Future[T] = Future()
        try:
            future.set_result(work(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - whoever asks for the result gets it
            future.set_exception(error)
        return future


class NoStore(Store):
    """A store that keeps nothing; a job without a number in it is not recorded."""

    def __init__(self) -> None:
        super().__init__(wall=lambda: 0.0, on_trouble=lambda _: None)

    async def begin_job(self, job: NewJob) -> int | None:  # noqa: ARG002 - nothing is stored
        """Record nothing."""
        return None

    async def unfinished_jobs(self) -> list[JobRecord]:
        """Know of no job."""
        return []


class UnkeptFile(KeptFile):
    """The file of the job without a name of its own: no other host comes, and nothing is to be left on the disk."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, folder)
        self.beneath = None  # a person names the file, wherever it is

    def keep(self, path: str, stream: FileStream) -> FileMark:
        """Return by what the file is known again."""
        return FileMark(path, stream.size, stream.mtime_ns, stream.inode)

    def find(self, mark: FileMark) -> Path:
        """Return where the file is."""
        return self._uploads / mark.path

    def drop(self) -> None:
        """There is nothing to be removed."""


class TellingPrinter(LinePrinter):
    """The driver, which also tells what is sent besides a file's lines."""

    def __init__(
        self, transport: Transport, settings: LinkSettings, logbook: Logbook, told: Callable[[str], None]
    ) -> None:
        super().__init__(transport, settings, logbook)
        self._told = told
        self._rest.send = self.send

    async def send(self, command: str, *, urgent: bool = False, step: int = 0) -> Sequence[str]:
        """Send one command between the lines of a job."""
        self._told(self.check(command).decode())
        return await super().send(command, urgent=urgent, step=step)

    def submit(self, *commands: str | bytes) -> None:
        """Queue a client's commands."""
        for command in commands:
            self._told((command if isinstance(command, bytes) else self.check(command)).decode())
        super().submit(*commands)
