"""LinePrinter: the one driver. It pumps bytes between the link protocol and a transport, and nothing else.

One piece of bytes from the printer costs one callback: receive, answer, tell. There is no task, future or timer
per line; one timer serves all deadlines of the link.
"""

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from gcode.dialect import UNKNOWN, Dialect, recognise
from gcode.errors import CommandError, FirmwareHalted, NozzledError, PrinterReset
from gcode.greeting import Greeting
from gcode.heating import heaters_off
from gcode.histogram import Histogram
from gcode.link import HostLink, Left
from gcode.modes import Modes
from gcode.outgoing import Counters, Position, Ticket, check_command
from gcode.replies import (
    Action,
    Capability,
    FirmwareError,
    FirmwareInfo,
    Heaters,
    Ok,
    Reading,
    Reply,
    SdDone,
    SdIdle,
    SdOpened,
    SdProgress,
    SdSelected,
    Targets,
    Temperatures,
    UnknownCommand,
)
from gcode.replies import Position as PositionReport
from hal import flight_recorder
from hal.emergency_stop import EmergencyStop
from hal.errors import HandshakeFailed, NotConnected, PortError, PortLost
from hal.logbook import Logbook
from hal.loop import WatchedLoop
from hal.panel import Panel
from hal.printer import (
    ActionRequested,
    ConnectionState,
    Event,
    FirmwareSaid,
    Identity,
    LineSource,
    PanelPrint,
    PanelPrintChanged,
    PositionRead,
    Prompt,
    StateChanged,
    TemperaturesRead,
)
from hal.question import Question
from hal.session_file import EVENT, HOST, PRINTER, Record
from hal.transport import Reopenable, Transport

KEEPALIVE = "M113 S2"  # a busy message each 2 s: somebody may have turned them off, and silence means something then
CARD_REPORTS = "M27 S5"  # how far a print from the SD card is, each 5 s
STRAGGLERS = 0.2  # seconds for the answer to M115, where its ok was that of a late hello: it is counted as stray then
LONGEST_NAP = 10.0  # seconds; a deadline may come nearer (a long command has ended), and no line sets the timer
OVERSLEPT = 2 * LONGEST_NAP  # seconds behind a deadline after which the driver is taken for dead

_SELECTS = re.compile(rb"M0*(?:23|32)(?!\d)", re.IGNORECASE)  # a file on the printer's SD card


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """What a user may set about the line.

    Attributes:
        greeting_timeout: seconds in which someone has to answer after the port is open.
        answer_timeout: seconds of silence before the link asks whether anyone is there.
        poll_interval: seconds between temperature reports.
        idle_interval: the same where they have to be asked for, while no heater is on and no job is fed.
        report_patience: seconds without one after which a printer that reports by itself is asked all the same: a
            file or a user may have turned that off.
        card_interval: seconds between questions how far a print from the SD card is, where they have to be asked.
        window_lines: lines in flight; 0: what the firmware's dialect allows.
        window_bytes: bytes in flight; 0: what the firmware's dialect allows.
        long_commands: first words, blanks between them, of commands that may take minutes besides those known to.
        extruders: tools to turn off when the conversation fails.
        heated_chamber: there is a chamber to turn off too.
    """

    greeting_timeout: float = 10.0
    answer_timeout: float = 30.0
    poll_interval: float = 2.0
    idle_interval: float = 5.0
    report_patience: float = 10.0
    card_interval: float = 5.0
    window_lines: int = 0
    window_bytes: int = 0
    long_commands: str = ""
    extruders: int = 1
    heated_chamber: bool = False


class _Command(Ticket):
    """A command with someone waiting for its answer."""

    __slots__ = ("answered",)

    def __init__(
        self, command: bytes, answered: asyncio.Future[Sequence[str]], *, urgent: bool = False, step: int = 0
    ) -> None:
        super().__init__(command, urgent=urgent, step=step)
        self.answered = answered


