"""The virtual clock of tests: what the service leaves to threads is done in turns of the loop.

No thread has to be begun, waited for and woken up from, and no real time passes meanwhile: a test takes the same course
on a slow machine as on a fast one.
"""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

from hal.simulated.clock import VirtualClockLoop

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class TurnsLoop(VirtualClockLoop):
    """Does the work of threads itself, behind all that is ready before it; what waits for the loop would hang."""

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Run a function in a turn to come."""
        future: asyncio.Future[T] = self.create_future()
        self.call_soon(_work, future, func, args)
        return future


def _work(future: asyncio.Future[T], func: Callable[..., T], args: tuple[Any, ...]) -> None:
    if future.cancelled():
        return
    try:
        result = func(*args)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is for whoever waits
        future.set_exception(error)
    else:
        future.set_result(result)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a fresh loop."""
    with asyncio.Runner(loop_factory=TurnsLoop) as runner:
        return runner.run(main)
