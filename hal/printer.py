"""Printer: what the rest of the program sees of a printer, whatever it is behind.

Two backends implement it, both as the one driver (`hal.driver`) over another transport: a serial port and a
simulated printer. What runs on one runs on the other.
"""

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
from gcode.outgoing import Counters, JobPosition, Line
from gcode.replies import Heaters
from hal.flight_recorder import FlightRecorder
from hal.link_settings import LinkSettings


class ConnectionState(Enum):
    """The connection, apart from any job: offline → opening → handshaking → ready, or fault from anywhere."""

    OFFLINE = "offline"
    OPENING = "opening"
    HANDSHAKING = "handshaking"
    READY = "ready"
    FAULT = "fault"


LogLevel = Literal["info", "warning", "error"]
"""How much a text of the printer matters."""


Capability = Literal["AUTOREPORT_SD_STATUS", "AUTOREPORT_TEMP", "BUSY_PROTOCOL", "EMERGENCY_PARSER", "MEATPACK"]
"""What a host wants to know of a firmware, by Marlin's names."""


class LineSource(Protocol):
    """Where the lines of a job come from. The link asks for one line when the wire has room for it."""

    def next_line(self) -> Line | None:
        """Return the next line, made by `gcode.outgoing.job_line`, or None when nothing is there now.

        None does not mean the end: `Printer.wake` says that there is more.
        """


@frozen
class Event:
    """Base of what a printer tells its subscribers."""


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
        heaters: all that have been told so far.
        names: of those in this report; empty: all of them.
    """

    heaters: Heaters
    names: frozenset[str] = field(default=frozenset(), compare=False)


@frozen
class PositionRead(Event):
    """The firmware has told where the head is (M114): mm by axis letter."""

    axes: dict[str, float]


@frozen
class ActionRequested(Event):
    """The firmware asks the host for something: `pause`, `cancel`, `notification` and so on."""

    name: str
    argument: str


@frozen
class FirmwareSaid(Event):
    """Text worth telling: an error that is not the connection's end, an unknown command, an echo."""

    text: str
    severity: LogLevel


@frozen
class StopEnded(Event):
    """What came of an emergency stop: the printer has confirmed it, or nobody knows."""

    confirmed: bool


@frozen
class LineRefused(Event):
    """The firmware has answered a line of the job with an error; it lives, and what comes of the print is the job's.

    Attributes:
        text: what the firmware said.
        command: the line that it refused.
        offset: of that line in the file, in bytes.
    """

    text: str
    command: str
    offset: int


@frozen
class PanelPrint:
    """A print that the printer does by itself, from its SD card, started at its panel.

    Attributes:
        name: of the file, as the printer says it; None where it has not.
        position: bytes of the file that have been read.
        total: bytes of the file.
    """

    name: str | None
    position: int
    total: int


@frozen
class PanelPrintChanged(Event):
    """A print from the printer's SD card began, or ended: `print` is None then."""

    print: PanelPrint | None


@frozen
class Prompt:
    """A question that the printer shows at its panel, with the answers that it offers.

    Attributes:
        text: the question.
        choices: the answers, as they are shown.
        commands: what is sent for each; empty: the number of the answer (M876).
    """

    text: str
    choices: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()

    def command(self, choice: int) -> str:
        """Return what is sent for an answer."""
        given = self.commands[choice] if choice < len(self.commands) else ""
        return given or f"M876 S{choice}"


@frozen
class FirmwareIdentity:
    """Who answered at the other end."""

    name: str = "unknown"
    uuid: str | None = None
    fields: dict[str, str] = field(default_factory=dict)
    capabilities: dict[str, bool] = field(default_factory=dict)

    def can(self, capability: Capability) -> bool:
        """Tell whether the firmware said that it can (`Cap:…:1`)."""
        return self.capabilities.get(capability, False)


@frozen
class Manner:
    """How a printer is spoken to, for the log.

    Attributes:
        dialect: what its firmware counts as.
        window_lines: lines that may be unanswered.
        window_bytes: bytes that may be.
    """

    dialect: str
    window_lines: int
    window_bytes: int