class LinePrinter:
    """A `hal.printer.Printer` over any transport."""

    def __init__(
        self, transport: Transport, settings: LinkSettings | None = None, logbook: Logbook | None = None
    ) -> None:
        self._transport = transport
        self._logbook = logbook
        self._settings = settings or LinkSettings()
        self._loop = asyncio.get_running_loop()
        self._link: HostLink | None = None
        self._greeting: Greeting | None = None
        self._greeted: asyncio.Future[None] | None = None
        self._banner: list[str] = []
        self._state = ConnectionState.OFFLINE
        self._used = False  # OFFLINE is before opening and after closing
        self._error: NozzledError | None = None
        self._identity = Identity()
        self._heaters: Heaters = {}
        self._targets: dict[str, float] = {}  # told apart from the temperatures
        self._panel = Panel()
        self._selecting: Ticket | None = None  # the host's own command that selects a file on the SD card
        self._listeners: list[Callable[[Event], None]] = []
        self._waiting: set[_Command] = set()
        self._drain_waiters: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._temperatures = Question(b"M105", self._ask, self._temperature_interval)
        self._card = Question(b"M27", self._ask, self._card_interval)
        self._fed = False  # there is a job
        self._stopping: EmergencyStop | None = None  # one that waits for its confirmation
        self._ring: deque[flight_recorder.Piece] = deque(maxlen=flight_recorder.SIZE)
        self._turnaround = Histogram()
        self._watch = self._loop.watch if isinstance(self._loop, WatchedLoop) else None

    # -- what is known -------------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """The printer's address."""
        return self._transport.address

    @property
    def baudrate(self) -> int | None:
        """Bits per second on the wire; None where bytes take no time."""
        return self._transport.baudrate

    @property
    def state(self) -> ConnectionState:
        """The connection's state."""
        return self._state

    @property
    def error(self) -> NozzledError | None:
        """The first cause when the state is FAULT."""
        return self._error

    @property
    def identity(self) -> Identity:
        """What M115 said."""
        return self._identity

    @property
    def heaters(self) -> Heaters:
        """The last temperature report, in °C."""
        return self._heaters

    @property
    def counters(self) -> Counters:
        """What went over the line so far."""
        return self._link.counters if self._link else Counters()

    @property
    def position(self) -> Position:
        """How far the job that is fed has got."""
        return self._link.position if self._link else Position()

    @property
    def longest_command(self) -> int:
        """Bytes of a command that this firmware reads."""
        return (self._link.dialect if self._link else UNKNOWN).longest_command

    def check(self, command: str) -> bytes:
        """Return a command as it would go on the wire; raises what is wrong with it."""
        checked = check_command(command)
        if len(checked) > self.longest_command:
            raise CommandError(
                f"the command has {len(checked)} characters, the firmware reads {self.longest_command}: "
                f"{checked[:40].decode()}…"
            )
        return checked

    @property
    def modes(self) -> Modes:
        """How the next coordinates sent will be read."""
        return self._link.modes if self._link else Modes()

    @property
    def next_number(self) -> int:
        """The line number that the next new line will get."""
        return self._link.next_number if self._link else 1

    @property
    def idle(self) -> bool:
        """Nothing is unanswered and no command waits."""
        return self._link is None or self._link.idle

    @property
    def hangs(self) -> bool:
        """A deadline of the link is long past and nothing was done about it, which only a bug explains."""
        deadline = self._link.deadline if self._link and self._state is ConnectionState.READY else None
        return deadline is not None and self._loop.time() > deadline + OVERSLEPT

    @property
    def panel_print(self) -> PanelPrint | None:
        """What the printer prints from its own SD card."""
        return self._panel.print

    @property
    def message(self) -> str | None:
        """The last text that the printer had for the user."""
        return self._panel.message

    @property
    def prompt(self) -> Prompt | None:
        """The question that the printer shows."""
        return self._panel.prompt

    @property
    def turnaround(self) -> Histogram:
        """From bytes of the printer being readable to the lines that answer them being written, in s."""
        return self._turnaround

    def tail(self) -> list[str]:
        """Return the last lines that went over the line, oldest first: `>` from the host, `<` from the printer."""
        return flight_recorder.lines(self._ring)

    def tail_since(self, time: float) -> list[str]:
        """Return those of them that came after this time of the loop."""
        return flight_recorder.lines(piece for piece in self._ring if piece[0] > time)

    def recent(self) -> list[Record]:
        """Return the last pieces that went over the line, oldest first, timed from the first of them."""
        return flight_recorder.records(self._ring)

    def subscribe(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call `listener` with each event from now on; returns the function that ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    # -- opening -------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the line, find out who is there, and be READY.

        Raises:
            PortError: the line cannot be opened or nobody answers; the state is FAULT then.
        """
        await self._be_ready(self._transport.open, self._first_contact)

    async def come_back(self, left: Left, identity: Identity) -> None:
        """Go on with a conversation that another host has left on this line, and be READY behind what it had sent.

        Args:
            left: where it was left.
            identity: who was there.

        Raises:
            PortError: the line cannot be opened, or not without a reset.
            RemoteProtocolError: what the printer answers does not fit what was sent; the state is FAULT then.
        """
        if not isinstance(self._transport, Reopenable):
            raise PortError(f"{self.address} cannot be opened without ending what goes on there")
        link = self._make_link(recognise(identity.name))
        link.come_back(left, self._loop.time())
        if self._logbook is not None:
            self._logbook.go_on(left)
        await self._be_ready(self._transport.reopen, partial(self._contact_again, identity))

    async def _be_ready(
        self,
        open_line: Callable[[Callable[[bytes], None], Callable[[PortError], None]], Awaitable[None]],
        contact: Callable[[], Awaitable[None]],
    ) -> None:
        if self._used:
            raise NotConnected("a connection is opened once; make a new one")
        self._used = True
        self._enter(ConnectionState.OPENING)
        self._ring.append((self._loop.time(), EVENT, b"open"))
        try:
            await open_line(self._on_data, self._fail)
            if self._state is not ConnectionState.OPENING:
                self._transport.close()  # closed meanwhile, when there was nothing to close yet
                raise self._error or NotConnected("the connection was closed")
            self._enter(ConnectionState.HANDSHAKING)
            await contact()
        except NozzledError as error:
            self._fail(error)
            raise
        self._require_open()
        self._enter(ConnectionState.READY)
        await self._start_reports()

    async def _first_contact(self) -> None:
        await self._greet()
        await self._introduce()

    async def _contact_again(self, identity: Identity) -> None:
        await self._introduce()  # answered behind everything that was under way
        if self._identity.uuid != identity.uuid or self._identity.name != identity.name:
            found, wanted = (f"{each.name} {each.uuid or ''}".strip() for each in (self._identity, identity))
            raise PrinterReset(f"another printer is on the line: {found}, not {wanted}")

    def _make_link(self, dialect: Dialect) -> HostLink:
        baudrate = self._transport.baudrate
        journal = self._logbook.note if self._logbook is not None else None
        self._link = HostLink(self._adapt(dialect), 10 / baudrate if baudrate else 0.0, journal)
        return self._link

    async def _greet(self) -> None:
        greeting = self._greeting = Greeting(self._loop.time())
        greeted = self._greeted = self._loop.create_future()
        self._pump(self._loop.time())
        try:
            async with asyncio.timeout(self._settings.greeting_timeout):
                await greeted
        except TimeoutError:
            heard = "what came is no G-code firmware" if greeting.heard else "nothing came"
            raise HandshakeFailed(
                f"no printer answers on {self.address} within {self._settings.greeting_timeout:g} s: {heard}; "
                "is it switched on, and is the baudrate right?"
            ) from None
        self._banner = greeting.banner
        self._greeting = None
        if self._logbook is not None:
            self._logbook.begin()
        self._make_link(UNKNOWN)

    async def _introduce(self) -> None:
        await self._send("M115")
        if not self._identity.fields:
            await asyncio.sleep(STRAGGLERS)
        said = self._identity.fields.get("FIRMWARE_NAME", "")
        dialect = recognise(said, self._banner)
        self._identity = replace(self._identity, name=said or dialect.name, uuid=self._identity.fields.get("UUID"))
        if self._link:
            self._link.dialect = self._adapt(dialect)

    def _adapt(self, dialect: Dialect) -> Dialect:
        settings = self._settings
        return replace(
            dialect,
            answer_timeout=settings.answer_timeout,
            long_commands=frozenset(settings.long_commands.upper().encode().split()),
            window_lines=settings.window_lines or dialect.window_lines,
            window_bytes=settings.window_bytes or dialect.window_bytes,
            learns=not settings.window_lines,
        )

    async def _start_reports(self) -> None:
        if self._reports_itself:
            await self._send(f"M155 S{max(1, round(self._settings.poll_interval))}")
            self._temperatures.ask_later()
        else:
            self._temperatures.ask()
        if self._identity.capabilities.get("AUTOREPORT_SD_STATUS"):
            await self._send(CARD_REPORTS)
        if self._identity.capabilities.get("BUSY_PROTOCOL") and self._numbered:
            await self._send(KEEPALIVE)

    def _ask(self, ticket: Ticket) -> None:
        if self._link is not None:
            self._link.send(ticket)
            self._pump(self._loop.time())

    @property
    def _reports_itself(self) -> bool:
        """The firmware tells its temperatures unasked, once it has been told to."""
        return bool(self._identity.capabilities.get("AUTOREPORT_TEMP") and self._numbered)

    @property
    def _numbered(self) -> bool:
        return self._link is not None and self._link.dialect.numbered

    def _temperature_interval(self) -> float:
        if self._reports_itself:
            return max(self._settings.report_patience, 2 * self._settings.poll_interval)
        busy = self._fed or any(reading.target for reading in self._heaters.values())
        return self._settings.poll_interval if busy else self._settings.idle_interval

    def _card_interval(self) -> float | None:
        """Return when to ask about a print from the SD card: as long as one is known, and nothing is told unasked."""
        told = self._identity.capabilities.get("AUTOREPORT_SD_STATUS")
        return None if told or self._panel.print is None else self._settings.card_interval

    # -- a job's lines -------------------------------------------------------------------------------------

    def feed(self, source: LineSource | None, *, goes_on: bool = False) -> None:
        """Take the job's lines from here; None ends it and drops nothing in flight."""
        self._require_link().feed(source.next_line if source else None, goes_on=goes_on)
        self._fed = source is not None
        if self._fed and self._temperatures.goes_on:  # the timer may have been set for an idle printer
            self._temperatures.ask_later()
        self._pump(self._loop.time())

    def wake(self) -> None:
        """Say that the source has lines again."""
        if self._link is not None:
            self._pump(self._loop.time())

    def hold(self) -> None:
        """Close the gate: send no more lines of the job."""
        if self._link is not None:
            self._link.hold()

    def release(self) -> None:
        """Open the gate again."""
        if self._link is not None:
            self._link.release()
            self._pump(self._loop.time())

    async def drained(self) -> None:
        """Wait until every line of the job that was sent has been acknowledged."""
        link = self._require_link()
        if link.job_in_flight:
            waiter = self._loop.create_future()
            self._drain_waiters.append(waiter)
            await waiter

    # -- commands between them -----------------------------------------------------------------------------

    async def send(self, command: str, *, urgent: bool = False, step: int = 0) -> Sequence[str]:
        """Send one command between the lines of a job; return what the printer answered, `ok` last."""
        if self._state is not ConnectionState.READY:
            raise NotConnected(f"the printer is not connected ({self._state.value})")
        return await self._send(command, urgent=urgent, step=step)

    async def _send(self, command: str, *, urgent: bool = False, step: int = 0) -> Sequence[str]:
        ticket = _Command(self.check(command), self._loop.create_future(), urgent=urgent, step=step)
        self._require_link().send(ticket)
        self._note_selecting(ticket)
        self._waiting.add(ticket)
        try:
            self._pump(self._loop.time())
            return await ticket.answered
        finally:
            self._waiting.discard(ticket)

    async def answer_prompt(self, choice: int) -> None:
        """Answer the question that the printer shows; it is shown no more."""
        self._panel.answered()
        await self.send(f"M876 S{choice}", urgent=True)

    def submit(self, *commands: str) -> None:
        """Queue a client's commands, all or none, without waiting for the answers."""
        if self._state is not ConnectionState.READY:
            raise NotConnected(f"the printer is not connected ({self._state.value})")
        tickets = [Ticket(self.check(command), foreign=True) for command in commands]
        self._require_link().submit(tickets)
        for ticket in tickets:
            self._note_selecting(ticket)
        self._pump(self._loop.time())

    def _note_selecting(self, ticket: Ticket) -> None:
        if _SELECTS.match(ticket.command):
            self._selecting = ticket

    # -- stopping ------------------------------------------------------------------------------------------

    def emergency_stop(self, reason: str = "emergency stop") -> None:
        """Stop everything now; awaits nothing. The connection ends in FAULT.

        Whether it worked is told as `FirmwareSaid` within `emergency_stop.CONFIRM` seconds.
        """
        if self._state not in (ConnectionState.HANDSHAKING, ConnectionState.READY):
            return  # there is no line
        # What is on its way stays: at most a window, 11 ms at 115200 baud, while half a line would make Marlin
        # flush its receive buffer, and M112 with it.
        if self._link is not None:
            self._link.discard()
        self._stopping = EmergencyStop(self._loop, lambda data: self._write(data, self._loop.time()), self._stopped)
        self._stopping.begin(self.next_number)
        if not self._identity.capabilities.get("EMERGENCY_PARSER"):
            self._ring.append((self._loop.time(), EVENT, b"reset"))
            self._transport.reset()  # M112 would wait behind the moves that are queued; a reset does not
        self._fail(FirmwareHalted(reason), cool=False)

    def _stopped(self, severity: str, text: str) -> None:
        self._stopping = None
        self._transport.close()
        self._publish(FirmwareSaid(text, severity))

    async def close(self) -> None:
        """Close the line; idempotent."""
        if self._stopping is not None:
            self._stopping.give_up()
        self._shut(NotConnected("the connection was closed"))
        if self._state is not ConnectionState.FAULT:
            self._enter(ConnectionState.OFFLINE)

    def _fail(self, error: NozzledError, *, cool: bool = True) -> None:
        """Take the first cause, make the printer cold if the line still carries it, and tell everyone."""
        if self._state in (ConnectionState.FAULT, ConnectionState.OFFLINE):
            return
        # a firmware that says it has stopped may have stopped for a reason that leaves its heaters on
        dead = isinstance(error, PortError | PrinterReset)
        now = self._loop.time()
        if cool and self._link is not None and not dead:
            self._write(b"\n" + self._heaters_off(), now)
        elif isinstance(error, PortLost):
            self._ring.append((now, EVENT, b"lost " + str(error).encode()))
        self._error = error
        self._shut(error)
        self._enter(ConnectionState.FAULT, error)

    def _heaters_off(self) -> bytes:
        settings = self._settings
        commands = [*heaters_off(settings.extruders, chamber=settings.heated_chamber), "M107"]
        return "".join(f"{command}\n" for command in commands).encode()

    def _shut(self, error: NozzledError) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._temperatures.stop()
        self._card.stop()
        if self._stopping is None:
            self._transport.close()
        self._greeting = None
        _refuse([command.answered for command in self._waiting], error)
        _refuse(self._drain_waiters, error)
        _refuse([self._greeted] if self._greeted else [], error)
        self._drain_waiters.clear()

    def _require_open(self) -> None:
        if self._error is not None:
            raise self._error

    def _require_link(self) -> HostLink:
        if self._link is None or self._state in (ConnectionState.FAULT, ConnectionState.OFFLINE):
            raise self._error or NotConnected("the printer is not connected")
        return self._link

    # -- the pump ------------------------------------------------------------------------------------------

    def _on_data(self, data: bytes) -> None:
        watch = self._watch
        now = watch.woke_at if watch is not None else self._loop.time()
        self._ring.append((now, PRINTER, data))
        if self._stopping is not None:
            self._stopping.receive(data)
            return
        link = self._link
        if link is None:
            self._pump_greeting(data, now)
            return
        told = link.receive(data, now)
        if out := link.data_to_send(now):
            self._ring.append((now, HOST, out))
            self._transport.write(out)
            if watch is not None:
                self._turnaround.add(self._loop.time() - now)
        if told:
            for item in told:
                self._tell(item)
        if self._drain_waiters and not link.job_in_flight:
            self._release_drained()
        if link.error is not None:
            self._fail(link.error)
        elif self._timer is None or (told and link.urgent):
            self._arm(link.deadline)

    def _pump_greeting(self, data: bytes, now: float) -> None:
        if self._greeting is not None:
            self._greeting.receive(data, now)
            self._pump(now)

    def _pump(self, now: float) -> None:
        protocol = self._link or self._greeting
        if protocol is None or self._state in (ConnectionState.FAULT, ConnectionState.OFFLINE):
            return  # nothing follows the end, least of all an emergency stop
        if out := protocol.data_to_send(now):
            self._write(out, now)
        self._arm(protocol.deadline)

    def _write(self, data: bytes, now: float) -> None:
        self._ring.append((now, HOST, data))
        self._transport.write(data)

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
        now = self._loop.time()
        protocol = self._link or self._greeting
        if protocol is None:
            return
        protocol.tick(now)
        if isinstance(protocol, HostLink) and protocol.error is not None:
            self._fail(protocol.error)
            return
        if isinstance(protocol, Greeting) and protocol.done and self._greeted and not self._greeted.done():
            self._greeted.set_result(None)
        self._pump(now)

    def _release_drained(self) -> None:
        for waiter in self._drain_waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._drain_waiters.clear()

    # -- telling -------------------------------------------------------------------------------------------

    def _tell(self, item: Reply | Ticket) -> None:
        if item is self._selecting:
            self._selecting = None  # answered: what is selected from now on, somebody at the panel selects
        match item:
            case _Command():
                if not item.answered.done():
                    item.answered.set_result(item.replies)
            case Temperatures() | Ok() if item.heaters:
                self._take_temperatures(item.heaters)
            case Targets():
                self._take_targets(item.targets)
            case FirmwareInfo():
                self._identity = replace(self._identity, fields=item.fields)
            case Capability():
                self._identity.capabilities[item.name] = item.enabled
            case Reply():
                self._tell_seldom(item)

    def _tell_seldom(self, reply: Reply) -> None:
        match reply:
            case Action():
                self._panel.act(reply)
                self._publish(ActionRequested(reply.name, reply.argument))
            case SdOpened() | SdSelected() | SdProgress() | SdIdle() | SdDone():
                self._note_card(reply)
            case PositionReport():
                self._publish(PositionRead(reply.axes))
            case UnknownCommand():
                self._note_card(reply)
                self._publish(FirmwareSaid(reply.line, "warning"))
            case FirmwareError():
                self._publish(FirmwareSaid(reply.line, "warning" if reply.kind == "communication" else "error"))

    def _take_temperatures(self, heaters: Heaters) -> None:
        if self._targets:
            heaters = {
                name: Reading(read.actual, self._targets.get(name)) if read.target is None else read
                for name, read in heaters.items()
            }
        self._heaters = {**self._heaters, **heaters}
        if self._reports_itself and self._temperatures.goes_on:
            self._temperatures.ask_later()  # that one was heard: none is missed yet
        self._publish(TemperaturesRead(self._heaters))

    def _take_targets(self, targets: dict[str, float]) -> None:
        """Take targets told by themselves: they hold until others come, also for reports without any."""
        known = {name: target for name, target in targets.items() if name in self._heaters}
        self._targets |= known
        if known:
            self._take_temperatures({name: Reading(self._heaters[name].actual, known[name]) for name in known})

    def _note_card(self, reply: Reply) -> None:
        if self._panel.note(reply, asked=self._selecting is not None):
            self._publish(PanelPrintChanged(self._panel.print))
            self._card.ask_later()

    def _enter(self, state: ConnectionState, error: NozzledError | None = None) -> None:
        if state is not self._state:
            old, self._state = self._state, state
            self._publish(StateChanged(old, state, error))

    def _publish(self, event: Event) -> None:
        for listener in tuple(self._listeners):
            listener(event)


def _refuse(waiters: Sequence[asyncio.Future[Any]], error: NozzledError) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_exception(error)
            waiter.exception()  # whoever waits still gets it; nobody waiting is no mistake
