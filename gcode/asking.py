"""Asking: finding out which line a printer wants next, of which nobody knows what it was sent.

A question with an impossible number is refused by a firmware that counts lines, and the refusal says what it wants. It
changes nothing. What stood half in its buffer when the host died is ended by the line feed before, and may be asked for
again or be taken for a line of its own; so the question is put until two answers are the same.
"""

from gcode.dialect import Dialect
from gcode.errors import LinkError, PrinterReset, PrinterSilent
from gcode.framing import frame
from gcode.packing import RESET
from gcode.replies import BoardStarted, Busy, Reply, Resend, Temperatures, parse

QUIET = 0.5
"""Seconds behind a request in which another one may come: of the line that was cut, or of the question."""

PATIENCE = 10.0
"""Seconds without a sign of life until it is asked again."""

QUESTIONS = 6
"""Questions, answered or not, after which nothing will come of it."""


class Asking:
    """Like `HostLink` it is fed bytes and asked for bytes; `wanted` or `error` ends it.

    Attributes:
        wanted: the number of the line that the printer wants next, as it counts.
        error: why nobody knows.
    """

    def __init__(self, dialect: Dialect, number: int, now: float, *, unpacks: bool | None = None) -> None:
        """Prepare.

        Args:
            dialect: of the firmware.
            number: about that of the last line.
            now: the time.
            unpacks: whether the firmware has said that it has a decoder; None: nobody knows.
        """
        self.wanted: int | None = None
        self.error: LinkError | None = None
        # its decoder may be waiting for packed bytes; one without takes the orders for lines
        self._packing = None if dialect.packing == "told" and unpacks is False else dialect.packing
        reset = b"" if self._packing is None else RESET
        self._question = reset + b"\n" + frame(dialect.impossible_number(number), b"M105")
        self._partial = b""
        self._due = now
        self._asked = 0
        self._told: int | None = None  # by the answer to the question that was put last
        self._before: int | None = None  # and by that before

    @property
    def may_unpack(self) -> bool:
        """The firmware may have a decoder that waits for packed bytes."""
        return self._packing is not None

    @property
    def done(self) -> bool:
        """It has ended, well or not."""
        return self.wanted is not None or self.error is not None

    @property
    def deadline(self) -> float | None:
        """When `data_to_send` wants to be called."""
        return None if self.done else self._due

    def data_to_send(self, now: float) -> bytes:
        """Return what may go on the wire now."""
        if self.done or now < self._due:
            return b""
        if self._told is not None and self._told == self._before:
            self.wanted = self._told
            return b""
        if self._asked >= QUESTIONS:
            self.error = PrinterSilent(
                f"the printer did not say which line it wants, though it was asked {QUESTIONS} times: its firmware may "
                "have stopped in the meantime (M85 does that); if so, reset it"
            )
            return b""
        silent = self._told is None and self._asked > 0
        self._before, self._told = self._told, None
        self._asked += 1
        self._due = now + PATIENCE
        # its decoder may be waiting for packed lines, and sees no end in a question; one without may answer such bytes
        resets = self._packing == "asked" or (self._packing == "told" and silent)
        return RESET + self._question if resets else self._question

    def receive(self, data: bytes, now: float) -> None:
        """Take bytes from the printer."""
        lines = (self._partial + data).split(b"\n")
        self._partial = lines.pop()[-4096:]
        for line in lines:
            if not self.done and (text := line.strip(b"\r\0")):
                self._note(parse(text[:4096]), now)

    def _note(self, reply: Reply, now: float) -> None:
        if isinstance(reply, Resend):
            if self._told is None:  # some repeat it until the line comes
                self._due = now + QUIET
            self._told = reply.number
        elif isinstance(reply, BoardStarted):
            self.error = PrinterReset("the printer restarted: it has forgotten where it was")
        elif isinstance(reply, Busy) or (isinstance(reply, Temperatures) and reply.waiting):
            self._due = max(self._due, now + PATIENCE)  # it answers behind that
