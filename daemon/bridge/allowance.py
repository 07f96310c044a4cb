"""Allowance: a share of the loop's time, and a little that may be spent in advance."""

import asyncio
import types
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

SHARE = 0.1
SAVED = 0.02  # s that are at hand after a while of rest
MOST_REST = 0.25  # s at a stretch
MOST_DEBT = 0.3
"""s that can be owed: 3 s of rest at the share above. A first connect, which imports what the printer needs, takes a
small computer seconds in one go; a front that is not read for as long as that comes to would count as hung."""

T = TypeVar("T")


class Allowance:
    """Counts what was spent. Times are the loop's, in s."""

    def __init__(self, share: float = SHARE, saved: float = SAVED) -> None:
        """Allow `share` of all time, and `saved` at once."""
        self._share = share
        self._saved = self._left = saved
        self._at = 0.0

    def spend(self, seconds: float, now: float) -> float:
        """Spend time; return for how long nothing more may be spent, 0: there is some left."""
        left = min(self._saved, self._left + max(0.0, now - self._at) * self._share) - seconds
        self._left = max(left, -MOST_DEBT)
        self._at = now
        return max(0.0, -self._left / self._share)

    def wait(self, now: float) -> float:
        """Return for how long nothing may be spent."""
        return self.spend(0.0, now)


@types.coroutine
def counted(work: Awaitable[T], spend: Callable[[float], float]) -> Generator[Any, Any, T]:
    """Await something; `spend` is told of the time that each of its turns takes, and says how long it has to rest."""
    steps, clock = work.__await__(), asyncio.get_running_loop().time
    step: Callable[[], Any] = lambda: next(steps)  # noqa: E731 - one of three
    while True:
        began, rest = clock(), 0.0
        try:
            waits_for = step()
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            rest = spend(clock() - began)
        try:
            value = yield waits_for
            if rest:
                yield from asyncio.sleep(min(rest, MOST_REST)).__await__()
            step = lambda: steps.send(value)  # noqa: E731, B023 - as above, and used at once
        except BaseException as error:  # noqa: BLE001 - it is the work's: a cancellation, for instance
            thrown = error
            step = lambda: steps.throw(thrown)  # noqa: E731, B023 - as above
