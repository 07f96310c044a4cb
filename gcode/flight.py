"""Flight: the lines that were sent, by number: those in flight, and those that may still be asked for.

    history  ───────────────────────────────────────────┐
    … 17 18 19 20 21 22 │ 23 24 25 │ 26 27 28           │
      answered            lines       to be sent again  │ next: 29
                                      ↑ replay

Theory of operation. A line that was sent is in one of three states, and two marks tell them apart:

* answered: its `ok` has come. It stays in `history`, since a firmware may still ask for it.
* unanswered: it is in `lines`, in the order of sending. An `ok` has no number as a rule, so it answers the oldest.
* to be sent again: its number is `replay` or more, and less than `next`.

Accepted and answered are not the same. A line is accepted when the firmware has read it, and answered when it has
executed it. A resend request for line 23 says that all lines before it were accepted. Their oks are still to come, so
they stay in the flight, or return to it. Line 23 and those behind it leave the flight, and go out again under the same
numbers. So sending them again is safe: a firmware that has accepted a line does not accept its number twice.

The history holds frames and not places in a file, because what was sent may have come from a client, a script or the
link itself.

A line has one number for the whole conversation, here and wherever lines are kept. The number on the wire is smaller
by `base`. It starts over from time to time, because firmwares cannot count without end: Smoothieware reads line numbers
as floats (Gcode.cpp, `get_value`), and Repetier counts modulo 65536 (gcode.cpp). docs/link.md, "Line numbers", lists
the steps.

    here         … 899,999 900,000 │ 900,001      900,002 …
    on the wire  … 899,999 900,000 │ 1000 (M110)     1001 …
                                     ↑ renewed
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from sys import maxsize

from gcode.firmware_traits import Dialect
from gcode.framing import frame, number_of, numberless
from gcode.frozen import frozen
from gcode.modes import Modes
from gcode.outgoing import JobPosition, Ticket
from gcode.packing import text_of

HISTORY = 128
"""Frames kept for resends: more than any firmware's receive buffer and command queue hold together."""

MOST = 900_000
"""The number on the wire at which they start over, job or not: it still has six digits, and a firmware that counts in
floats can tell it from the next (up to 2^24)."""

MANY = 100_000
"""The number on the wire from which on the next job makes them start over."""

ANEW = 1000
"""The number on the wire at which they begin again: not 1, which a board that was reset asks for."""

RENEWAL = b"M110 N%d" % ANEW
"""The command that makes the firmware count from there. Sending it twice does no harm."""

FILLERS = 4
"""Harmless lines that follow RENEWAL, one by one. Marlin sets its counter when it reads M110 (queue.cpp) and again when
it executes it (M110.cpp). If a stray `ok` was taken for that of the M110, lines have been sent in between, and Marlin
asks for them again: they have to be such that executing them twice does no harm."""

_RENEWED = frame(ANEW, RENEWAL)

HARMLESS = b"M105"
"""A command that changes nothing."""

# (number, frame, ordinal among the job's lines, byte offset in the file, ticket): a tuple, made once a line.
# A frame that is sent packed is a `gcode.packing.Packed`, whose length is that on the wire.
Sent = tuple[int, bytes, int, int, Ticket | None]


def command_of(sent: Sent) -> bytes:
    """Return a command as it was sent, without its number."""
    _, raw, _, _, _ = sent
    return numberless(text_of(raw))


def bare(sent: Sent) -> bytes:
    """Return a command as it is in the file: without number and checksum."""
    _, raw, _, _, _ = sent
    raw = text_of(raw)
    command = numberless(raw)
    return command.strip() if command is raw else command.rpartition(b"*")[0]


@frozen
class LinkSnapshot:
    """Where one link has left a conversation, so that another one can reattach to it.

    Attributes:
        sent: the last lines, oldest first, without a gap; at least one and at most HISTORY.
        answered: all lines up to this number were answered for sure; it is that of a line in `sent`, or of the line
            before the first of them.
        position: how far the job had got at line `answered`.
        fed: how far the job had gone out with the last line sent.
        modes: those that hold behind the last line sent.
    """

    sent: Sequence[Sent]
    answered: int
    position: JobPosition
    fed: JobPosition
    modes: Modes

    @property
    def first(self) -> int:
        """The number of the oldest line."""
        number, _, _, _, _ = self.sent[0]
        return number

    @property
    def last(self) -> int:
        """The number of the line sent last."""
        number, _, _, _, _ = self.sent[-1]
        return number


@frozen
class LinkEstimate:
    """A conversation of which only the printer still knows how far it has got: the host's memory of it is gone.

    Attributes:
        number: on the wire, of a line that is known to have gone out, or of one near it.
        modes: those that hold behind the last line.
    """

    number: int
    modes: Modes

    def snapshot(self, wanted: int, dialect: Dialect) -> LinkSnapshot:
        """Return the snapshot that follows from the line that the printer wants next: all lines before were accepted.

        The last of them is made up, as it is never asked for again.
        """
        last = near(wanted, self.number, dialect.counting.modulo) - 1
        sent = (last, frame(last, HARMLESS), -1, -1, Ticket(HARMLESS))
        return LinkSnapshot([sent], last, JobPosition(), JobPosition(), replace(self.modes))


def near(on_wire: int, number: int, modulo: int | None) -> int:
    """Return the line number for one that the firmware counts modulo `modulo`: the candidate nearest to `number`."""
    return on_wire if modulo is None else on_wire + round((number - on_wire) / modulo) * modulo