class PrinterStatus(Protocol):
    """What is known of the printer, and who wants to know of changes."""

    @property
    def state(self) -> ConnectionState:
        """The connection's state."""

    @property
    def error(self) -> NozzledError | None:
        """The first cause when the state is FAULT."""

    @property
    def identity(self) -> FirmwareIdentity:
        """What M115 said."""

    @property
    def dialect(self) -> Dialect:
        """What is known of firmwares of its kind."""

    @property
    def heard_at(self) -> float:
        """When the last bytes came from it, in s of the loop."""

    @property
    def heaters(self) -> Heaters:
        """The last temperature report, in °C."""

    def hotend(self, tool: int) -> str:
        """Return the name by which `heaters` has the hotend of a tool, which is there only if it is reported.

        Tools may share one; and some firmwares tell of the tool in use alone, whichever that is.
        """

    @property
    def modes(self) -> Modes:
        """How the next coordinates sent will be read."""

    @property
    def busy(self) -> bool:
        """The firmware says that it carries out a command that takes long, and reads no other meanwhile."""

    @property
    def waits_for_user(self) -> bool:
        """The firmware says that it does nothing until somebody at the printer does something."""

    @property
    def panel_print(self) -> PanelPrint | None:
        """What the printer prints from its own SD card."""

    @property
    def message(self) -> str | None:
        """The last text that the printer had for the user."""

    @property
    def prompt(self) -> Prompt | None:
        """The question that the printer shows."""

    def subscribe(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call `listener` with each event from now on; returns the function that ends it."""


class Commanded(Protocol):
    """Takes commands between the lines of a job."""

    @property
    def longest_command(self) -> int:
        """Bytes of a command that this firmware reads now: they get fewer as line numbers get longer."""

    @property
    def compact(self) -> Compact | None:
        """What makes a line of a job shorter for this firmware; None: lines stay as they are."""

    def fitting(self, command: bytes) -> bytes | None:
        """Return a clean command as this firmware can read it: texts are cut, and cleared of what would end the line.

        None: it is a text that had better not be sent, as this firmware would look for commands in it.
        """

    def check(self, command: str) -> bytes:
        """Return a command as it would go on the wire.

        Raises:
            CommandError: it is empty, holds a line break, or is longer than the firmware reads.
            ForbiddenCommand: it belongs to the link.
        """

    async def send(self, command: str, *, urgent: bool = False, step: int = 0) -> Sequence[str]:
        """Send one command between the lines of a job; return what the printer answered, `ok` last.

        `urgent` is for making the printer safe: it is on the wire at once, whatever is unanswered. `step` counts the
        commands of a job's own scripts, for whoever goes on with it.

        Raises:
            NotConnected: the state is not READY.
            ForbiddenCommand: the command belongs to the link.
            CommandError: it is empty or holds a line break.
            NozzledError: the connection ended before the answer came.
        """

    async def answer_prompt(self, choice: int) -> None:
        """Answer the question that the printer shows, by number from 0, past everything that waits.

        The firmware stands still until it comes. Raises what `send` does.
        """

    def submit(self, *commands: str | bytes) -> None:
        """Queue a client's commands, all or none, without waiting for the answers; raises what `send` does.

        Those that are bytes have been returned by `check`.

        Raises:
            QueueFull: too many commands of clients wait already.
        """


class Fed(Protocol):
    """Takes the lines of a job."""

    def feed(self, source: LineSource | None, *, keep_position: bool = False) -> None:
        """Take the job's lines from here; None ends it and drops nothing in flight.

        Args:
            source: of the lines.
            keep_position: the lines are those behind the ones sent last; otherwise `position` counts from zero.

        Raises:
            NotConnected: the state is not READY.
        """

    def feed_from(self, fed: JobPosition, modes: Modes) -> None:
        """Have the job be at this place, which `reattach` could not be told; `feed` goes on behind it."""

    def leave_out(self, number: int, count: int) -> None:
        """Give no line of the job one of so many numbers from this one on: they are for commands that wait."""

    def wake(self) -> None:
        """Say that the source has lines again."""

    def hold(self) -> None:
        """Close the gate: send no more lines of the job. `send` still works."""

    def release(self) -> None:
        """Open the gate again."""

    def hurry(self) -> None:
        """Say that somebody waits: where oks are missing, the printer is asked after 2 s of silence, once."""

    async def drained(self) -> None:
        """Wait until every line of the job that was sent has been acknowledged.

        Raises:
            NozzledError: the connection ended before.
        """

    async def finished(self) -> dict[str, float] | None:
        """Wait until every move that was sent has been made; return the place, by axis, where the firmware tells it.

        How that is found out depends on the firmware: the `ok` of M400 says nothing where it means "received".

        Raises:
            NotConnected: the state is not READY.
            NozzledError: the connection ended before.
        """

    @property
    def position(self) -> JobPosition:
        """How far the job that is fed has got."""

    @property
    def next_number(self) -> int:
        """The number of the next new line of this connection; on the wire numbers start over now and then."""

    @property
    def next_on_wire(self) -> int:
        """The same, as the firmware counts."""

    @property
    def first_number(self) -> int:
        """The number of the first line of this connection that no other host has sent."""

    @property
    def answered(self) -> int:
        """The number of the line up to which all have been answered."""

    @property
    def idle(self) -> bool:
        """No line is in flight, and no command waits; lines of the job that are held, or not handed out yet, may."""


class Stoppable(Protocol):
    """Can be stopped, whatever goes on."""

    def emergency_stop(self, reason: str = "emergency stop") -> None:
        """Stop everything now; awaits nothing. The connection ends in FAULT; one that opens, once it is open.

        Whether it worked is told as `FirmwareSaid`. Where there is no line any more, `open_to_stop` opens one.
        """


class Conversation(Protocol):
    """What went over the line, and which line that is."""

    @property
    def manner(self) -> Manner:
        """How the printer is spoken to."""

    @property
    def address(self) -> str:
        """The printer's address."""

    @property
    def baudrate(self) -> int | None:
        """Bits per second on the wire; None where bytes take no time."""

    @property
    def counters(self) -> Counters:
        """What went over the line so far."""

    @property
    def turnaround(self) -> Histogram:
        """From bytes of the printer being readable to the lines that answer them being written, in s."""

    @property
    def flight_recorder(self) -> FlightRecorder:
        """The last pieces that went over the line."""


class Lifetime(Protocol):
    """One connection: opened once, closed once."""

    async def open(self, *, revive: bool = False) -> None:
        """Open the line, find out who is there, and be READY.

        Args:
            revive: tell a firmware that has halted, and has not booted, to obey again, and turn its heaters off.

        Raises:
            PortError: the line cannot be opened, or nobody answers; the state is FAULT then.
        """

    async def reattach(self, snapshot: LinkSnapshot | LinkEstimate, identity: FirmwareIdentity) -> None:
        """Reattach to a conversation that the previous host left on this line, and be READY behind what it had sent.

        Args:
            snapshot: where it was left, or what the printer is to be asked for that.
            identity: who was there.

        Raises:
            PortError: the line cannot be opened, or not without a reset.
            RemoteProtocolError: what the printer answers does not fit what was sent; the state is FAULT then.
        """

    def use(self, settings: LinkSettings) -> None:
        """Take what is set about its heaters from here on; what concerns the line holds from the next connection."""

    @property
    def stopping(self) -> bool:
        """An emergency stop was said and is not confirmed yet: it can be said again."""

    async def open_to_stop(self, reason: str) -> None:
        """Open the line for an emergency stop and nothing else; the state is FAULT then.

        Raises:
            PortError: the line cannot be opened; nothing was stopped.
        """

    async def close(self) -> None:
        """Close the line; idempotent. Nothing is sent any more."""

    @property
    def hangs(self) -> bool:
        """The driver does not act upon its deadlines any more, though the loop runs: a bug."""


class Printer(PrinterStatus, Commanded, Fed, Stoppable, Conversation, Lifetime, Protocol):
    """A printer. One object is one connection: open once, close once.

    `feed` takes the lines of a job; `send` goes out between them. Whatever ends the connection ends in one
    place: the state becomes FAULT with the first cause, pending `send`s raise it, subscribers are told. Code that needs
    only one of its roles asks for the protocol of that role.
    """
