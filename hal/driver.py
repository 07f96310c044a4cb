"""LinePrinter: the one driver, for every printer.

It joins its parts: the pump carries bytes between the link and a transport, the handshake finds out which firmware
answers, `Commands` sends commands between the lines of a job, and `Reports` keeps what the printer reports. Whatever
ends the connection goes through `_fail`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from gcode.compact import Compact, compactor
from gcode.dialect import UNKNOWN, Dialect
from gcode.errors import FirmwareHalted, NozzledError, PrinterReset, PrinterSilent
from gcode.flight import LinkEstimate
from gcode.histogram import Histogram
from gcode.link import HostLink, LinkEvent, LinkSnapshot
from gcode.modes import Modes
from gcode.outgoing import Counters, JobPosition, LinkNotice, RefusedLine, Ticket
from gcode.packing import RESET, DecoderSaid
from gcode.replies import Capability, FirmwareInfo, Heaters, Reply
from gcode.replies import PositionReply as PositionReport
from hal.commands import Commands
from hal.emergency_stop import EmergencyStop
from hal.errors import NotConnected, PortError, PortLost
from hal.flight_recorder import FlightRecorder
from hal.handshake import Handshake
from hal.link_settings import LinkSettings
from hal.logbook import Logbook
from hal.news import News
from hal.printer import (
    ConnectionState,
    Event,
    FirmwareIdentity,
    FirmwareSaid,
    LineSource,
    LogLevel,
    Manner,
    PanelPrint,
    Prompt,
    StateChanged,
    StopEnded,
)
from hal.pump import Pump
from hal.reports import Reports
from hal.rest import RestWatch
from hal.transport import Reopenable, Transport

__all__ = ["LinePrinter", "LinkSettings"]


class LinePrinter:
    """A `hal.printer.Printer` over any transport."""

    def __init__(
        self, transport: Transport, settings: LinkSettings | None = None, logbook: Logbook | None = None
    ) -> None:
        self._transport = transport
        self._logbook = logbook
        self._settings = settings or LinkSettings()
        self._loop = asyncio.get_running_loop()
        self._state = ConnectionState.OFFLINE
        self._used = False  # OFFLINE is before opening and after closing
        self._error: NozzledError | None = None
        self._listeners: list[Callable[[Event], None]] = []
        self._pump = Pump(transport, self._on_link_event, self._fail)
        self._commands = Commands(self._pump)
        self._rest = RestWatch(self._pump, self._commands, self._publish)
        self._handshake = Handshake(self._pump, self._commands, self._settings, logbook, self._publish)
        self._news = News(self._publish)
        self._stopping: EmergencyStop | None = None  # one that waits for its confirmation
        self._to_be_stopped: str | None = None  # why, as soon as the line is open
        self._reports = Reports(self._pump, self._commands, self._handshake, self._settings, self._publish)

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
    def identity(self) -> FirmwareIdentity:
        """What M115 said."""
        return self._handshake.identity

    @property
    def dialect(self) -> Dialect:
        """What is known of its kind of firmware."""
        return self._link.dialect if self._link else UNKNOWN

    @property
    def heard_at(self) -> float:
        """When the last bytes came from it, in s of the loop."""
        return self._pump.heard_at

    @property
    def heaters(self) -> Heaters:
        """The last temperature report, in °C."""
        return self._reports.heaters

    def hotend(self, tool: int) -> str:
        """Return the name by which `heaters` has the hotend of a tool, which is there only if it is reported."""
        return self._reports.hotend(tool, in_use=self.modes.tool or 0)

    @property
    def counters(self) -> Counters:
        """What went over the line so far."""
        return self._link.counters if self._link else Counters()

    @property
    def position(self) -> JobPosition:
        """How far the job that is fed has got."""
        return self._link.position if self._link else JobPosition()

    @property
    def longest_command(self) -> int:
        """Bytes of a command that this firmware reads."""
        return self._commands.longest

    @property
    def compact(self) -> Compact | None:
        """What makes a line of a job shorter for this firmware; None: lines stay as they are."""
        keep = self._link.dialect.compact if self._link else None
        return None if keep is None else compactor(keep)

    def fitting(self, command: bytes) -> bytes | None:
        """Return a clean command as this firmware can read it; None: it is a text that had better not be sent."""
        return self._commands.fitting(command)

    def check(self, command: str) -> bytes:
        """Return a command as it would go on the wire; raises what is wrong with it."""
        return self._commands.check(command)

    @property
    def manner(self) -> Manner:
        """How the printer is spoken to."""
        dialect = self._link.dialect if self._link else UNKNOWN
        return Manner(dialect.name, dialect.window_lines, dialect.window_bytes)

    @property
    def modes(self) -> Modes:
        """How the next coordinates sent will be read."""
        return self._link.modes if self._link else Modes()

    @property
    def next_number(self) -> int:
        """The number of the next new line of this connection."""
        return self._link.next_number if self._link else 1

    @property
    def first_number(self) -> int:
        """The number of the first line of this connection that no other host has sent."""
        return self._link.first_number if self._link else 1

    @property
    def answered(self) -> int:
        """The number of the line up to which all of this connection have been answered."""
        return self._link.answered if self._link else 0

    @property
    def next_on_wire(self) -> int:
        """What the firmware gets as the number of the next new line."""
        return self._link.next_on_wire if self._link else 1

    @property
    def idle(self) -> bool:
        """Nothing is unanswered and no command waits."""
        return self._link is None or self._link.idle

    @property
    def hangs(self) -> bool:
        """A deadline of the link has long passed and was not acted upon, which only a bug explains."""
        return self._state is ConnectionState.READY and self._pump.overslept

    @property
    def busy(self) -> bool:
        """The firmware says that it carries out a command that takes long, and reads no other meanwhile."""
        return self._reports.busy

    @property
    def waits_for_user(self) -> bool:
        """The firmware says that it does nothing until somebody at the printer does something."""
        return self._reports.waits_for_user

    @property
    def panel_print(self) -> PanelPrint | None:
        """What the printer prints from its own SD card."""
        return self._reports.panel.print

    @property
    def message(self) -> str | None:
        """The last text that the printer had for the user."""
        return self._reports.panel.message

    @property
    def prompt(self) -> Prompt | None:
        """The question that the printer shows."""
        return self._reports.panel.prompt

    @property
    def turnaround(self) -> Histogram:
        """From bytes of the printer being readable to the lines that answer them being written, in s."""
        return self._pump.turnaround

    @property
    def flight_recorder(self) -> FlightRecorder:
        """The last pieces of bytes that went over the line."""
        return FlightRecorder(self._pump.ring)

    def use(self, settings: LinkSettings) -> None:
        """Use the settings of heaters from now on; those of the line take effect with the next connection."""
        self._settings = self._reports.settings = settings

    def subscribe(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call `listener` with each event from now on; returns the function that ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    # -- opening -------------------------------------------------------------------------------------------

    async def open(self, *, revive: bool = False) -> None:
        """Open the line, find out who is there, and be READY.

        Args:
            revive: somebody wants a firmware that has halted to obey again.

        Raises:
            PortError: the line cannot be opened or nobody answers; the state is FAULT then.
        """
        await self._be_ready(self._transport.open, partial(self._handshake.first_contact, revive=revive))

    async def reattach(self, snapshot: LinkSnapshot | LinkEstimate, identity: FirmwareIdentity) -> None:
        """Reattach to a conversation that the previous host left on this line, and be READY behind what it had sent.

        Args:
            snapshot: where it was left; or an estimate, if the printer has to be asked where.
            identity: of the printer that has to answer.

        Raises:
            PortError: the line cannot be opened, or not without a reset.
            RemoteProtocolError: what the printer answers does not fit what was sent; the state is FAULT then.
        """
        if not isinstance(self._transport, Reopenable):
            raise PortError(f"{self.address} cannot be reattached to: opening it would end what the printer is doing")
        if isinstance(snapshot, LinkEstimate):
            contact = partial(self._handshake.reattach_by_asking, snapshot, identity)
        else:
            self._handshake.reattach(snapshot, identity)
            contact = partial(self._handshake.confirm_identity, identity)
        await self._be_ready(self._transport.reopen, contact)

    async def open_to_stop(self, reason: str) -> None:
        """Open the line for an emergency stop and nothing else; without a reset, if the transport can do that.

        Raises:
            PortError: the line cannot be opened; nothing was stopped.
        """
        self._to_be_stopped = reason
        transport = self._transport
        try:
            await self._be_ready(
                transport.reopen if isinstance(transport, Reopenable) else transport.open, self._handshake.first_contact
            )
        except FirmwareHalted:
            return

    async def _be_ready(
        self,
        open_line: Callable[[Callable[[bytes], None], Callable[[PortError], None]], Awaitable[None]],
        contact: Callable[[], Awaitable[None]],
    ) -> None:
        if self._used:
            raise NotConnected("a connection is opened once; make a new one")
        self._used = True
        self._enter(ConnectionState.OPENING)
        self._pump.mark(b"open")
        try:
            await open_line(self._pump.on_data, self._fail)
            if self._state is not ConnectionState.OPENING:
                self._transport.close()  # closed meanwhile, when there was nothing to close yet
                raise self._error or NotConnected("the connection was closed")
            if self._to_be_stopped is not None:
                self._stop(self._to_be_stopped)
                self._require_open()
            self._enter(ConnectionState.HANDSHAKING)
            await contact()
        except NozzledError as error:
            self._fail(error)
            raise
        self._require_open()
        self._enter(ConnectionState.READY)
        await self._reports.begin()

    # -- a job's lines -------------------------------------------------------------------------------------

    def feed(self, source: LineSource | None, *, keep_position: bool = False) -> None:
        """Take the job's lines from here; None ends it and drops nothing in flight."""
        self._require_link().feed(source.next_line if source else None, keep_position=keep_position)
        self._reports.fed(by_job=source is not None)
        self._pump.turn()

    def feed_from(self, fed: JobPosition, modes: Modes) -> None:
        """Set the job's place, which was not known to `reattach`; `feed` goes on behind it."""
        self._require_link().be_at(fed, modes)
        if self._logbook is not None:
            self._logbook.at(fed, modes)

    def leave_out(self, number: int, count: int) -> None:
        """Give the job's lines none of the `count` numbers from `number` on: those are for commands that wait."""
        if self._link is not None:
            self._link.leave_out(number, count)

    def wake(self) -> None:
        """Say that the source has lines again."""
        if self._link is not None:
            self._pump.turn()

    def hold(self) -> None:
        """Close the gate: send no more lines of the job."""
        if self._link is not None:
            self._link.hold()

    def release(self) -> None:
        """Open the gate again."""
        if self._link is not None:
            self._link.release()
            self._pump.turn()

    def hurry(self) -> None:
        """Say that somebody waits: where oks are missing, the printer is asked after 2 s of silence, once."""
        if self._link is not None:
            self._link.hurry()
            self._pump.turn()

    async def drained(self) -> None:
        """Wait until every line of the job that was sent has been acknowledged."""
        self._require_link()
        await self._pump.drained()

    async def finished(self) -> dict[str, float] | None:
        """Wait until every move that was sent has been made; return the place where it is told."""
        self._require_link()
        return await self._rest.finished()

    # -- commands between them -----------------------------------------------------------------------------

    async def send(self, command: str, *, urgent: bool = False, step: int = 0) -> Sequence[str]:
        """Send one command between the lines of a job; return what the printer answered, `ok` last."""
        if self._state is not ConnectionState.READY:
            raise NotConnected(f"the printer is not connected ({self._state.value})")
        return await self._commands.send(command, urgent=urgent, step=step)

    async def answer_prompt(self, choice: int) -> None:
        """Answer the question that the printer shows; it is shown no more."""
        prompt = self._reports.panel.prompt
        self._reports.panel.answered()
        await self.send(prompt.command(choice) if prompt else f"M876 S{choice}", urgent=True)

    def submit(self, *commands: str | bytes) -> None:
        """Queue a client's commands, all or none, without waiting for the answers."""
        if self._state is not ConnectionState.READY:
            raise NotConnected(f"the printer is not connected ({self._state.value})")
        self._commands.submit(commands)

    # -- stopping ------------------------------------------------------------------------------------------

    def emergency_stop(self, reason: str = "emergency stop") -> None:
        """Stop everything now; awaits nothing. The connection ends in FAULT; one that opens, once it is open.

        Whether it worked is told as `FirmwareSaid` within `emergency_stop.CONFIRM` seconds.
        """
        if self._stopping is not None:
            self._stopping.begin(self.next_on_wire)  # the first one is not confirmed yet
            self._reset()
        elif self._state is ConnectionState.OPENING:
            self._to_be_stopped = reason
        elif self._state in (ConnectionState.HANDSHAKING, ConnectionState.READY):
            self._stop(reason)

    @property
    def stopping(self) -> bool:
        """An emergency stop was said and is not confirmed yet."""
        return self._stopping is not None

    def _stop(self, reason: str) -> None:
        # Bytes that were written are not taken back: they are at most a window, 11 ms at 115200 baud. Half a line would
        # make Marlin flush its receive buffer, and M112 with it.
        if self._link is not None:
            self._link.discard()
        dialect = self._link.dialect if self._link is not None else UNKNOWN
        self._stopping = stop = EmergencyStop(self._loop, self._pump.write, self._stopped, dialect, self._unpacks)
        self._pump.divert = stop.receive
        stop.begin(self.next_on_wire)
        if not self.identity.can("EMERGENCY_PARSER"):
            self._reset()  # M112 would wait behind the moves that are queued; a reset does not
        self._fail(FirmwareHalted(reason), cool=False)

    @property
    def _unpacks(self) -> bytes:
        """What has to precede bytes written past the link, if the firmware may be waiting for packed ones."""
        if self._link is not None and self._link.unpacks:
            return self._link.unpacks
        return RESET if self._logbook is not None and self._logbook.packs else b""

    def _reset(self) -> None:
        self._pump.mark(b"reset")
        self._transport.reset()

    def _stopped(self, severity: LogLevel, text: str) -> None:
        self._stopping = self._pump.divert = None
        self._transport.close()
        self._publish(FirmwareSaid(text, severity))
        self._publish(StopEnded(severity == "info"))

    async def close(self) -> None:
        """Close the line; idempotent."""
        if self._stopping is not None:
            self._stopping.give_up()
        if self._state is ConnectionState.READY and self._link is not None and self._link.unpacks:
            self._pump.write(self._link.unpacks)  # the next host may know nothing of packed lines
        self._shut(NotConnected("the connection was closed"))
        if self._state is not ConnectionState.FAULT:
            self._enter(ConnectionState.OFFLINE)

    def _fail(self, error: NozzledError, *, cool: bool = True) -> None:
        """Take the first cause, turn the heaters off if the line still carries it, and tell everyone."""
        if self._state in (ConnectionState.FAULT, ConnectionState.OFFLINE):
            return
        # nobody reads the commands, or the board has just turned its heaters off; a firmware that says that it halted
        # gets them, as some leave their heaters on
        dead = isinstance(error, PortError | PrinterReset)
        # a stalled line may deliver the commands when the print already goes on: the job turns heaters off then
        stalled = isinstance(error, PrinterSilent) and self._reports.job_is_fed and self._settings.outlasts_silence
        if cool and self._link is not None and not (dead or stalled):
            self._pump.write(self._unpacks + b"\n" + self._settings.heaters_off(self.heaters))
        elif isinstance(error, PortLost):
            self._pump.mark(b"lost " + str(error).encode())
        self._error = error
        self._shut(error)
        self._enter(ConnectionState.FAULT, error)

    def _shut(self, error: NozzledError) -> None:
        self._reports.stop()
        self._pump.end(error)
        self._commands.end(error)
        self._rest.end(error)

    def _require_open(self) -> None:
        if self._error is not None:
            raise self._error

    def _require_link(self) -> HostLink:
        if self._link is None or self._state in (ConnectionState.FAULT, ConnectionState.OFFLINE):
            raise self._error or NotConnected("the printer is not connected")
        return self._link

    @property
    def _link(self) -> HostLink | None:
        return self._pump.link

    # -- telling -------------------------------------------------------------------------------------------

    def _on_link_event(self, event: LinkEvent) -> None:
        match event:
            case Ticket():
                self._commands.answered(event)
            case RefusedLine() | LinkNotice():
                self._news.tell(event)
            case DecoderSaid():
                self._handshake.decoder_said(event)
            case FirmwareInfo() | Capability():
                self._handshake.note(event)
            case Reply():
                self._reports.note(event)
                if isinstance(event, PositionReport):
                    self._rest.note(event.axes)
                self._news.note(event, self.dialect)

    def _enter(self, state: ConnectionState, error: NozzledError | None = None) -> None:
        if state is not self._state:
            old, self._state = self._state, state
            self._publish(StateChanged(old, state, error))

    def _publish(self, event: Event) -> None:
        for listener in tuple(self._listeners):
            listener(event)
