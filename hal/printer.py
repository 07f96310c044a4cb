"""Printer: the interface between printers and the rest of the program.

One driver (`hal.driver`) implements it, over any transport: a serial port, TCP or a simulated printer. A program that
runs with one of these runs with all.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import field
from enum import Enum
from typing import Literal, Protocol

from gcode.compact import Compact
from gcode.dialect import Dialect
from gcode.errors import NozzledError
from gcode.flight import LinkEstimate, LinkSnapshot
from gcode.frozen import frozen
from gcode.histogram import Histogram
from gcode.modes import Modes
from gcode.outgoing import Counters, JobPlace, Line
from gcode.replies import Heaters
from hal.flight_recorder import FlightRecorder
from hal.link_settings import LinkSettings


class ConnectionState(Enum):
    """The connection, apart from any job: offline → opening → handshaking → ready; from the last three also fault."""

    OFFLINE = "offline"
    OPENING = "opening"
    HANDSHAKING = "handshaking"
    READY = "ready"
    FAULT = "fault"


Severity = Literal["info", "warning", "error"]
"""The severity of a printer's text."""


CapabilityName = Literal["AUTOREPORT_SD_STATUS", "AUTOREPORT_TEMP", "BUSY_PROTOCOL", "EMERGENCY_PARSER", "MEATPACK"]
"""Capabilities of a firmware that matter to the host, by Marlin's names."""


class LineSource(Protocol):
    """The source of a job's lines. The link takes a line when the wire has room for it."""

    def next_line(self) -> Line | None:
        """Return the next line, made by `gcode.outgoing.job_line`; None: no line is ready.

        None is not the end of the job: call `Printer.wake` once a line is ready.
        """


@frozen
class Event:
    """Base of the events that a printer publishes."""


@frozen
class StateChanged(Event):
    """The connection's state changed; `error` says why when the new state is FAULT."""

    old: ConnectionState
    new: ConnectionState
    error: NozzledError | None = None


@frozen
class TemperaturesRead(Event):
    """A temperature report arrived, in °C.

    Attributes:
        heaters: the latest reading of every sensor reported so far.
        names: the sensors in this report; empty: all of them.
    """

    heaters: Heaters
    names: frozenset[str] = field(default=frozenset(), compare=False)


@frozen
class PositionRead(Event):
    """The firmware has reported its position (M114), in mm by axis letter."""

    axes: dict[str, float]


@frozen
class ActionRequested(Event):
    """The firmware asks the host for an action: `pause`, `cancel`, `notification` and so on."""

    name: str
    argument: str


@frozen
class FirmwareSaid(Event):
    """A text for the user: of the firmware (an error, a warning, an unknown command), or about the connection."""

    text: str
    severity: Severity


@frozen
class StopEnded(Event):
    """An emergency stop has ended, with or without the printer's confirmation."""

    confirmed: bool


@frozen
class LineRefused(Event):
    """The firmware refused a line of the job; the connection continues, and the job decides about the print.

    Attributes:
        text: of the firmware's error.
        command: the refused line.
        offset: byte offset of that line in the file.
    """

    text: str
    command: str
    offset: int


@frozen
class PanelPrint:
    """A print that the printer runs by itself from its SD card.

    Attributes:
        name: of the file, as the printer reports it; None: the printer has not reported it.
        position: bytes of the file read so far.
        total: bytes of the file.
        is_paused: the printer reports that the print is paused; most firmware does not.
    """

    name: str | None
    position: int
    total: int
    is_paused: bool = False


@frozen
class PanelPrintChanged(Event):
    """A print from the printer's SD card began, or ended if `print` is None."""

    print: PanelPrint | None


@frozen
class Prompt:
    """A question that the printer shows at its panel, with the answers to choose from.

    Attributes:
        text: the question.
        choices: the answers, as they are shown.
        commands: the command to send for each; missing or empty: M876 with the number of the answer.
    """

    text: str
    choices: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()

    def command(self, choice: int) -> str:
        """Return the command to send for an answer."""
        own = self.commands[choice] if choice < len(self.commands) else ""
        return own or f"M876 S{choice}"


@frozen
class FirmwareIdentity:
    """The firmware at the other end, by its answer to M115."""

    name: str = "unknown"
    uuid: str | None = None
    fields: dict[str, str] = field(default_factory=dict)
    capabilities: dict[str, bool] = field(default_factory=dict)

    def can(self, capability: CapabilityName) -> bool:
        """Tell whether the firmware reports a capability (`Cap:…:1`)."""
        return self.capabilities.get(capability, False)