class Flight:
    """The lines in flight.

    Attributes:
        lines: those in flight; oldest first.
        bytes: how many bytes they take on the wire.
        next: the number that the next new line gets.
        replay: the next number to be sent; smaller than `next` after a rewind.
        history: the last lines, each at its number modulo HISTORY.
        base: what a number is reduced by on the wire.
        renewed: the last line by which numbers on the wire started over; 0: none that matters.
        renew_at: from this line on they are to start over.
        idle_until: when a line was last sent while none was in flight.
        begin: the first line that may be in the history.
    """

    __slots__ = (
        "_former",
        "base",
        "begin",
        "bytes",
        "history",
        "idle_until",
        "lines",
        "next",
        "renew_at",
        "renewed",
        "replay",
    )

    def __init__(self) -> None:
        self.lines: deque[Sent] = deque()
        self.bytes = 0
        self.next = 1
        self.replay = 1
        self.history: list[Sent | None] = [None] * HISTORY
        self.idle_until = 0.0
        self.begin = 1
        self.base = 0
        self.renewed = 0
        self.renew_at = MOST
        self._former = 0  # `base` before `renewed`

    def reattach(self, snapshot: LinkSnapshot) -> None:
        """Take over the lines that another link has sent."""
        self.begin = snapshot.first
        self.next = self.replay = snapshot.last + 1
        for sent in snapshot.sent:
            number, raw, _, _, _ = sent
            self.history[number % HISTORY] = sent
            if number > snapshot.answered:
                self.add(sent)
            if (on_wire := number_of(raw)) is not None:
                former, self.base = self.base, number - on_wire
                if raw == _RENEWED:
                    self.renewed, self._former = number, former
        self.renew_at = self.renewed if self.fills else self.base + MOST

    def add(self, sent: Sent) -> None:
        """Put a line behind those in flight."""
        _, raw, _, _, _ = sent
        self.lines.append(sent)
        self.bytes += len(raw)

    def find(self, number: int) -> Sent | None:
        """Return a line, if it is one of the last."""
        sent = self.history[number % HISTORY]
        if sent is None:
            return None
        found, _, _, _, _ = sent
        return sent if found == number else None

    def line(self, number: int) -> Sent:
        """Return a line that may be asked for."""
        sent = self.find(number)
        if sent is None:
            raise AssertionError(f"line {number} may be asked for, but is not in the history")
        return sent

    @property
    def oldest(self) -> str:
        """The oldest command in flight; empty if there is none."""
        return bare(self.lines[0]).decode() if self.lines else ""

    def has(self, word: str) -> bool:
        """Tell whether a command with this code word is in flight."""
        size = len(word)
        commands = (command_of(sent).decode().upper() for sent in self.lines)
        return bool(word) and any(each.startswith(word) and not each[size : size + 1].isdigit() for each in commands)

    @property
    def first_held(self) -> int:
        """The oldest number that may be asked for."""
        return max(self.begin, self.next - HISTORY)

    @property
    def replaying(self) -> bool:
        """Lines are to be sent again."""
        return self.replay < self.next

    @property
    def first_unanswered(self) -> int:
        """The number of the first line that has no answer."""
        return self.lines[0][0] if self.lines else self.replay

    def near(self, on_wire: int, modulo: int | None) -> int:
        """Return the line that a firmware means by a number on the wire, of which it may tell the rest by `modulo`."""
        if modulo is not None:
            return near(on_wire, self.next, modulo)
        if self.renewed and self.first_held <= on_wire + self._former <= self.renewed:
            return on_wire + self._former  # a line from before numbers started over
        number = on_wire + self.base
        if self.fills and on_wire > 1 and not self.renewed < number <= self.next:
            # the firmware begins at another number than ANEW: Smoothieware obeys an M110 whose checksum is wrong
            # (GcodeDispatch.cpp), so a damaged one has set its counter
            return self.renewed
        return number

    # -- numbers that start over ----------------------------------------------------------------------------

    @property
    def next_on_wire(self) -> int:
        """The number on the wire that the next new line gets."""
        return self.next - self.base

    @property
    def fills(self) -> bool:
        """Numbers have started over, and nothing but harmless lines has been sent since."""
        return self.renewed > 0 and self.next - self.renewed <= FILLERS

    @property
    def renews(self) -> bool:
        """The next line is RENEWAL or one of the FILLERS behind it; `renew_at` is brought up to date first."""
        if self.renewed and self.renew_at <= self.renewed and not self.fills:
            self.renew_at = self.base + MOST
        return self.next >= self.renew_at

    def renew_soon(self) -> None:
        """Have numbers start over with the next line if they are above MANY."""
        if self.next_on_wire > MANY:
            self.renew_at = self.next

    def renew(self) -> None:
        """Have numbers start over with the next line, which has to be RENEWAL; nothing is in flight."""
        self.renewed, self._former = self.next, self.base
        self.base = self.next - ANEW
        self.renew_at = self.next

    def wrap(self, modulo: int | None) -> None:
        """Use smaller numbers on the wire, which to a firmware that counts by `modulo` are the same.

        None: the firmware reads no numbers, so they may grow without end.
        """
        if modulo is not None:
            self.base = (self.next // modulo - 1) * modulo  # from `modulo` on, as 0 might mean that there is none
        self.renew_at = self.base + MOST if modulo is not None else maxsize

    def rewind(self, number: int) -> int:
        """Rewind to a line; those before it were accepted and stay. Return how many leave the flight."""
        while self.replay < number:  # taken out of the flight by an earlier resend request, but accepted after all
            self.add(self.line(self.replay))
            self.replay += 1
        lost = 0
        while self.lines:
            last, raw, _, _, _ = self.lines[-1]
            if last < number:
                break
            self.lines.pop()
            self.bytes -= len(raw)
            lost += 1
        self.replay = number
        return lost
