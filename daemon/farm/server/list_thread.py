"""ListThread: the only thread that calls the list of jobs, so that the event loop waits for no disk."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from daemon.farm.errors import ListAway
from daemon.farm.list.job_list import JobList

MAX_WAITING = 4096  # calls

T = TypeVar("T")


def _ignore() -> None:
    """Do nothing: the default of the callbacks."""


class ListThread:
    """Calls the list in its thread.

    Attributes:
        on_change: called on the loop after each change by `call`: a printer may wait for it.
        on_news: called on the loop after every change.
        trouble: why the last call found no database; empty: it found it.
    """

    def __init__(self) -> None:
        """Prepare; call `open` next, on a running loop."""
        self.on_change: Callable[[], None] = _ignore
        self.on_news: Callable[[], None] = _ignore
        self.trouble = ""
        self._thread = ThreadPoolExecutor(1, "list")
        self._jobs: JobList | None = None
        self._waiting = 0
        self._quiet = False

    async def open(self, make: Callable[[], JobList]) -> None:
        """Open the list; raises what JobList does."""
        loop = asyncio.get_running_loop()

        def notify() -> None:
            loop.call_soon_threadsafe(self._notify, self._quiet)

        def make_list() -> JobList:
            jobs = make()
            jobs.on_change = notify
            return jobs

        self._jobs = await loop.run_in_executor(self._thread, make_list)

    async def call(self, function: Callable[[JobList], T]) -> T:
        """Call a function with the list; raises what it raises, and ListAway if too many calls wait."""
        return await self._call(function, quiet=False)

    async def call_quietly(self, function: Callable[[JobList], T]) -> T:
        """Do as `call`, without `on_change`: no printer waits for this change."""
        return await self._call(function, quiet=True)

    async def close(self) -> None:
        """Close the list, after the calls that wait already."""
        jobs, self._jobs = self._jobs, None
        if jobs is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, jobs.close)
        self._thread.shutdown(wait=False)

    async def _call(self, function: Callable[[JobList], T], *, quiet: bool) -> T:
        jobs = self._jobs
        if jobs is None:
            raise ListAway("the list of jobs is not open")
        if self._waiting >= MAX_WAITING:
            raise ListAway(f"{MAX_WAITING} calls wait for the list of jobs already: try again later")

        def run() -> T:
            self._quiet = quiet
            return function(jobs)

        self._waiting += 1
        try:
            result = await asyncio.get_running_loop().run_in_executor(self._thread, run)
        except ListAway as error:
            self.trouble = str(error)
            raise
        finally:
            self._waiting -= 1
        self.trouble = ""
        return result

    def _notify(self, quiet: bool) -> None:
        self.on_news()
        if not quiet:
            self.on_change()
