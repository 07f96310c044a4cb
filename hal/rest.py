"""RestWatch: finding out that every move sent has been made, whatever an `ok` means to this firmware.

What counts is the place: nothing else says it, while an `ok` too many (the own one of an M303, a stray one on a bad
line) answers the M400 before the last move has been made.

Nothing here is given up because a printer is slow, or waits for its user: one that is silent is the link's to find.
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
"""Seconds without an answer after which the place is asked for again: the answer may be lost."""

MOST_QUEUED = 40
"""Questions received behind which the first has been carried out, answered or not: no firmware queues as many."""

IN_ORDER = 5
"""The same where commands are acknowledged when they have been carried out: more `ok`s than are ever too many."""

REPORTS = 30.0
"""Seconds in which a place that is told three times without being asked for is told by itself."""

APART = 1.0
"""Seconds between two questions for the place where it has to be the same twice."""

NO_ANSWER = 3
"""Questions for the place in a row that may stay unanswered there: the firmware has no answer."""

MOVING = 3600.0
"""Seconds after which a printer that has said `ok` to everything, and still moves, does so for somebody else."""

Axes = dict[str, float]
Send = Callable[[str], Awaitable[object]]


class RestWatch:
    """Asks in the firmware's own way."""

    def __init__(self, pump: Pump, commands: Commands, publish: Callable[[Event], None]) -> None:
        """Prepare; `publish` tells the listeners."""
        self._pump = pump
        self._commands = commands
        self.send: Send = commands.send  # how it asks
        self._publish = publish
        self._loop = asyncio.get_running_loop()
        self._place: Axes | None = None
        self._told = 0  # times that a place was told
        self._unasked: deque[float] = deque([-math.inf] * 3, maxlen=3)  # when places were told that nobody asked for
        self._waiter: asyncio.Future[None] | None = None

    def note(self, axes: Axes) -> None:
        """Take a place that was told, by whomever it was asked for."""
        self._place = axes
        self._told += 1
        if not self._commands.positions_due:
            self._unasked.append(self._loop.time())
        self._commands.positions_due = max(0, self._commands.positions_due - 1)
        if not self._commands.positions_due and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @property
    def _tells_by_itself(self) -> bool:
        """Places are told again and again (M154), so that one more answers nothing; behind G28 one comes as well."""
        return self._loop.time() - self._unasked[0] < REPORTS

    def end(self, error: NozzledError) -> None:
        """Give the cause to whoever waits."""
        refuse([self._waiter] if self._waiter is not None else [], error)

    async def finished(self) -> Axes | None:
        """Wait until every move sent has been made; return the place, None where the firmware does not tell it."""
        dialect = self._pump.link.dialect if self._pump.link is not None else UNKNOWN
        *before, last = (command.decode() for command in dialect.at_rest)
        for command in before:
            await self.send(command)
        self._place = None
        if dialect.at_rest_by == "same position":
            await self._stands_still(last)
        elif dialect.ok_at == "receipt":
            await self._told_the_place(last)
        else:
            await self._told_in_order(last)
        return self._place

    async def _told_in_order(self, question: str) -> None:
        """Ask until the place is told, and not that of an earlier question."""
        told = self._told + self._commands.positions_due
        for _ in range(IN_ORDER):
            await self.send(question)
            if self._told > told and not self._tells_by_itself:
                return
        self._commands.positions_due = 0

    async def _told_the_place(self, question: str) -> None:
        """Ask until the place is told: that the question was received is no answer."""
        for _ in range(MOST_QUEUED):
            waiter = self._waiter = self._loop.create_future()
            await self.send(question)
            try:
                async with asyncio.timeout(AGAIN):
                    await waiter
            except TimeoutError:
                self._commands.positions_due = 0  # what was to come before is lost
            else:
                return

    async def _stands_still(self, question: str) -> None:
        """Ask until the same place is told twice, or none at all."""
        end = self._loop.time() + MOVING
        before: Axes | None = None
        unanswered = 0
        while unanswered < NO_ANSWER:
            self._place = None
            await self.send(question)
            await asyncio.sleep(APART)
            place = self._place
            if place is not None and place == before:
                return
            before = place
            unanswered = unanswered + 1 if place is None else 0
            if self._loop.time() > end:
                text = f"the printer says that it is done, and has moved for {MOVING / 60:g} min since"
                self._publish(FirmwareSaid(text, "warning"))
                return
