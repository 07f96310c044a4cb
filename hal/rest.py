"""RestWatch: finding out that every move sent has been made, whatever an `ok` means to this firmware.

What counts is that the firmware reports its position. An `ok` is no proof: a stray one (an M303 gives one of its own, a
bad line may double one) can seem to answer the M400 before the last move has been made.

Nothing here gives up because a printer is slow or waits for its user; it is the link that finds a silent printer.
"""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable

from gcode.dialect import UNKNOWN
from gcode.errors import NozzledError
from hal.commands import Commands
from hal.printer import Event, FirmwareSaid
from hal.pump import Pump, refuse

AGAIN = 10.0
"""Seconds without an answer after which the position is asked for again: the answer may be lost."""

MOST_QUEUED = 40
"""Questions after which the first has been executed for sure, answered or not: no firmware queues so many commands."""

IN_ORDER = 5
"""The same for a firmware that acknowledges commands when it has executed them: there are never so many stray `ok`s."""

REPORTS = 30.0
"""If three positions come within so many seconds without a question, the firmware reports them by itself (M154)."""

APART = 1.0
"""Seconds between two questions for the position, if the answer has to be the same twice."""

NO_ANSWER = 3
"""Unanswered questions in a row that show, in that case, that the firmware does not report its position."""

MOVING = 3600.0
"""Seconds after which a printer that has acknowledged everything and still moves must be moving for somebody else."""

Axes = dict[str, float]
Send = Callable[[str], Awaitable[object]]


class RestWatch:
    """Waits until the printer is at rest, in the way that suits its firmware."""

    def __init__(self, pump: Pump, commands: Commands, publish: Callable[[Event], None]) -> None:
        """Prepare; `publish` tells the listeners."""
        self._pump = pump
        self._commands = commands
        self.send: Send = commands.send  # how it asks
        self._publish = publish
        self._loop = asyncio.get_running_loop()
        self._position: Axes | None = None
        self._reported = 0  # positions that were reported
        self._unasked: deque[float] = deque([-math.inf] * 3, maxlen=3)  # when positions came that nobody had asked for
        self._waiter: asyncio.Future[None] | None = None

    def note(self, axes: Axes) -> None:
        """Take a position that was reported, whoever has asked for it."""
        self._position = axes
        self._reported += 1
        if not self._commands.positions_due:
            self._unasked.append(self._loop.time())
        self._commands.positions_due = max(0, self._commands.positions_due - 1)
        if not self._commands.positions_due and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @property
    def _reports_by_itself(self) -> bool:
        """Positions come again and again (M154), so one more answers no question; a single one may be that of a G28."""
        return self._loop.time() - self._unasked[0] < REPORTS

    def end(self, error: NozzledError) -> None:
        """Give the cause to whoever waits."""
        refuse([self._waiter] if self._waiter is not None else [], error)

    async def finished(self) -> Axes | None:
        """Wait until every move sent has been made; return the position, None if the firmware does not report it."""
        dialect = self._pump.link.dialect if self._pump.link is not None else UNKNOWN
        *before, last = (command.decode() for command in dialect.at_rest)
        for command in before:
            await self.send(command)
        self._position = None
        if dialect.at_rest_by == "same position":
            await self._wait_for_standstill(last)
        elif dialect.ok_at == "receipt":
            await self._wait_for_position(last)
        else:
            await self._wait_for_position_in_order(last)
        return self._position

    async def _wait_for_position_in_order(self, question: str) -> None:
        """Ask until a position comes that answers this question and not an earlier one."""
        reported = self._reported + self._commands.positions_due
        for _ in range(IN_ORDER):
            await self.send(question)
            if self._reported > reported and not self._reports_by_itself:
                return
        self._commands.positions_due = 0

    async def _wait_for_position(self, question: str) -> None:
        """Ask until the position comes: the `ok` says only that the question was received."""
        for _ in range(MOST_QUEUED):
            waiter = self._waiter = self._loop.create_future()
            await self.send(question)
            try:
                async with asyncio.timeout(AGAIN):
                    await waiter
            except TimeoutError:
                self._commands.positions_due = 0  # the answers to earlier questions are lost
            else:
                return

    async def _wait_for_standstill(self, question: str) -> None:
        """Ask until the same position comes twice, or none comes at all."""
        end = self._loop.time() + MOVING
        before: Axes | None = None
        unanswered = 0
        while unanswered < NO_ANSWER:
            self._position = None
            await self.send(question)
            await asyncio.sleep(APART)
            position = self._position
            if position is not None and position == before:
                return
            before = position
            unanswered = unanswered + 1 if position is None else 0
            if self._loop.time() > end:
                text = f"the printer has acknowledged every move, but has moved for {MOVING / 60:g} min since then"
                self._publish(FirmwareSaid(text, "warning"))
                return
