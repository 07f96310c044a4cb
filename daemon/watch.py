"""LoopWatch: how long the event loop was kept from its work."""

import asyncio

INTERVAL = 0.05  # s; 20 wake-ups a second cost 0.1 % of a core, so it runs while a job does


class LoopWatch:
    """Measures how late a periodic timer of the loop is called, from `start` to `stop`.

    Whatever delays the timer delays the wire as much: a long callback, a thread that holds the interpreter, another
    process that has the processor. A stall longer than INTERVAL is always seen, less what was left of the interval
    when it began; of shorter ones those that a timer falls into.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._longest = 0.0

    @property
    def longest(self) -> float:
        """The longest stall since `start`, in seconds."""
        overdue = self._loop.time() - self._timer.when() if self._timer is not None else 0.0
        return max(self._longest, overdue)

    def start(self) -> None:
        """Begin a new measurement."""
        self._cancel()
        self._longest = 0.0
        self._arm()

    def stop(self) -> float:
        """End the measurement; return the longest stall in seconds. Harmless when it has ended."""
        self._longest = self.longest
        self._cancel()
        return self._longest

    def _arm(self) -> None:
        self._timer = self._loop.call_later(INTERVAL, self._note)

    def _note(self) -> None:
        self._longest = self.longest
        self._arm()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