@frozen
class FlowControl:
    """The limits by which lines are sent to a printer, for the log.

    Attributes:
        dialect: the name of its dialect.
        window_lines: lines that may be in flight.
        window_bytes: bytes that may be in flight.
    """

    dialect: str
    window_lines: int
    window_bytes: int


class PrinterStatus(Protocol):
    """The status of a printer, and the subscription to its events."""

    @property
    def state(self) -> ConnectionState:
        """The connection's state."""

    @property
    def error(self) -> NozzledError | None:
        """The error that led to FAULT."""

    @property
    def identity(self) -> FirmwareIdentity:
        """The firmware's answer to M115."""

    @property
    def dialect(self) -> Dialect:
        """The dialect of the firmware."""

    @property
    def heard_at(self) -> float:
        """When the printer's last bytes came, in s of the loop."""

    @property
    def heaters(self) -> Heaters:
        """The last temperature report, in °C."""

    def hotend(self, tool: int) -> str:
        """Return the key in `heaters` for the hotend of a tool; there may be no such entry.

        Tools may share a hotend, and some firmwares report only that of the active tool.
        """

    @property
    def modes(self) -> Modes:
        """The modes in force after the last line sent."""

    @property
    def busy(self) -> bool:
        """The firmware reports that it executes a long command; it reads no other meanwhile."""

    @property
    def waits_for_user(self) -> bool:
        """The firmware reports that it waits for the user at its panel."""

    @property
    def panel_print(self) -> PanelPrint | None:
        """The print from the printer's own SD card."""

    @property
    def message(self) -> str | None:
        """The printer's last message for the user."""

    @property
    def prompt(self) -> Prompt | None:
        """The question that the printer shows."""

    def subscribe(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call `listener` with each event from now on; return a function that ends this."""


class CommandSink(Protocol):
    """Takes commands between the lines of a job."""

    @property
    def longest_command(self) -> int:
        """The most bytes of a command that this firmware reads, up to line 999,999."""

    @property
    def compact(self) -> Compact | None:
        """The function that shortens a job's line for this firmware; None: lines stay as they are."""

    def fit(self, command: bytes) -> bytes | None:
        """Return a clean command as this firmware can read it: texts are cut, and lose what would end the line.

        None: a text that is better not sent: this firmware does not know the command, or would look for commands in it.
        """

    def check(self, command: str) -> bytes:
        """Return a command as it would go on the wire.

        Raises:
            CommandError: it is empty, holds a line break, or is longer than the firmware reads.
            ForbiddenCommand: only the link may send it.
        """

    async def send(self, command: str, *, urgent: bool = False, step: int = 0) -> Sequence[str]:
        """Send one command between the lines of a job; return the printer's answer, `ok` last.

        Args:
            command: to send.
            urgent: send it at once, whatever is in flight: for commands that make the printer safe.
            step: its number among the commands of a job's own scripts, by which the next host identifies it.

        Raises:
            NotConnected: the state is not READY.
            ForbiddenCommand: only the link may send the command.
            CommandError: it is empty, holds a line break, or is longer than the firmware reads.
            NozzledError: the connection ended before the answer came.
        """

    async def answer_prompt(self, choice: int) -> None:
        """Answer the printer's prompt, by number from 0, ahead of everything that waits.

        The firmware waits for the answer. Raises what `send` does.
        """

    def forget_panel_print(self) -> None:
        """Forget the print from the SD card until its place changes: it has proved not to run."""

    def submit(self, *commands: str | bytes) -> None:
        """Queue a client's commands, all or none, without waiting for the answers; raises what `send` does.

        Commands that are bytes have passed `check`.

        Raises:
            QueueFull: too many commands of clients wait already.
        """


class LineSink(Protocol):
    """Takes the lines of a job."""

    def feed(self, source: LineSource | None, *, keep_place: bool = False) -> None:
        """Take the job's lines from `source`; None ends the job and drops nothing in flight.

        Args:
            source: of the lines.
            keep_place: the job continues after the last line sent; otherwise `place` counts from zero.

        Raises:
            NozzledError: the connection has ended, with this error.
            NotConnected: there is no link to the printer yet, or the connection was closed.
        """

    def set_place(self, place: JobPlace, modes: Modes) -> None:
        """Set the place and modes of the last line sent, which `reattach` did not know; `feed` continues after it."""

    def reserve_numbers(self, number: int, count: int) -> None:
        """Reserve `count` numbers from `number` on for commands that wait: no line of the job gets one."""

    def wake(self) -> None:
        """Continue with the job: its source has lines again."""

    def keep_heat(self) -> None:
        """Keep heaters on if the printer falls silent: a job uses them and may be reattached; `feed(None)` ends it."""

    def hold(self) -> None:
        """Send no more lines of the job; `send` still works."""

    def release(self) -> None:
        """Let lines of the job go: `hold` is over."""

    def probe_soon(self) -> None:
        """Probe once, after 2 s of silence: a user waits for the lines in flight."""

    async def wait_until_acknowledged(self) -> None:
        """Wait until every line of the job that was sent has been acknowledged.

        Raises:
            NozzledError: the connection ended first.
        """

    async def wait_for_rest(self) -> dict[str, float] | None:
        """Wait until every move sent has been made; return the position by axis; None: the firmware does not report it.

        How to find that out depends on the firmware: some say `ok` as soon as they have received the M400.

        Raises:
            NozzledError: the connection has ended, or ends first, with this error.
            NotConnected: there is no link to the printer yet, or the connection was closed.
        """

    @property
    def place(self) -> JobPlace:
        """The place of the last acknowledged line of the job."""

    @property
    def next_number(self) -> int:
        """The number of the next new line of this connection; on the wire, numbers start over now and then."""

    @property
    def next_on_wire(self) -> int:
        """The number on the wire of the next new line."""

    @property
    def first_number(self) -> int:
        """The number of the first line of this connection that this host sent."""

    @property
    def answered(self) -> int:
        """The number up to which all lines have been answered."""

    @property
    def idle(self) -> bool:
        """No line is in flight, and no command waits; lines of the job may wait in their source."""


class Stoppable(Protocol):
    """Can be stopped at any time."""

    def emergency_stop(self, reason: str = "emergency stop") -> None:
        """Stop everything now, without waiting; the connection ends in FAULT.

        While the connection is opening, the stop follows once it is open. An event `FirmwareSaid` reports whether the
        printer has confirmed the stop. Without a connection, use `open_to_stop`.
        """


class Conversation(Protocol):
    """The wire, and figures about its traffic."""

    @property
    def flow_control(self) -> FlowControl:
        """The limits by which lines are sent, for the log."""

    @property
    def address(self) -> str:
        """The printer's address."""

    @property
    def baudrate(self) -> int | None:
        """Bits per second on the wire; None: it is not known, or bytes take no time."""

    @property
    def counters(self) -> Counters:
        """The counts of this connection."""

    @property
    def turnaround(self) -> Histogram:
        """Times, in s, from when bytes of the printer are readable until the lines in answer are written."""

    @property
    def flight_recorder(self) -> FlightRecorder:
        """The last pieces that went over the wire."""


class Lifetime(Protocol):
    """One connection: opened once, closed once."""

    async def open(self, *, revive: bool = False) -> None:
        """Open the connection, find out which firmware answers, and become READY.

        Args:
            revive: revive a halted firmware, and turn its heaters off.

        Raises:
            PortError: the port cannot be opened, or nothing answers; the state is FAULT then.
            FirmwareHalted: the firmware has halted, and was not revived; the state is FAULT then.
        """

    async def reattach(
        self, snapshot: LinkSnapshot | LinkEstimate, identity: FirmwareIdentity, keep_heat_until: float = -math.inf
    ) -> None:
        """Reattach to the previous host's conversation, and become READY to send after the lines that it sent.

        Args:
            snapshot: of the conversation; an estimate, if only a probe can find out where the conversation stands.
            identity: of the printer that has to answer.
            keep_heat_until: the loop's time, in s, until which heaters stay on if the printer is silent, as there will
                be another attempt.

        Raises:
            PortError: the port cannot be opened, or not without a reset.
            RemoteProtocolError: the printer's answers do not fit what was sent; the state is FAULT then.
        """

    def use_settings(self, settings: LinkSettings) -> None:
        """Use new settings: those of heaters and queries from now on, those of the link from the next connection on."""

    @property
    def is_stopping(self) -> bool:
        """An emergency stop was sent and is not confirmed yet; it can be sent again."""

    async def open_to_stop(self, reason: str) -> None:
        """Open the connection for an emergency stop and nothing else; the state then is FAULT.

        Raises:
            PortError: the port cannot be opened; nothing was stopped.
        """

    async def close(self) -> None:
        """Close the connection for good; idempotent."""

    @property
    def hangs(self) -> bool:
        """A deadline of the link passed long ago without effect, which only a bug can cause."""


class Printer(PrinterStatus, CommandSink, LineSink, Stoppable, Conversation, Lifetime, Protocol):
    """A printer. One object is one connection: opened once, closed once.

    `feed` takes the lines of a job, and commands from `send` go out between them. The first error that ends the
    connection sets the state to FAULT, is raised in pending calls of `send`, and is published. Code that needs only one
    role of a printer takes the protocol of that role.
    """
