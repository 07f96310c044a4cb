"""Pump: carries bytes between a transport and its protocol, which is a greeting or a line probe, then the link.

A piece of bytes from the printer costs one callback: receive, answer, publish. There is no task, future or timer per
line; one timer serves all deadlines of the link.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from gcode.errors import NozzledError
from gcode.greeting import Greeting
from gcode.histogram import Histogram
from gcode.line_probe import LineProbe
from gcode.link import HostLink, LinkEvent
from hal import flight_recorder
from hal.loop import WatchedLoop
from hal.session_file import EVENT, HOST, PRINTER
from hal.transport import Transport

BUSY_CHECK_INTERVAL = 5.0  # seconds between two checks whether a printer that does not answer is busy
MAX_NAP_S = 10.0  # seconds after which the timer fires at the latest: a deadline may move up while it runs
OVERSLEPT_S = 2 * MAX_NAP_S  # a deadline missed by this many seconds shows that the driver hangs


class Pump:
    """The traffic of one connection.

    Attributes:
        transport: carries the bytes.
        link: the conversation, once the printer has been greeted.
        greeting: in place of the link until the printer has answered.
        line_probe: in place of link and greeting while a probe finds out which line the printer wants.
        bypass: gets all bytes instead of these three: an emergency stop until its confirmation, or a halt test.
        ring: the last pieces that went over the wire.
        heard_at: when the last bytes came.
        turnaround: times, in s, from when bytes of the printer are readable until the lines in answer are written.
    """

    def __init__(
        self,
        transport: Transport,
        on_event: Callable[[LinkEvent], None],
        fail: Callable[[NozzledError], None],
    ) -> None:
        """Prepare.

        Args:
            transport: carries the bytes; not open yet.
            on_event: called with each event of the link: a reply, an answered command, a refused line.
            fail: called with the error that ends the conversation.
        """
        self.transport = transport
        self.link: HostLink | None = None
        self.greeting: Greeting | None = None
        self.line_probe: LineProbe | None = None
        self.bypass: Callable[[bytes], None] | None = None
        self.ring: deque[flight_recorder.Piece] = deque(maxlen=flight_recorder.RING_SIZE)
        self.turnaround = Histogram()
        self.heard_at = 0.0
        self._on_event = on_event
        self._fail = fail
        self._loop = asyncio.get_running_loop()
        self._time = self._loop.time
        self._watch = self._loop.watch if isinstance(self._loop, WatchedLoop) else None
        self._timer: asyncio.TimerHandle | None = None
        self._error: NozzledError | None = None  # the error that ended the conversation
        self._greeted: asyncio.Future[None] | None = None
        self._probed: asyncio.Future[int] | None = None  # the line that the printer wants
        self._acknowledgement_waiters: list[asyncio.Future[None]] = []

    # -- bytes in ------------------------------------------------------------------------------------------

    def on_data(self, data: bytes) -> None:
        """Take bytes from the printer, and send the lines that they allow."""
        watch = self._watch
        now = watch.woke_at if watch is not None else self._loop.time()
        self.heard_at = now
        self.ring.append((now, PRINTER, data))
        if self.bypass is not None:
            self.bypass(data)
            return
        link = self.link
        if link is None:
            self._before_link(data, now)
            return
        events = link.receive(data, now)
        if out := link.data_to_send(now):
            self.ring.append((now, HOST, out))
            self.transport.write(out)
            if watch is not None:
                self.turnaround.add(self._time() - now)
        if events:
            for event in events:
                self._on_event(event)
        if self._acknowledgement_waiters and not link.job_in_flight:
            self._release_waiters()
        if link.error is not None:
            self._fail(link.error)
        elif self._timer is None or (events and link.may_be_due_earlier):
            self._arm(link.deadline)

    def _before_link(self, data: bytes, now: float) -> None:
        if (protocol := self.greeting or self.line_probe) is not None:
            protocol.receive(data, now)
            self.turn()

    # -- bytes out -----------------------------------------------------------------------------------------

    def turn(self) -> None:
        """Send the bytes that may go now, and set the timer for the next deadline."""
        protocol = self.link or self.greeting or self.line_probe
        if protocol is None or self._error is not None:
            return  # nothing may be sent after the end: it may have been an emergency stop
        now = self._loop.time()
        if out := protocol.data_to_send(now):
            self.write(out)
        if protocol is self.line_probe:
            self._on_probe(protocol)
        self._arm(protocol.deadline)

    def write(self, data: bytes) -> None:
        """Send bytes directly, bypassing the protocol."""
        self.ring.append((self._loop.time(), HOST, data))
        self.transport.write(data)

    def mark(self, event: bytes) -> None:
        """Record an event of the port itself."""
        self.ring.append((self._loop.time(), EVENT, event))

    async def greet(self, patience: float, on_busy: Callable[[], None], *, packed: bool = False) -> Greeting:
        """Greet the printer; return the greeting once it is done.

        Args:
            patience: seconds to wait for the answer.
            on_busy: called once if the printer is busy and will answer later.
            packed: the firmware may be waiting for packed bytes.

        Raises:
            NozzledError: the conversation ended, perhaps before this call.
            TimeoutError: for `patience` seconds the printer neither answered nor was busy.
        """
        if self._error is not None:
            raise self._error
        greeting = self.greeting = Greeting(self._loop.time(), packed=packed)
        greeted = self._greeted = self._loop.create_future()
        self.turn()
        began, is_busy = self._loop.time(), False
        while not greeted.done():
            remaining = max(began, greeting.busy_at) + patience - self._loop.time()
            if remaining <= 0:
                raise TimeoutError
            await asyncio.wait([greeted], timeout=min(remaining, BUSY_CHECK_INTERVAL))
            if greeting.busy_at > began and not (is_busy or greeted.done()):
                is_busy = True
                on_busy()
        greeted.result()
        return greeting

    async def probe(self, probe: LineProbe, on_user_awaited: Callable[[], None]) -> int:
        """Run a probe before there is a link; return the number of the line that the printer wants, as it counts lines.

        Args:
            probe: the probe.
            on_user_awaited: called once if the printer waits for its user, and will answer later.

        Raises:
            RemoteProtocolError: the printer does not name a line.
        """
        self.line_probe = probe
        probed: asyncio.Future[int] = self._loop.create_future()
        self._probed = probed
        self.turn()
        was_reported = False
        try:
            while not probed.done():
                await asyncio.wait([probed], timeout=BUSY_CHECK_INTERVAL)
                if probe.user_is_awaited and not (was_reported or probed.done()):
                    was_reported = True
                    on_user_awaited()
            return probed.result()
        finally:
            self.line_probe = self._probed = None

    def _on_probe(self, probe: LineProbe) -> None:
        if self._probed is None or self._probed.done():
            return
        if probe.number is not None:
            self._probed.set_result(probe.number)
        elif probe.error is not None:
            self._probed.set_exception(probe.error)

    async def wait_until_acknowledged(self) -> None:
        """Wait until every line of the job that was sent has been acknowledged."""
        if self.link is not None and self.link.job_in_flight:
            waiter = self._loop.create_future()
            self._acknowledgement_waiters.append(waiter)
            await waiter

    def _release_waiters(self) -> None:
        for waiter in self._acknowledgement_waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._acknowledgement_waiters.clear()

    # -- deadlines -----------------------------------------------------------------------------------------

    @property
    def has_ended(self) -> bool:
        """The conversation has ended: nothing more is sent."""
        return self._error is not None

    @property
    def has_overslept(self) -> bool:
        """A deadline of the link passed long ago without effect, which only a bug can cause."""
        deadline = self.link.deadline if self.link is not None else None
        return deadline is not None and self._loop.time() > deadline + OVERSLEPT_S

    def _arm(self, deadline: float | None) -> None:
        """Set the one timer so that it fires no later than the deadline; firing early is harmless."""
        if deadline is None:
            return
        deadline = min(deadline, self._loop.time() + MAX_NAP_S)
        if self._timer is not None:
            if self._timer.when() <= deadline:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        protocol = self.link or self.greeting or self.line_probe
        if protocol is None:
            return
        if isinstance(protocol, LineProbe):
            self.turn()
            return
        for item in protocol.tick(self._loop.time()) or ():
            self._on_event(item)
        if isinstance(protocol, HostLink) and protocol.error is not None:
            self._fail(protocol.error)
            return
        if isinstance(protocol, Greeting) and protocol.done and self._greeted and not self._greeted.done():
            self._greeted.set_result(None)
        self.turn()

    # -- the end -------------------------------------------------------------------------------------------

    def end(self, error: NozzledError, *, keep_open: bool = False) -> None:
        """End the conversation: send nothing more, and raise the error in all waiters.

        The transport is closed, unless it is to be kept open for an emergency stop that is not confirmed yet.
        """
        self._error = self._error or error
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not keep_open:
            self.transport.close()
        self.greeting = self.line_probe = None
        fail_waiters(self._acknowledgement_waiters, error)
        fail_waiters([each for each in (self._greeted, self._probed) if each], error)
        self._acknowledgement_waiters.clear()


def fail_waiters(waiters: Sequence[asyncio.Future[Any]], error: NozzledError) -> None:
    """Raise an error in all waiters."""
    for waiter in waiters:
        if not waiter.done():
            waiter.set_exception(error)
            waiter.exception()  # marks the error as retrieved, in case the waiter is gone
