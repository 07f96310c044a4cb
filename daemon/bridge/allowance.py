"""Allowance: limits how much time of the core's loop the bridge may use: a share, and a little that it has saved."""

import asyncio
import types
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

SHARE = 0.1
MAX_SAVED_S = 0.02  # s that are saved while nothing is spent
MAX_TURN_DELAY = 0.25  # s between two turns of a piece of work
MAX_DEBT_S = 0.3
"""s of debt, which take 3 s to pay off at the share above. The first connect imports what the printer needs; this keeps
a small computer busy for seconds. If all of that were debt, the front would be unread for so long that it counts as
hung."""

T = TypeVar("T")


class Allowance:
    """Counts the time that is spent. Times are the loop's, in s."""

    def __init__(self, share: float = SHARE, saved: float = MAX_SAVED_S) -> None:
        """Allow `share` of all time, and at most `saved` seconds at once."""
        self._share = share
        self._saved = self._balance = saved
        self._at = 0.0

    def spend(self, seconds: float, now: float) -> float:
        """Spend time; return for how many seconds no more may be spent; 0: some time is left."""
        balance = min(self._saved, self._balance + max(0.0, now - self._at) * self._share) - seconds
        self._balance = max(balance, -MAX_DEBT_S)
        self._at = now
        return max(0.0, -self._balance / self._share)


@types.coroutine
def await_charged(work: Awaitable[T], spend: Callable[[float], float]) -> Generator[Any, Any, T]:
    """Await `work`. Each of its turns is charged to `spend`, and followed by the delay that `spend` returns."""
    steps, clock = work.__await__(), asyncio.get_running_loop().time
    step: Callable[[], Any] = lambda: next(steps)  # noqa: E731 - the work's next step: next, send or throw
    while True:
        began, pause = clock(), 0.0
        try:
            waits_for = step()
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            pause = spend(clock() - began)
        try:
            value = yield waits_for
            if pause:
                yield from asyncio.sleep(min(pause, MAX_TURN_DELAY)).__await__()
            step = lambda: steps.send(value)  # noqa: E731, B023 - as above, and used at once
        except BaseException as error:  # noqa: BLE001 - thrown into the work, such as a cancellation
            thrown = error
            step = lambda: steps.throw(thrown)  # noqa: E731, B023 - as above
