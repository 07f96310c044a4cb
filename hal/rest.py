"""RestWatch: finds out when every move sent has been made, whatever an `ok` means to this firmware.

The sign is the firmware's report of its position. An `ok` is no proof: a stray one (M303 sends one of its own, and a
bad line may double one) may look like the answer to M400 before the last move has been made.

Nothing here gives up on a printer that is slow or waits for its user, except that an unknown firmware has at most
MAX_MOVING_S; the link detects a silent printer.
"""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable

from gcode.dialect import UNKNOWN
from gcode.errors import NozzledError
from hal.commands import Commands
from hal.printer import Event, FirmwareSaid
from hal.pump import Pump, fail_waiters

QUERY_TIMEOUT = 10.0
"""Seconds without an answer after which the position is queried again: the answer may be lost."""

MAX_QUEUED = 40
"""Queries after which the first has certainly been executed, answered or not: no firmware queues this many commands."""

MAX_STRAY_OKS = 5
"""Queries that are enough for a firmware that says `ok` on execution: there are never as many stray `ok`s."""

REPORT_SPAN_S = 30.0
"""Seconds in which three positions without a query show that the firmware reports them by itself (M154)."""

STANDSTILL_INTERVAL = 1.0
"""Seconds between two queries of the position; at rest, both have the same answer."""

MAX_UNANSWERED = 3
"""After this many unanswered queries in a row, an unknown firmware does not report its position."""

MAX_MOVING_S = 3600.0
"""Seconds after which a printer that has acknowledged everything and still moves cannot be making this host's moves."""

Axes = dict[str, float]
Send = Callable[[str], Awaitable[object]]


class RestWatch:
    """Waits until the printer is at rest, in the way that suits its firmware."""

    def __init__(self, pump: Pump, commands: Commands, publish: Callable[[Event], None]) -> None:
        """Prepare; `publish` passes an event to the listeners."""
        self._pump = pump
        self._commands = commands
        self.send: Send = commands.send
        self._publish = publish
        self._loop = asyncio.get_running_loop()
        self._position: Axes | None = None
        self._reported = 0  # number of reported positions
        self._unasked: deque[float] = deque([-math.inf] * 3, maxlen=3)  # when the last positions came without a query
        self._waiter: asyncio.Future[None] | None = None

    def note(self, axes: Axes) -> None:
        """Take a reported position, whether it was queried or not."""
        self._position = axes
        self._reported += 1
        if not self._commands.positions_due:
            self._unasked.append(self._loop.time())
        self._commands.positions_due = max(0, self._commands.positions_due - 1)
        if not self._commands.positions_due and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @property
    def _reports_by_itself(self) -> bool:
        """Positions come unasked (M154), so a further one need not be an answer; a single one may come from a G28."""
        return self._loop.time() - self._unasked[0] < REPORT_SPAN_S

    def end(self, error: NozzledError) -> None:
        """Raise the error in `wait_for_rest`."""
        fail_waiters([self._waiter] if self._waiter is not None else [], error)

    async def wait_for_rest(self) -> Axes | None:
        """Wait until every move sent has been made; return the position; None: the firmware does not report it."""
        dialect = self._pump.link.dialect if self._pump.link is not None else UNKNOWN
        *before, last = (command.decode() for command in dialect.rest_commands)
        for command in before:
            await self.send(command)
        self._position = None
        if dialect.rest_sign == "same position":
            await self._wait_for_standstill(last)
        elif dialect.ok_at == "receipt":
            await self._wait_for_position(last)
        else:
            await self._wait_for_position_in_order(last)
        return self._position

    async def _wait_for_position_in_order(self, query: str) -> None:
        """Query until a position comes that answers this query and not an earlier one."""
        reported = self._reported + self._commands.positions_due
        for _ in range(MAX_STRAY_OKS):
            await self.send(query)
            if self._reported > reported and not self._reports_by_itself:
                return
        self._commands.positions_due = 0

    async def _wait_for_position(self, query: str) -> None:
        """Query until the position comes: the `ok` only says that the query was received."""
        for _ in range(MAX_QUEUED):
            waiter = self._waiter = self._loop.create_future()
            await self.send(query)
            try:
                async with asyncio.timeout(QUERY_TIMEOUT):
                    await waiter
            except TimeoutError:
                self._commands.positions_due = 0  # the answers to earlier queries are lost
            else:
                return

    async def _wait_for_standstill(self, query: str) -> None:
        """Query until the same position comes twice, or no position comes."""
        end = self._loop.time() + MAX_MOVING_S
        before: Axes | None = None
        unanswered = 0
        while unanswered < MAX_UNANSWERED:
            self._position = None
            await self.send(query)
            await asyncio.sleep(STANDSTILL_INTERVAL)
            position = self._position
            if position is not None and position == before:
                return
            before = position
            unanswered = unanswered + 1 if position is None else 0
            if self._loop.time() > end:
                minutes = MAX_MOVING_S / 60
                text = f"the printer has acknowledged every move, but has moved for {minutes:g} min since then"
                self._publish(FirmwareSaid(text, "warning"))
                return
