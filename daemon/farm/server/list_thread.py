"""The one thread that the list of jobs is asked in: the loop waits for no disk, and no two questions meet."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from daemon.farm.errors import ListAway
from daemon.farm.list.job_list import JobList

MOST_WAITING = 4096  # questions

T = TypeVar("T")


def _nobody() -> None:
    """Nobody wants to know."""


class ListThread:
    """Asks the list.

    Attributes:
        on_change: called on the loop after each change that `call` has made: a printer may wait for that.
        on_news: called on the loop after every change.
        trouble: why the list did not answer last time; empty: it did.
    """

    def __init__(self) -> None:
        """Begin; `open` is next, on a loop."""
        self.on_change: Callable[[], None] = _nobody
        self.on_news: Callable[[], None] = _nobody
        self.trouble = ""
        self._thread = ThreadPoolExecutor(1, "list")
        self._jobs: JobList | None = None
        self._waiting = 0
        self._quiet = False

    async def open(self, make: Callable[[], JobList]) -> None:
        """Open the list; raises what JobList does."""
        loop = asyncio.get_running_loop()

        def told() -> None:
            loop.call_soon_threadsafe(self._tell, self._quiet)

        def opened() -> JobList:
            jobs = make()
            jobs.on_change = told
            return jobs

        self._jobs = await loop.run_in_executor(self._thread, opened)

    async def call(self, ask: Callable[[JobList], T]) -> T:
        """Return what the list says; raises what it raises, and ListAway where too many wait already."""
        return await self._call(ask, quiet=False)

    async def call_quietly(self, ask: Callable[[JobList], T]) -> T:
        """Do the same for what no printer waits for."""
        return await self._call(ask, quiet=True)

    async def close(self) -> None:
        """Close the list behind what waits."""
        jobs, self._jobs = self._jobs, None
        if jobs is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, jobs.close)
        self._thread.shutdown(wait=False)

    async def _call(self, ask: Callable[[JobList], T], *, quiet: bool) -> T:
        jobs = self._jobs
        if jobs is None:
            raise ListAway("the list of jobs is not open")
        if self._waiting >= MOST_WAITING:
            raise ListAway(f"{MOST_WAITING} questions wait for the list of jobs already: ask again in a while")

        def asked() -> T:
            self._quiet = quiet
            return ask(jobs)

        self._waiting += 1
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._thread, asked)
        except ListAway as error:
            self.trouble = str(error)
            raise
        finally:
            self._waiting -= 1
        self.trouble = ""
        return found

    def _tell(self, quiet: bool) -> None:
        self.on_news()
        if not quiet:
            self.on_change()
