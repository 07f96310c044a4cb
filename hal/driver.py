"""LinePrinter: the one driver, for every printer.

It joins the parts of a connection: `Pump` carries bytes between the link and a transport, `Handshake` finds out which
firmware answers, `Commands` sends commands between the lines of a job, `Reports` keeps the printer's reports,
`RestWatch` waits for the last move, and `LinkStatus` has the status of the link. Every error that ends the connection
goes through `_fail`.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from gcode.dialect import UNKNOWN
from gcode.errors import FirmwareHalted, NozzledError, PrinterReset, PrinterSilent
from gcode.flight import LinkEstimate
from gcode.histogram import Histogram
from gcode.link import HostLink, LinkEvent, LinkSnapshot
from gcode.modes import Modes
from gcode.outgoing import JobPlace, LinkNotice, RefusedLine, Ticket
from gcode.packing import RESET, DecoderState
from gcode.replies import Busy, Capability, FirmwareInfo, Heaters, PositionReply, Reply
from hal.commands import Commands
from hal.emergency_stop import EmergencyStop
from hal.errors import NotConnected, PortError, PortLost
from hal.flight_recorder import FlightRecorder
from hal.handshake import Handshake
from hal.link_settings import LinkSettings
from hal.link_status import LinkStatus
from hal.logbook import Logbook
from hal.printer import (
    ConnectionState,
    Event,
    FirmwareIdentity,
    FirmwareSaid,
    LineSource,
    PanelPrint,
    Prompt,
    Severity,
    StateChanged,
    StopEnded,
)
from hal.pump import Pump
from hal.reports import Reports
from hal.rest import RestWatch
from hal.transport import Reopenable, Transport
from hal.user_texts import UserTexts

__all__ = ["LinePrinter", "LinkSettings"]


class LinePrinter(LinkStatus):
    """A `hal.printer.Printer` over any transport; the contracts of its methods stand there."""

    def __init__(
        self, transport: Transport, settings: LinkSettings | None = None, logbook: Logbook | None = None
    ) -> None:
        self._transport = transport
        self._logbook = logbook
        self._settings = settings or LinkSettings()
        self._loop = asyncio.get_running_loop()
        self._state = ConnectionState.OFFLINE
        self._was_opened = False  # True: OFFLINE now means closed
        self._error: NozzledError | None = None
        self._listeners: list[Callable[[Event], None]] = []
        super().__init__(Pump(transport, self._on_link_event, self._fail))
        self._commands = Commands(self._pump)
        self._rest_watch = RestWatch(self._pump, self._commands, self._publish)
        self._handshake = Handshake(self._pump, self._commands, self._settings, logbook, self._publish)
        self._texts = UserTexts(self._publish)
        self._stopping: EmergencyStop | None = None  # the stop that is not confirmed yet
        self._heat_is_kept_until = -math.inf  # if the printer falls silent: a job uses the heat, and may be reattached
        self._stop_when_open: str | None = None  # the reason for an emergency stop once the connection is open
        self._reports = Reports(self._pump, self._commands, self._handshake, self._settings, self._publish)

    # -- status --------------------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        return self._transport.address

    @property
    def baudrate(self) -> int | None:
        return self._transport.baudrate

    @property
    def state(self) -> ConnectionState:
        return self._state

    @property
    def error(self) -> NozzledError | None:
        return self._error

    @property
    def identity(self) -> FirmwareIdentity:
        return self._handshake.identity

    @property
    def heard_at(self) -> float:
        return self._pump.heard_at

    @property
    def heaters(self) -> Heaters:
        return self._reports.heaters

    def hotend(self, tool: int) -> str:
        """Return the key in `heaters` for the hotend of a tool; there may be no such entry."""
        return self._reports.hotend(tool, in_use=self.modes.tool or 0)

    @property
    def longest_command(self) -> int:
        """The most bytes of a command that this firmware reads."""
        return self._commands.longest_command

    def fit(self, command: bytes) -> bytes | None:
        """Return a clean command as this firmware can read it; None: a text that is better not sent."""
        return self._commands.fit(command)

    def check(self, command: str) -> bytes:
        """Return a command as it would go on the wire; raises an error if it cannot be sent."""
        return self._commands.check(command)

    @property
    def hangs(self) -> bool:
        return self._state is ConnectionState.READY and self._pump.has_overslept

    @property
    def busy(self) -> bool:
        return self._reports.busy

    @property
    def waits_for_user(self) -> bool:
        return self._reports.waits_for_user

    @property
    def panel_print(self) -> PanelPrint | None:
        return self._reports.panel.print

    @property
    def message(self) -> str | None:
        return self._reports.panel.message

    @property
    def prompt(self) -> Prompt | None:
        return self._reports.panel.prompt

    @property
    def turnaround(self) -> Histogram:
        return self._pump.turnaround

    @property
    def flight_recorder(self) -> FlightRecorder:
        return FlightRecorder(self._pump.ring)

    def use_settings(self, settings: LinkSettings) -> None:
        self._settings = self._reports.settings = settings

    def subscribe(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    # -- opening -------------------------------------------------------------------------------------------

    async def open(self, *, revive: bool = False) -> None:
        """Open the connection, find out which firmware answers, and become READY.

        Args:
            revive: revive a halted firmware.

        Raises:
            PortError: the port cannot be opened, or nothing answers; the state is FAULT then.
            FirmwareHalted: the firmware has halted, and was not revived; the state is FAULT then.
        """
        await self._become_ready(self._transport.open, partial(self._handshake.first_contact, revive=revive))

    async def reattach(
        self, snapshot: LinkSnapshot | LinkEstimate, identity: FirmwareIdentity, keep_heat_until: float = -math.inf
    ) -> None:
        """Reattach to the previous host's conversation; `Printer.reattach` says how, and what it raises."""
        if not isinstance(self._transport, Reopenable):
            raise PortError(f"cannot reattach to {self.address}: opening it would reset the printer")
        self._heat_is_kept_until = keep_heat_until
        if isinstance(snapshot, LinkEstimate):
            contact = partial(self._handshake.reattach_by_probe, snapshot, identity)
        else:
            self._handshake.reattach(snapshot, identity)
            contact = partial(self._handshake.confirm_identity, identity)
        await self._become_ready(self._transport.reopen, contact)
        self.keep_heat()

    async def open_to_stop(self, reason: str) -> None:
        """Open the connection for an emergency stop and nothing else, without a reset if the transport can do that.

        Raises:
            PortError: the port cannot be opened; nothing was stopped.
        """
        self._stop_when_open = reason
        transport = self._transport
        try:
            await self._become_ready(
                transport.reopen if isinstance(transport, Reopenable) else transport.open, self._handshake.first_contact
            )
        except FirmwareHalted:
            return

    async def _become_ready(
        self,
        open_port: Callable[[Callable[[bytes], None], Callable[[PortError], None]], Awaitable[None]],
        contact: Callable[[], Awaitable[None]],
    ) -> None:
        if self._was_opened:
            raise NotConnected("a connection can be opened only once; make a new one")
        self._was_opened = True
        self._enter(ConnectionState.OPENING)
        reopens = isinstance(self._transport, Reopenable) and open_port == self._transport.reopen
        self._pump.mark(b"reopen" if reopens else b"open")
        try:
            await open_port(self._pump.on_data, self._fail)
            if self._state is not ConnectionState.OPENING:
                self._transport.close()  # `close` was called before there was anything to close
                raise self._error or NotConnected("the connection was closed")
            if self._stop_when_open is not None:
                self._stop(self._stop_when_open)
                self._require_open()
            self._enter(ConnectionState.HANDSHAKING)
            await contact()
        except NozzledError as error:
            self._fail(error)
            raise
        self._require_open()
        self._enter(ConnectionState.READY)
        self._require_open()  # a listener may have stopped the printer
        await self._reports.begin()
        self._require_open()  # a reply that came with the last answer may have made a listener stop the printer

    # -- a job's lines -------------------------------------------------------------------------------------

    def feed(self, source: LineSource | None, *, keep_place: bool = False) -> None:
        """Take the job's lines from `source`; None ends the job and drops nothing in flight."""
        self._require_link().feed(source.next_line if source else None, keep_place=keep_place)
        self._reports.on_feed(job_is_fed=source is not None)
        self._heat_is_kept_until = math.inf if source is not None else -math.inf
        self._pump.turn()

    def keep_heat(self) -> None:
        self._heat_is_kept_until = math.inf

    def set_place(self, place: JobPlace, modes: Modes) -> None:
        self._require_link().set_place(place, modes)
        if self._logbook is not None:
            self._logbook.set_place(place, modes)

    def reserve_numbers(self, number: int, count: int) -> None:
        if self._link is not None:
            self._link.reserve_numbers(number, count)

    def wake(self) -> None:
        if self._link is not None:
            self._pump.turn()

    def hold(self) -> None:
        """Send no more lines of the job."""
        if self._link is not None:
            self._link.hold()

    def release(self) -> None:
        if self._link is not None:
            self._link.release()
            self._pump.turn()

    def probe_soon(self) -> None:
        if self._link is not None:
            self._link.probe_soon()
            self._pump.turn()

    async def wait_until_acknowledged(self) -> None:
        """Wait until every line of the job that was sent has been acknowledged."""
        self._require_link()
        await self._pump.wait_until_acknowledged()

    async def wait_for_rest(self) -> dict[str, float] | None:
        """Wait until every move sent has been made; return the position; None: the firmware does not report it."""
        self._require_link()
        return await self._rest_watch.wait_for_rest()

    # -- commands between the lines ------------------------------------------------------------------------

    async def send(self, command: str, *, urgent: bool = False, step: int = 0) -> Sequence[str]:
        """Send one command between the lines of a job; return what the printer answered, `ok` last."""
        if self._state is not ConnectionState.READY:
            raise NotConnected(f"the printer is not connected ({self._state.value})")
        return await self._commands.send(command, urgent=urgent, step=step)

    async def answer_prompt(self, choice: int) -> None:
        """Answer the printer's prompt, which then disappears."""
        prompt = self._reports.panel.prompt
        self._reports.panel.end_prompt()
        await self.send(prompt.command(choice) if prompt else f"M876 S{choice}", urgent=True)

    def forget_panel_print(self) -> None:
        """Forget the print from the SD card until its place changes."""
        self._reports.forget_panel_print()

    def submit(self, *commands: str | bytes) -> None:
        """Queue a client's commands, all or none, without waiting for the answers."""
        if self._state is not ConnectionState.READY:
            raise NotConnected(f"the printer is not connected ({self._state.value})")
        self._commands.submit(commands)

    # -- stopping ------------------------------------------------------------------------------------------

    def emergency_stop(self, reason: str = "emergency stop") -> None:
        """Stop everything now, without waiting; the connection ends in FAULT.

        While the connection is opening, the stop follows once it is open. Within `emergency_stop.CONFIRM_TIMEOUT`
        (twice that if the stop is repeated), an event `FirmwareSaid` reports whether the printer has confirmed it.
        """
        if self._stopping is not None:
            self._stopping.begin(self.next_on_wire)  # the first stop is not confirmed yet
            self._reset()
        elif self._state is ConnectionState.OPENING:
            self._stop_when_open = reason
        elif self._state in (ConnectionState.HANDSHAKING, ConnectionState.READY):
            self._stop(reason)

    @property
    def is_stopping(self) -> bool:
        """An emergency stop was sent and is not confirmed yet."""
        return self._stopping is not None

    def _stop(self, reason: str) -> None:
        # Bytes already written still go out: at most one window, 11 ms at 115200 baud. Half a line would make Marlin
        # flush its receive buffer, and M112 with it (marlin-plain-corrupt.txt in tests/data/transcripts/).
        if self._link is not None:
            self._link.discard()
        dialect = self._link.dialect if self._link is not None else UNKNOWN
        stop = EmergencyStop(self._loop, self._pump.write, self._on_stop_ended, dialect, self._decoder_reset)
        self._stopping = stop
        self._pump.bypass = stop.receive
        stop.begin(self.next_on_wire)
        if not self.identity.can("EMERGENCY_PARSER"):
            self._reset()  # M112 would wait behind queued moves; a reset does not wait
        self._fail(FirmwareHalted(reason), heaters_off=False)

    @property
    def _decoder_reset(self) -> bytes:
        """The bytes to send before any that bypass the link: the firmware may be waiting for packed ones."""
        if self._link is not None and self._link.decoder_reset:
            return self._link.decoder_reset
        return RESET if self._logbook is not None and self._logbook.may_expect_packed else b""

    def _reset(self) -> None:
        self._pump.mark(b"reset")
        self._transport.reset()

    def _on_stop_ended(self, severity: Severity, text: str) -> None:
        self._stopping = self._pump.bypass = None
        self._transport.close()
        self._publish(FirmwareSaid(text, severity))
        self._publish(StopEnded(severity == "info"))

    async def close(self) -> None:
        """Close the connection; idempotent."""
        if self._stopping is not None:
            self._stopping.give_up()
        if self._state is ConnectionState.READY and self._link is not None and self._link.decoder_reset:
            self._pump.write(self._link.decoder_reset)  # the next host may know nothing of packed lines
        self._shut(NotConnected("the connection was closed"))
        if self._state is not ConnectionState.FAULT:
            self._enter(ConnectionState.OFFLINE)

    def _fail(self, error: NozzledError, *, heaters_off: bool = True) -> None:
        """End the connection with its first error: turn heaters off if that is possible, and publish the error."""
        if self._state in (ConnectionState.FAULT, ConnectionState.OFFLINE):
            return
        # No printer reads the commands, or the board has just turned its heaters off. A halted firmware does get them,
        # because some leave their heaters on.
        dead = isinstance(error, PortError | PrinterReset)
        # A connection that only stalls would deliver the commands late, to a print that continues. So they are not
        # sent, and the job turns the heaters off if it cannot be reattached. The last attempt to reattach sends them.
        # No print continues on a printer that counts no lines.
        outlasts_silence = self._settings.outlasts_silence and self.dialect.counts_lines
        heat_is_kept = outlasts_silence and self._loop.time() < self._heat_is_kept_until
        stalled = isinstance(error, PrinterSilent) and heat_is_kept
        if heaters_off and self._link is not None and not (dead or stalled):
            self._pump.write(self._decoder_reset + b"\n" + self._settings.heaters_off(self.heaters))
        elif isinstance(error, PortLost):
            self._pump.mark(b"lost " + str(error).encode())
        self._error = error
        self._shut(error)
        self._enter(ConnectionState.FAULT, error)

    def _shut(self, error: NozzledError) -> None:
        self._reports.stop()
        self._pump.end(error, keep_open=self._stopping is not None)
        self._commands.end(error)
        self._rest_watch.end(error)

    def _require_open(self) -> None:
        if self._pump.has_ended:
            raise self._error or NotConnected("the connection was closed")

    def _require_link(self) -> HostLink:
        if self._link is None or self._state in (ConnectionState.FAULT, ConnectionState.OFFLINE):
            raise self._error or NotConnected("the printer is not connected")
        return self._link

    # -- events --------------------------------------------------------------------------------------------

    def _on_link_event(self, event: LinkEvent) -> None:
        match event:
            case Ticket():
                self._commands.on_answer(event)
            case RefusedLine() | LinkNotice():
                self._texts.publish(event)
            case DecoderState():
                self._handshake.note_decoder(event)
            case FirmwareInfo() | Capability():
                self._handshake.note(event)
            case Reply():
                if self._state is ConnectionState.HANDSHAKING and isinstance(event, Busy) and event.awaits_user:
                    self._handshake.warn_of_wait()
                self._reports.note(event)
                if isinstance(event, PositionReply):
                    self._rest_watch.note(event.axes)
                self._texts.note(event, self.dialect)

    def _enter(self, state: ConnectionState, error: NozzledError | None = None) -> None:
        if state is not self._state:
            old, self._state = self._state, state
            self._publish(StateChanged(old, state, error))

    def _publish(self, event: Event) -> None:
        for listener in tuple(self._listeners):
            listener(event)
