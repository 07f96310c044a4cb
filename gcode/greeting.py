"""Greeting: finding out that something which speaks G-code is at the other end, without the line.

Opening a port resets many boards, which then need a second or two, and whose boot loader swallows what is sent
meanwhile. So: say hello, say it again after `start`, and again while nobody answers. A printer that heats for somebody
else, or waits for its knob, says so and answers later: it has heard, and no more is said until it is free. Never used
where a print may still be going on: the hello sets the firmware's line counter to zero.
"""

import math

from gcode.framing import frame
from gcode.packing import RESET, decoder_said
from gcode.replies import BoardStarted, Busy, Reply, Temperatures, Text, UnknownCommand, Wait, acknowledges, parse

HELLO = b"\n" + frame(0, b"M110 N0")
"""The line feed ends noise that the firmware may hold; then line 0, so that line 1 comes next."""

ASK = b"M105\n"
"""Said behind the hello in the end: some firmwares set their counter without a word (Blocks Zero)."""

HELLOS_BEFORE_ASKING = 2
"""Most printers answer the first of them; who asks gets one more answer, which has to be waited for."""

HELLOS_BEFORE_RESET = 4
"""Hellos in vain behind which every second one begins with the reset of a decoder: the previous host may have left it
waiting for packed bytes, and to that no plain hello has an end."""

REPEAT = 2.0
"""Seconds after which an unanswered hello is said again."""

BANNER = 0.25
"""Seconds of quiet that end the banner of a board that has booted (Marlin's takes 35 ms)."""

QUIET = 0.05
"""Seconds of quiet after the answer to every hello."""

LONG_QUIET = 0.5
"""The same while an earlier hello has no answer: it may come yet, and would be taken for the next line's."""

MAX_BANNER = 32
"""Lines of the banner that are kept: who it is stands in the first ones."""


class Greeting:
    """The first words on a line. Like `HostLink` it is fed bytes and asked for bytes; `done` ends it.

    Attributes:
        done: somebody is there, and has said all.
        heard: anything at all came.
        banner: what the board said of itself since it booted, to tell it by where M115 says nothing.
        booted: the board restarted meanwhile.
        busy_at: when the printer said last that it works for somebody else.
    """

    def __init__(self, now: float, *, packed: bool = False) -> None:
        """Begin; with `packed` the firmware may be waiting for packed bytes, as an earlier host has left it."""
        self._packed = packed
        self.done = False
        self.heard = False
        self.booted = False
        self.banner: list[str] = []
        self.busy_at = -math.inf
        self._said = 0  # hellos
        self._answered = False
        self._unanswered = 0  # of what was said
        self._foreign_ok = False  # the next `ok` answers what was left of a hello, taken for a command
        self._boots = False  # the last word was that of a board that begins
        self._partial = b""
        self._due: float = now  # next hello, or the end of the quiet after an answer
        self._speak = True

    @property
    def deadline(self) -> float | None:
        """When `tick` wants to be called."""
        return None if self.done else self._due

    @property
    def _quiet(self) -> float:
        return LONG_QUIET if self._unanswered > 0 else QUIET

    def tick(self, now: float) -> None:
        """Act on a deadline that has passed; harmless before."""
        if self.done or now < self._due:
            return
        if self._answered:
            self.done = True
        else:
            self._speak = True

    def data_to_send(self, now: float) -> bytes:
        """Return what may go on the wire now."""
        if not self._speak:
            return b""
        self._speak = False
        self._said += 1
        self._due = now + REPEAT
        reset = self._packed or (self._said > HELLOS_BEFORE_RESET and self._said % 2 == 1)
        hello = RESET + HELLO if reset else HELLO
        if self._said <= HELLOS_BEFORE_ASKING:
            self._unanswered += 1
            return hello
        self._unanswered += 2
        return hello + ASK

    def receive(self, data: bytes, now: float) -> list[Reply]:
        """Take bytes from the printer; return what it said."""
        lines = (self._partial + data).split(b"\n")
        self._partial = lines.pop()[-4096:]
        for line in lines:
            if (said := decoder_said(line.strip(b"\r\0"))) is not None:
                self._packed = said.unpacks
        replies = [parse(line[:4096]) for raw in lines if (line := raw.strip(b"\r\0"))]
        for reply in replies:
            self._note(reply, now)
        return replies

    def _note(self, reply: Reply, now: float) -> None:
        self.heard = True
        if isinstance(reply, BoardStarted):
            self._on_start(reply, now)
        elif acknowledges(reply) or isinstance(reply, Wait):
            self._on_ok(now)
        elif isinstance(reply, Busy) or (isinstance(reply, Temperatures) and reply.waiting):
            self._on_busy(now)
        elif not isinstance(reply, Temperatures):  # reports that an earlier host asked for go on without end
            self._due = max(self._due, now + (self._quiet if self._answered else BANNER))
        self._boots = isinstance(reply, BoardStarted)
        if isinstance(reply, UnknownCommand):
            self._foreign_ok = reply.word != "M110"
        elif isinstance(reply, Text) and len(self.banner) < MAX_BANNER:
            self.banner.append(reply.line[:200])

    def _on_start(self, start: BoardStarted, now: float) -> None:
        """Begin the banner anew; the reason of a reset, told behind `start`, is a part of it."""
        self._answered = self._foreign_ok = self._packed = False
        self.booted = True
        self._said = 0
        self._due = now + BANNER
        self.banner = [*(self.banner if self._boots else ()), start.line[:200]]  # RepRapFirmware has its name in it

    def _on_busy(self, now: float) -> None:
        """Leave it alone: what was said stands in its buffer, and more would fill that."""
        self.busy_at = now
        self._speak = False
        self._due = max(self._due, now + (self._quiet if self._answered else REPEAT))

    def _on_ok(self, now: float) -> None:
        if self._foreign_ok:  # a board that boots cuts a hello, and takes the tail of it for a command
            self._foreign_ok = False
            return
        self._answered = True
        self._unanswered -= 1
        self._due = now + self._quiet
