"""ListThread: the only thread that calls the list of jobs, so that the event loop waits for no disk."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from daemon.farm.errors import FarmError, ListAway
from daemon.farm.list.job_list import JobList

MAX_WAITING = 4096  # calls

T = TypeVar("T")


def _ignore() -> None:
    """Do nothing: the default of the callbacks."""


class ListThread:
    """Calls the list in its thread.

    Attributes:
        on_edit: called on the loop after each change by `call`: there may be something to offer or to withdraw.
        on_any_change: called on the loop after every change that the list reports (`JobList.on_change`).
        trouble: why the database did not answer the last call; empty: it answered.
    """

    def __init__(self) -> None:
        """Prepare; call `open` next, on a running loop."""
        self.on_edit: Callable[[], None] = _ignore
        self.on_any_change: Callable[[], None] = _ignore
        self.trouble = ""
        self._thread = ThreadPoolExecutor(1, "list")
        self._jobs: JobList | None = None
        self._waiting_calls = 0
        self._is_quiet = False

    async def open(self, make: Callable[[], JobList]) -> None:
        """Open the list; raises what JobList does."""
        loop = asyncio.get_running_loop()

        def notify() -> None:
            loop.call_soon_threadsafe(self._notify, self._is_quiet)

        def make_list() -> JobList:
            jobs = make()
            jobs.on_change = notify
            return jobs

        self._jobs = await loop.run_in_executor(self._thread, make_list)

    async def call(self, function: Callable[[JobList], T]) -> T:
        """Call a function with the list; raises what it raises, and ListAway if too many calls wait."""
        return await self._call(function, is_quiet=False)

    async def call_quietly(self, function: Callable[[JobList], T]) -> T:
        """Do as `call`, but without `on_edit`: the dispatcher itself has made the change, or need not react to it."""
        return await self._call(function, is_quiet=True)

    async def close(self) -> None:
        """Close the list after the calls that are waiting now."""
        jobs, self._jobs = self._jobs, None
        if jobs is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, jobs.close)
        self._thread.shutdown(wait=False)

    async def _call(self, function: Callable[[JobList], T], *, is_quiet: bool) -> T:
        jobs = self._jobs
        if jobs is None:
            raise ListAway("the list of jobs is not open")
        if self._waiting_calls >= MAX_WAITING:
            raise ListAway(f"{MAX_WAITING} calls are already waiting for the list of jobs: try again later")

        def run() -> T:
            self._is_quiet = is_quiet
            return function(jobs)

        self._waiting_calls += 1
        try:
            result = await asyncio.get_running_loop().run_in_executor(self._thread, run)
        except ListAway as error:
            self.trouble = str(error)
            raise
        except FarmError:
            self.trouble = ""  # the database has answered
            raise
        finally:
            self._waiting_calls -= 1
        self.trouble = ""
        return result

    def _notify(self, is_quiet: bool) -> None:
        self.on_any_change()
        if not is_quiet:
            self.on_edit()
