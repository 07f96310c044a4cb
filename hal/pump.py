"""Pump: bytes between a transport and whatever speaks on it: a greeting, then the link.

One piece of bytes from the printer costs one callback: receive, answer, tell. There is no task, future or timer
per line; one timer serves all deadlines of the link.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from gcode.asking import Asking
from gcode.errors import NozzledError
from gcode.greeting import Greeting
from gcode.histogram import Histogram
from gcode.link import HostLink, LinkEvent
from hal import flight_recorder
from hal.loop import WatchedLoop
from hal.session_file import EVENT, HOST, PRINTER
from hal.transport import Transport

LOOK = 5.0  # seconds between two checks whether a printer that does not answer is busy
LONGEST_NAP = 10.0  # seconds; a deadline may become earlier (a long command has ended) without the timer being set anew
OVERSLEPT = 2 * LONGEST_NAP  # seconds after a deadline that was not acted upon after which the driver counts as hung


class Pump:
    """What goes over one line.

    Attributes:
        transport: the line.
        link: the conversation, once the printer has been greeted.
        greeting: what greets the printer, until it has answered.
        asking: in place of link and greeting: what asks the printer which line it wants next.
        divert: gets all bytes in place of the link: an emergency stop that waits for its confirmation, for one.
        ring: the last pieces that went over the line.
        heard_at: when the last bytes came.
        turnaround: from bytes of the printer being readable to the lines that answer them being written, in s.
    """

    def __init__(
        self,
        transport: Transport,
        tell: Callable[[LinkEvent], None],
        fail: Callable[[NozzledError], None],
    ) -> None:
        """Prepare.

        Args:
            transport: the line, not open.
            tell: called with each event of the link: a reply, a command that was answered, a line that was refused.
            fail: called with the error that ends the conversation.
        """
        self.transport = transport
        self.link: HostLink | None = None
        self.greeting: Greeting | None = None
        self.asking: Asking | None = None
        self.divert: Callable[[bytes], None] | None = None
        self.ring: deque[flight_recorder.Piece] = deque(maxlen=flight_recorder.SIZE)
        self.turnaround = Histogram()
        self.heard_at = 0.0
        self._tell = tell
        self._fail = fail
        self._loop = asyncio.get_running_loop()
        self._time = self._loop.time
        self._watch = self._loop.watch if isinstance(self._loop, WatchedLoop) else None
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False
        self._greeted: asyncio.Future[None] | None = None
        self._asked: asyncio.Future[int] | None = None
        self._drain_waiters: list[asyncio.Future[None]] = []

    # -- what comes ----------------------------------------------------------------------------------------

    def on_data(self, data: bytes) -> None:
        """Take bytes from the printer, and put what they allow on the wire."""
        watch = self._watch
        now = watch.woke_at if watch is not None else self._loop.time()
        self.heard_at = now
        self.ring.append((now, PRINTER, data))
        if self.divert is not None:
            self.divert(data)
            return
        link = self.link
        if link is None:
            self._greeting_heard(data, now)
            return
        events = link.receive(data, now)
        if out := link.data_to_send(now):
            self.ring.append((now, HOST, out))
            self.transport.write(out)
            if watch is not None:
                self.turnaround.add(self._time() - now)
        if events:
            for event in events:
                self._tell(event)
        if self._drain_waiters and not link.job_in_flight:
            self._release_drained()
        if link.error is not None:
            self._fail(link.error)
        elif self._timer is None or (events and link.urgent):
            self._arm(link.deadline)

    def _greeting_heard(self, data: bytes, now: float) -> None:
        if (first := self.greeting or self.asking) is not None:
            first.receive(data, now)
            self.turn()

    # -- what goes -----------------------------------------------------------------------------------------

    def turn(self) -> None:
        """Put on the wire what may go now, and see to it that the next deadline is met."""
        protocol = self.link or self.greeting or self.asking
        if protocol is None or self._ended:
            return  # nothing follows the end, least of all an emergency stop
        now = self._loop.time()
        if out := protocol.data_to_send(now):
            self.write(out)
        if protocol is self.asking:
            self._on_asked(protocol)
        self._arm(protocol.deadline)

    def write(self, data: bytes) -> None:
        """Put bytes on the wire as they are."""
        self.ring.append((self._loop.time(), HOST, data))
        self.transport.write(data)

    def mark(self, event: bytes) -> None:
        """Take down what happened to the line itself."""
        self.ring.append((self._loop.time(), EVENT, event))

    async def greet(self, patience: float, on_busy: Callable[[], None], *, packed: bool = False) -> Greeting:
        """Return the greeting when it has been answered.

        Args:
            patience: seconds for the answer.
            on_busy: called once, where the printer is busy for somebody else and answers later.
            packed: the firmware may be waiting for packed bytes.

        Raises:
            TimeoutError: there was no answer for `patience` seconds, and the printer was not busy for somebody else.
        """
        greeting = self.greeting = Greeting(self._loop.time(), packed=packed)
        greeted = self._greeted = self._loop.create_future()
        self.turn()
        began, told = self._loop.time(), False
        while not greeted.done():
            left = max(began, greeting.busy_at) + patience - self._loop.time()
            if left <= 0:
                raise TimeoutError
            await asyncio.wait([greeted], timeout=min(left, LOOK))
            if greeting.busy_at > began and not (told or greeted.done()):
                told = True
                on_busy()
        greeted.result()
        return greeting

    async def ask(self, asking: Asking) -> int:
        """Return the line that the printer wants next, as it counts; before there is a link.

        Raises:
            RemoteProtocolError: it does not say.
        """
        self.asking = asking
        heard: asyncio.Future[int] = self._loop.create_future()
        self._asked = heard
        self.turn()
        try:
            return await heard
        finally:
            self.asking = self._asked = None

    def _on_asked(self, asking: Asking) -> None:
        if self._asked is None or self._asked.done():
            return
        if asking.wanted is not None:
            self._asked.set_result(asking.wanted)
        elif asking.error is not None:
            self._asked.set_exception(asking.error)

    async def drained(self) -> None:
        """Wait until every line of the job that was sent has been acknowledged."""
        if self.link is not None and self.link.job_in_flight:
            waiter = self._loop.create_future()
            self._drain_waiters.append(waiter)
            await waiter

    def _release_drained(self) -> None:
        for waiter in self._drain_waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._drain_waiters.clear()

    # -- time ----------------------------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """The conversation has ended: nothing more is sent."""
        return self._ended

    @property
    def overslept(self) -> bool:
        """A deadline of the link is long past and nothing was done about it, which only a bug explains."""
        deadline = self.link.deadline if self.link is not None else None
        return deadline is not None and self._loop.time() > deadline + OVERSLEPT

    def _arm(self, deadline: float | None) -> None:
        """Have one timer that fires no later than the deadline; firing early is harmless."""
        if deadline is None:
            return
        deadline = min(deadline, self._loop.time() + LONGEST_NAP)
        if self._timer is not None:
            if self._timer.when() <= deadline:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        protocol = self.link or self.greeting or self.asking
        if protocol is None:
            return
        if isinstance(protocol, Asking):
            self.turn()
            return
        for item in protocol.tick(self._loop.time()) or ():
            self._tell(item)
        if isinstance(protocol, HostLink) and protocol.error is not None:
            self._fail(protocol.error)
            return
        if isinstance(protocol, Greeting) and protocol.done and self._greeted and not self._greeted.done():
            self._greeted.set_result(None)
        self.turn()

    # -- the end -------------------------------------------------------------------------------------------

    def end(self, error: NozzledError) -> None:
        """Send nothing any more, and raise the cause in whoever waits; an emergency stop keeps the line open."""
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.divert is None:
            self.transport.close()
        self.greeting = self.asking = None
        refuse(self._drain_waiters, error)
        refuse([each for each in (self._greeted, self._asked) if each], error)
        self._drain_waiters.clear()


def refuse(waiters: Sequence[asyncio.Future[Any]], error: NozzledError) -> None:
    """Raise an error in whoever waits."""
    for waiter in waiters:
        if not waiter.done():
            waiter.set_exception(error)
            waiter.exception()  # marks it as retrieved: it is no bug if nobody waits
