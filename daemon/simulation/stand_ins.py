"""Stand-ins for threads, disk and store, because on a virtual clock nothing may wait for real ones."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from daemon.bridge.words import FileMark
from daemon.core.job.kept_file import KeptFile
from daemon.core.job.streamer import FileStream
from daemon.core.record.store import JobRecord, NewJob, Store
from hal.driver import LinePrinter, LinkSettings
from hal.logbook import Logbook
from hal.transport import Transport

P = ParamSpec("P")
T = TypeVar("T")


class InlineExecutor(ThreadPoolExecutor):
    """Does the work at once, on the caller's thread, so that reading a file takes no virtual time.

    It is a thread pool, though one without threads, because a loop's default executor has to be one.
    """

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Do the work, and return a finished future."""
        future: Future[T] = Future()
        try:
            future.set_result(work(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - the future raises it
            future.set_exception(error)
        return future


class NoStore(Store):
    """A store that records nothing."""

    def __init__(self) -> None:
        super().__init__(wall=lambda: 0.0, on_trouble=lambda _: None)

    async def begin_job(self, job: NewJob) -> int | None:  # noqa: ARG002 - nothing is stored
        """Record nothing."""
        return None

    async def unfinished_jobs(self) -> list[JobRecord]:
        """Return no job."""
        return []


class FileWithoutLink(KeptFile):
    """The file of the job without a hard link: there is no next host, and nothing must be left on the disk."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, folder)
        self.root = None  # the user names the file, which may be anywhere

    def keep(self, path: str, stream: FileStream) -> FileMark:
        """Return what identifies the file."""
        return FileMark(path, stream.size, stream.mtime_ns, stream.inode)

    def find(self, mark: FileMark) -> Path:
        """Return the path of the file."""
        return self._uploads / mark.path

    def drop(self) -> None:
        """Do nothing: there is no link."""


class ReportingPrinter(LinePrinter):
    """The driver, which also reports the commands that are sent between the file's lines."""

    def __init__(
        self, transport: Transport, settings: LinkSettings, logbook: Logbook, on_sent: Callable[[str], None]
    ) -> None:
        super().__init__(transport, settings, logbook)
        self._on_sent = on_sent
        self._rest_watch.send = self.send  # so that its commands are reported too

    async def send(self, command: str, *, urgent: bool = False, step: int = 0) -> Sequence[str]:
        """Send one command between the lines of a job."""
        self._on_sent(self.check(command).decode())
        return await super().send(command, urgent=urgent, step=step)

    def submit(self, *commands: str | bytes) -> None:
        """Queue a client's commands."""
        for command in commands:
            self._on_sent((command if isinstance(command, bytes) else self.check(command)).decode())
        super().submit(*commands)
