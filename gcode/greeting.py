"""Greeting: finds out whether something that speaks G-code is at the other end. Like the link, it does no I/O.

Opening a port resets many boards. They take a second or two to boot, and their boot loader swallows what is sent in
that time. So the host says hello again after `start`, and again while nothing answers. A printer that heats, or waits
for its knob, reports that it is busy and answers later: its buffer holds the hello, so the host waits in silence. A
greeting must not be used while a print may be running, as the hello sets the firmware's line counter to zero.
"""

import math

from gcode.framing import frame
from gcode.packing import RESET, decoder_state
from gcode.replies import (
    MAX_LINE,
    BoardStarted,
    Busy,
    Reply,
    Temperatures,
    Text,
    UnknownCommand,
    Wait,
    acknowledges,
    parse,
)

HELLO = b"\n" + frame(0, b"M110 N0")
"""The line feed ends any noise in the firmware's buffer; line number 0 makes line 1 the next one."""

QUERY = b"M105\n"
"""Follows later hellos, because some firmwares set their counter without an answer (Blocks Zero)."""

HELLOS_BEFORE_QUERY = 2
"""Hellos that are sent without a query. Most printers answer the first one, and a query adds an answer to await."""

HELLOS_BEFORE_RESET = 4
"""Unanswered hellos after which every second one begins with RESET: the previous host may have left a decoder waiting
for packed bytes, which finds no line end in a plain hello."""

REPEAT_INTERVAL = 2.0
"""Seconds after which an unanswered hello is repeated."""

BANNER_QUIET_S = 0.25
"""Seconds of quiet that end the banner of a board that has booted (Marlin's takes 35 ms)."""

QUIET_S = 0.05
"""Seconds of quiet after the answers to all hellos."""

LONG_QUIET_S = 0.5
"""Seconds of quiet while a hello has no answer: a late answer would be taken for the answer to the next line."""

MAX_BANNER = 32
"""Lines of the banner that are kept: the first ones name the firmware."""


class Greeting:
    """Takes bytes and gives bytes like `HostLink`, until `done`.

    Attributes:
        done: a firmware has answered, and is quiet.
        has_heard: bytes have come from the printer, perhaps no whole line.
        banner: texts since the board booted, which identify the firmware if M115 does not.
        has_booted: the board has booted during the greeting.
        busy_at: when the printer last reported that it is busy.
    """

    def __init__(self, now: float, *, packed: bool = False) -> None:
        """Begin; `packed`: the previous host may have left the firmware waiting for packed bytes."""
        self._packed = packed
        self.done = False
        self.has_heard = False
        self.has_booted = False
        self.banner: list[str] = []
        self.busy_at = -math.inf
        self._hellos = 0
        self._answered = False
        self._unanswered = 0  # hellos and queries
        self._foreign_ok = False  # the next `ok` answers the tail of a hello, taken for a command
        self._has_just_booted = False  # the last reply showed that the board has just booted
        self._partial = b""
        self._due: float = now  # next hello, or the end of the quiet after an answer
        self._hello_due = True

    @property
    def deadline(self) -> float | None:
        """When to call `tick`; None once the greeting is done."""
        return None if self.done else self._due

    @property
    def _quiet(self) -> float:
        return LONG_QUIET_S if self._unanswered > 0 else QUIET_S

    def tick(self, now: float) -> None:
        """Act on a deadline that has passed; an early call is harmless."""
        if self.done or now < self._due:
            return
        if self._answered:
            self.done = True
        else:
            self._hello_due = True

    def data_to_send(self, now: float) -> bytes:
        """Return what may go on the wire now."""
        if not self._hello_due:
            return b""
        self._hello_due = False
        self._hellos += 1
        self._due = now + REPEAT_INTERVAL
        reset = self._packed or (self._hellos > HELLOS_BEFORE_RESET and self._hellos % 2 == 1)
        hello = RESET + HELLO if reset else HELLO
        if self._hellos <= HELLOS_BEFORE_QUERY:
            self._unanswered += 1
            return hello
        self._unanswered += 2
        return hello + QUERY

    def receive(self, data: bytes, now: float) -> list[Reply]:
        """Take bytes from the printer; return the replies."""
        self.has_heard = self.has_heard or bool(data)
        lines = (self._partial + data).split(b"\n")
        self._partial = lines.pop()[-MAX_LINE:]
        for line in lines:
            if (state := decoder_state(line.strip(b"\r\0"))) is not None:
                self._packed = state.unpacks
        replies = [parse(line) for raw in lines if (line := raw.strip(b"\r\0"))]
        for reply in replies:
            self._note(reply, now)
        return replies

    def _note(self, reply: Reply, now: float) -> None:
        if isinstance(reply, BoardStarted):
            self._on_start(reply, now)
        elif acknowledges(reply) or isinstance(reply, Wait):
            self._on_ok(now)
        elif isinstance(reply, Busy) or (isinstance(reply, Temperatures) and reply.waiting):
            self._on_busy(now)
        elif not isinstance(reply, Temperatures):  # reports that the previous host turned on never end
            self._due = max(self._due, now + (self._quiet if self._answered else BANNER_QUIET_S))
        self._has_just_booted = isinstance(reply, BoardStarted)
        if isinstance(reply, UnknownCommand):
            self._foreign_ok = reply.word != "M110"
        elif isinstance(reply, Text) and len(self.banner) < MAX_BANNER:
            self.banner.append(reply.line[:200])

    def _on_start(self, start: BoardStarted, now: float) -> None:
        """Start the banner again; it includes the reason for the reset, which follows `start`."""
        self._answered = self._foreign_ok = self._packed = False
        self.has_booted = True
        self._hellos = 0
        self._due = now + BANNER_QUIET_S
        earlier = self.banner if self._has_just_booted else []
        self.banner = [*earlier, start.line[:200]]  # RepRapFirmware's `start` names the firmware

    def _on_busy(self, now: float) -> None:
        """Send no more hellos: one is in the printer's receive buffer, and more would fill the buffer."""
        self.busy_at = now
        self._hello_due = False
        self._due = max(self._due, now + (self._quiet if self._answered else REPEAT_INTERVAL))

    def _on_ok(self, now: float) -> None:
        if self._foreign_ok:  # a board that is booting loses the head of a hello, and takes the tail for a command
            self._foreign_ok = False
            return
        self._answered = True
        self._unanswered -= 1
        self._due = now + self._quiet
