"""The virtual clock of tests: work for threads is done in the loop instead.

No thread is started or waited for, and no real time passes: a test takes the same course on a slow machine as on a
fast one.
"""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

from hal.simulated.clock import VirtualClockLoop

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class TurnsLoop(VirtualClockLoop):
    """Runs work for threads itself, after all that is ready; work that waits for the loop would hang."""

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Run a function in a later turn of the loop."""
        future: asyncio.Future[T] = self.create_future()
        self.call_soon(_work, future, func, args)
        return future


def _work(future: asyncio.Future[T], func: Callable[..., T], args: tuple[Any, ...]) -> None:
    if future.cancelled():
        return
    try:
        result = func(*args)
    except Exception as error:  # noqa: BLE001 - it goes to the caller
        future.set_exception(error)
    else:
        future.set_result(result)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a fresh loop."""
    with asyncio.Runner(loop_factory=TurnsLoop) as runner:
        return runner.run(main)
