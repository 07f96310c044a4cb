"""LineProbe: asks a printer which line it wants next, when no host remembers what was sent.

A firmware that counts lines refuses a line with an impossible number, and names the line that it expects. The probe
changes nothing. The line feed in front of it ends whatever the previous host left half-sent in the receive buffer. The
firmware may request that half-sent line again, or take it for a command. So the probe is repeated until two answers
in a row agree.

A half-sent line without a number is executed. Such lines are heaters off and M112 at the end of a conversation, so it
may be `M1`, at which a firmware waits for its user, hot. Therefore a parameter comes before the line feed: `M1 P1`
waits for 1 ms. It changes none of the other beginnings of these lines, and alone it is an unknown command.
"""

from gcode.dialect import Dialect
from gcode.errors import LinkError, PrinterReset, PrinterSilent
from gcode.framing import frame
from gcode.packing import RESET
from gcode.replies import MAX_LINE, BoardStarted, Busy, Reply, Resend, Temperatures, parse

RESEND_QUIET_S = 0.5
"""Seconds after a resend request in which another may come: one for the half-sent line, one for the probe."""

END_OF_HALF_LINE = b" P1\n"
"""Ends a half-sent line: a stop (M0, M1) so that it ends by itself; others as a line feed does."""

PROBE_TIMEOUT = 10.0
"""Seconds without a sign of life before the probe is repeated."""

MAX_PROBES = 6
"""Probes, answered or not, before the printer counts as silent."""


class LineProbe:
    """Takes bytes and gives bytes like `HostLink`; done once `number` or `error` is set.

    Attributes:
        number: of the line that the printer wants next, as the printer counts.
        error: why the number could not be found out.
        user_is_awaited: the printer has reported that it waits for its user.
    """

    def __init__(self, dialect: Dialect, number: int, now: float, *, unpacks: bool | None = None) -> None:
        """Prepare the probe; nothing is sent yet.

        Args:
            dialect: of the firmware.
            number: roughly that of the last line sent.
            now: the time.
            unpacks: whether M115 reported a MeatPack decoder; None: it is not known.
        """
        self.number: int | None = None
        self.error: LinkError | None = None
        self.user_is_awaited = False
        # a decoder may be waiting for packed bytes; a firmware without one would take the orders for a line
        self._packing = None if dialect.packing == "reported" and unpacks is False else dialect.packing
        reset = b"" if self._packing is None else RESET
        self._probe = reset + END_OF_HALF_LINE + frame(dialect.impossible_number(number), b"M105")
        self._partial = b""
        self._due = now
        self._probes = 0
        self._answer: int | None = None  # the number in the answer to the last probe
        self._previous: int | None = None  # the number in the answer before that

    @property
    def may_unpack(self) -> bool:
        """The firmware may have a decoder that waits for packed bytes."""
        return self._packing is not None

    @property
    def done(self) -> bool:
        """The probe has succeeded or failed."""
        return self.number is not None or self.error is not None

    @property
    def deadline(self) -> float | None:
        """When to call `data_to_send`; None once the probe is done."""
        return None if self.done else self._due

    def data_to_send(self, now: float) -> bytes:
        """Return what may go on the wire now."""
        if self.done or now < self._due:
            return b""
        if self._answer is not None and self._answer == self._previous:
            self.number = self._answer
            return b""
        if self._probes >= MAX_PROBES:
            self.error = PrinterSilent(
                f"the printer did not say which line it wants, though it was asked {MAX_PROBES} times: its firmware "
                "may have stopped in the meantime (M85 does that); if so, reset the printer"
            )
            return b""
        silent = self._answer is None and self._probes > 0
        self._previous, self._answer = self._answer, None
        self._probes += 1
        self._due = now + PROBE_TIMEOUT
        # If the previous host left an order half-sent, that order swallows the first RESET, and the decoder then finds
        # no line end in the probe. So a second RESET is sent: at once if a firmware without a decoder ignores these
        # bytes, otherwise only after a silence, as such a firmware would answer them.
        resets = self._packing == "unreported" or (self._packing == "reported" and silent)
        return RESET + self._probe if resets else self._probe

    def receive(self, data: bytes, now: float) -> None:
        """Take bytes from the printer."""
        lines = (self._partial + data).split(b"\n")
        self._partial = lines.pop()[-MAX_LINE:]
        for line in lines:
            if not self.done and (text := line.strip(b"\r\0")):
                self._note(parse(text), now)

    def _note(self, reply: Reply, now: float) -> None:
        if isinstance(reply, Resend):
            if self._answer is None:  # some firmwares repeat the request until the line comes
                self._due = now + RESEND_QUIET_S
            self._answer = reply.number
        elif isinstance(reply, BoardStarted):
            self.error = PrinterReset("the printer restarted: it has forgotten where it was")
        elif isinstance(reply, Busy) or (isinstance(reply, Temperatures) and reply.waiting):
            self._due = max(self._due, now + PROBE_TIMEOUT)  # it answers after the command it is working on
            self.user_is_awaited = self.user_is_awaited or (isinstance(reply, Busy) and reply.awaits_user)
