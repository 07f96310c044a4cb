"""Flight: the lines that were sent and may still be asked for, by number, and those of them without an answer.

    history  ───────────────────────────────────────────┐
    … 17 18 19 20 21 22 │ 23 24 25 │ 26 27 28           │
      answered            lines       to be sent again  │ next: 29
                                      ↑ replay

Theory of operation. A line that was sent is in one of three states, and two marks tell them apart:

* answered: its `ok` has come. It stays in `history`, since a firmware may still ask for it.
* unanswered: it is in `lines`, in the order of sending. An `ok` has no number as a rule, so it answers the oldest.
* to be sent again: its number is `replay` or more, and less than `next`.

Accepted and answered are not the same. A line is accepted when the firmware has read it, and answered when it has
executed it. A request for line 23 says that all lines before it were accepted. Their oks are still to come, so they
stay in the flight, or return to it. Line 23 and those behind it leave the flight, and go out again under the same
numbers. That makes sending them again safe: a firmware that has a line already does not take its number twice.

The history holds frames and not places in a file, because what was sent may have come from a client, a script or the
link itself.

Here, and wherever lines are kept, a line keeps one number for the whole conversation. The number on the wire is smaller
by `base`. It starts over from time to time, because firmwares cannot count without end: Smoothieware reads line numbers
as floats (Gcode.cpp, `get_value`), and Repetier counts modulo 65536 (gcode.cpp). docs/link.md, "Line numbers", has the
steps of it.

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
"""Numbers on the wire up to which all is well: they have six digits, and counters that are floats still tell them
apart (up to 2^24)."""

MANY = 100_000
"""Numbers on the wire from which on they start over with the next job."""

ANEW = 1000
"""The number on the wire with which they do. A board that was reset asks for 1, which cannot be mistaken for it."""

RENEWAL = b"M110 N%d" % ANEW
"""The command for that. It may be sent twice: it comes to the same."""

FILLERS = 4
"""Harmless lines behind it, one by one. Marlin sets its counter when it reads M110 (queue.cpp) and again when it
carries it out (M110.cpp), which is later where an `ok` too many was taken for its own. Whatever it then asks for again
has to be one of these."""

_RENEWED = frame(ANEW, RENEWAL)

HARMLESS = b"M105"
"""A command that changes nothing."""

# (number, frame, ordinal among the job's lines, byte offset in the file, ticket): a tuple, made once a line.
# Where it goes packed, the frame is a `gcode.packing.Packed`, whose length is that on the wire.
Sent = tuple[int, bytes, int, int, Ticket | None]


def command_of(sent: Sent) -> bytes:
    """Return a command as it was sent, without its number."""
    _, raw, _, _, _ = sent
    return numberless(text_of(raw))


def bare(sent: Sent) -> bytes:
    """Return a command as the file has it."""
    _, raw, _, _, _ = sent
    raw = text_of(raw)
    command = numberless(raw)
    return command.strip() if command is raw else command.rpartition(b"*")[0]


@frozen
class LinkSnapshot:
    """Where a link has left a conversation that another one is to go on with.

    Attributes:
        sent: the last lines, oldest first, without a gap; at least one and at most HISTORY.
        answered: the number up to which lines were answered for sure; of one of them or the one before.
        position: of the job, at that line.
        fed: of the job, at the last line sent.
        modes: behind the last line sent.
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
        number: on the wire, of a line that had gone out for sure, or about that.
        modes: behind the last line.
    """

    number: int
    modes: Modes

    def snapshot(self, wanted: int, dialect: Dialect) -> LinkSnapshot:
        """Return where it stands, as the printer wants this line next: all before it has been accepted.

        What the line before it was, nobody has to know: it is never asked for again.
        """
        last = near(wanted, self.number, dialect.counting.modulo) - 1
        sent = (last, frame(last, HARMLESS), -1, -1, Ticket(HARMLESS))
        return LinkSnapshot([sent], last, JobPosition(), JobPosition(), replace(self.modes))


def near(on_wire: int, number: int, modulo: int | None) -> int:
    """Return the number that a firmware means by what `modulo` leaves of it: the one nearest to `number`."""
    return on_wire if modulo is None else on_wire + round((number - on_wire) / modulo) * modulo


class Flight:
    """The lines in flight.

    Attributes:
        lines: sent, and without an answer; oldest first.
        bytes: of these, as they are on the wire.
        next: the number that the next new line gets.
        replay: the next number to be sent; behind `next` while going back.
        history: the last frames, each at its number modulo HISTORY.
        base: what is taken off a number on the wire.
        renewed: the last line by which numbers on the wire started over; 0: none that matters.
        renew_at: from this line on they are to start over.
        idle_until: when a line was sent last that found none without an answer.
        begin: no line before this one is kept, whatever there were.
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
            raise AssertionError(f"line {number} is within reach, so it is held")
        return sent

    @property
    def oldest(self) -> str:
        """The command that waits for an answer; empty where none does."""
        return bare(self.lines[0]).decode() if self.lines else ""

    def has(self, word: str) -> bool:
        """Tell whether a command with this code word waits for its answer."""
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
        """Return the line that a firmware means, of which it tells the number on the wire, or what `modulo` leaves."""
        if modulo is not None:
            return near(on_wire, self.next, modulo)
        if self.renewed and self.first_held <= on_wire + self._former <= self.renewed:
            return on_wire + self._former  # from before numbers started over
        number = on_wire + self.base
        if self.fills and on_wire > 1 and not self.renewed < number <= self.next:
            # it took another number for the new one: Smoothieware obeys an M110 whose checksum is wrong
            # (GcodeDispatch.cpp), so a damaged one counts
            return self.renewed
        return number

    # -- beginning anew --------------------------------------------------------------------------------------

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
        """They are still to start over, or have only just done so; `renew_at` is up to date then."""
        if self.renewed and self.renew_at <= self.renewed and not self.fills:
            self.renew_at = self.base + MOST
        return self.next >= self.renew_at

    def renew_soon(self) -> None:
        """Start over before the next line, where there have been many."""
        if self.next_on_wire > MANY:
            self.renew_at = self.next

    def renew(self) -> None:
        """Start over with the next line, which has to be the command for that; nothing is in flight."""
        self.renewed, self._former = self.next, self.base
        self.base = self.next - ANEW
        self.renew_at = self.next

    def wrap(self, modulo: int | None) -> None:
        """Go on with smaller numbers: to a firmware that counts by `modulo` they are the same; None: it counts none."""
        if modulo is not None:
            self.base = (self.next // modulo - 1) * modulo  # from `modulo` on, as 0 might mean that there is none
        self.renew_at = self.base + MOST if modulo is not None else maxsize

    def rewind(self, number: int) -> int:
        """Rewind to a line; those before it were accepted and stay. Returns how many behind it were in flight."""
        while self.replay < number:  # taken out of the flight by an earlier request, but accepted after all
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
