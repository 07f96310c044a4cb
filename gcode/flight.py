"""Flight: the lines that were sent, by number: those in flight, and those that the firmware may still request.

    history  ───────────────────────────────────────────┐
    … 17 18 19 20 21 22 │ 23 24 25 │ 26 27 28           │
      answered            lines       to be sent again  │ next: 29
                                      ↑ replay

Theory of operation. A line that was sent is in one of three states:

* answered: its `ok` has come. It stays in `history`, since a firmware may still request it.
* in flight: it is in `lines`, in the order of sending. Most `ok`s carry no number, so an `ok` answers the oldest line.
* to be sent again: its number is at least `replay` and less than `next`.

Accepted and answered are not the same. A line is accepted when the firmware has read it, and answered when it has
executed it. A resend request for line 23 says that all lines before it were accepted. Their oks are still to come, so
they stay in the flight, or return to it. Line 23 and those behind it leave the flight, and go out again under the same
numbers. So sending them again is safe: a firmware that has accepted a line does not accept its number twice.

The history holds frames and not places in a file, because a line may also come from a client, a script or the link
itself.

A line has one number for the whole conversation, here and in the logbook. The number on the wire is smaller by `base`.
It starts over from time to time, because no firmware counts without end: Smoothieware reads line numbers as floats
(Gcode.cpp, `get_value`), and Repetier counts modulo 65536 (gcode.cpp). docs/link.md, "Line numbers", lists the steps.

    here         … 899,998 899,999 │ 900,000      900,001 …
    on the wire  … 899,998 899,999 │ 1000 (M110)     1001 …
                                     ↑ last_renumbering
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from sys import maxsize

from gcode.firmware_traits import Dialect
from gcode.framing import frame, number_of, without_number
from gcode.frozen import frozen
from gcode.modes import Modes
from gcode.outgoing import JobPlace, Ticket
from gcode.packing import text_of

HISTORY = 128
"""Lines kept for resends: more than any firmware's receive buffer and command queue hold together."""

MAX_WIRE_NUMBER = 900_000
"""From this number on the wire, numbers start over even during a job, as soon as nothing is in flight. It still has six
digits, and a firmware that counts in floats can tell it from the next (up to 2^24)."""

RENUMBER_ABOVE = 100_000
"""The number on the wire above which numbers start over with the next job."""

START_NUMBER = 1000
"""The number on the wire at which numbers start over: not 1, because a board that was reset requests line 1."""

RENUMBER = b"M110 N%d" % START_NUMBER
"""The command that makes the firmware count from START_NUMBER; sent twice, it does no harm."""

FILLERS = 4
"""Harmless lines that follow RENUMBER, one at a time. Marlin sets its counter when it reads M110 (queue.cpp) and again
when it executes it (M110.cpp). If the link took a stray `ok` for that of the M110, it has sent lines in between; Marlin
requests them again and executes them twice."""

_RENUMBER_FRAME = frame(START_NUMBER, RENUMBER)

HARMLESS = b"M105"
"""A command that changes nothing."""

# (number, frame, ordinal among the job's lines, byte offset in the file, ticket): a tuple, because one is made for
# every line of a print. The frame of a packed line is a `gcode.packing.Packed`: its length is that on the wire.
Sent = tuple[int, bytes, int, int, Ticket | None]


def command_with_checksum(sent: Sent) -> bytes:
    """Return a command as it was sent, with its checksum but without its line number."""
    _, raw, _, _, _ = sent
    return without_number(text_of(raw))


def plain_command(sent: Sent) -> bytes:
    """Return a command as it is in the file: without number and checksum."""
    _, raw, _, _, _ = sent
    raw = text_of(raw)
    command = without_number(raw)
    return command.strip() if command is raw else command.rpartition(b"*")[0]


@frozen
class LinkSnapshot:
    """The state in which one link leaves a conversation, and from which another reattaches to it.

    Attributes:
        sent: the last lines, oldest first, without a gap; at least one and at most HISTORY.
        answered: the number up to which all lines are known to be answered: that of a line in `sent`, or of the line
            before the oldest one.
        place: of the job at line `answered`.
        fed: place of the job at the last line sent.
        modes: those in force after the last line sent.
    """

    sent: Sequence[Sent]
    answered: int
    place: JobPlace
    fed: JobPlace
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
    """What a host knows of a conversation whose lines it has lost, as after a reboot; the printer knows the rest.

    Attributes:
        number: on the wire, of a line at or near the last one sent.
        modes: those in force after the last line.
    """

    number: int
    modes: Modes

    def snapshot(self, next_number: int, dialect: Dialect) -> LinkSnapshot:
        """Return the snapshot that follows from the line that the printer wants: all lines before it were accepted.

        The snapshot has a made-up line in place of the last one accepted, which is never requested again.
        """
        last = nearest_number(next_number, self.number, dialect.counting.modulo) - 1
        sent = (last, frame(last, HARMLESS), -1, -1, Ticket(HARMLESS))
        return LinkSnapshot([sent], last, JobPlace(), JobPlace(), replace(self.modes))


def nearest_number(on_wire: int, number: int, modulo: int | None) -> int:
    """Return the line number that a firmware calls `on_wire`.

    A firmware that counts modulo `modulo` calls many so; the one nearest to `number` is returned.
    """
    return on_wire if modulo is None else on_wire + round((number - on_wire) / modulo) * modulo


class Flight:
    """The lines in flight.

    Attributes:
        lines: those in flight, oldest first.
        bytes: their length on the wire.
        next: the number of the next new line.
        replay: the number of the next line to send; smaller than `next` after a rewind.
        history: the last lines, each at its number modulo HISTORY.
        base: the line number minus the number on the wire.
        last_renumbering: the last line with which numbers on the wire started over; 0: none that matters.
        next_renumbering: the line with which numbers on the wire start over next.
        idle_until: when a line was last sent while none was in flight.
        history_begin: the first line that may be in the history.
    """

    __slots__ = (
        "_former",
        "base",
        "bytes",
        "history",
        "history_begin",
        "idle_until",
        "last_renumbering",
        "lines",
        "next",
        "next_renumbering",
        "replay",
    )

    def __init__(self) -> None:
        self.lines: deque[Sent] = deque()
        self.bytes = 0
        self.next = 1
        self.replay = 1
        self.history: list[Sent | None] = [None] * HISTORY
        self.idle_until = 0.0
        self.history_begin = 1
        self.base = 0
        self.last_renumbering = 0
        self.next_renumbering = MAX_WIRE_NUMBER
        self._former = 0  # `base` before line `last_renumbering`

    def reattach(self, snapshot: LinkSnapshot) -> None:
        """Take the lines that the previous host sent."""
        self.history_begin = snapshot.first
        self.next = self.replay = snapshot.last + 1
        for sent in snapshot.sent:
            number, raw, _, _, _ = sent
            self.history[number % HISTORY] = sent
            if number > snapshot.answered:
                self.add(sent)
            if (on_wire := number_of(raw)) is not None:
                former, self.base = self.base, number - on_wire
                if raw == _RENUMBER_FRAME:
                    self.last_renumbering, self._former = number, former
        self.next_renumbering = self.last_renumbering if self.just_renumbered else self.base + MAX_WIRE_NUMBER

    def add(self, sent: Sent) -> None:
        """Append a line to those in flight."""
        _, raw, _, _, _ = sent
        self.lines.append(sent)
        self.bytes += len(raw)

    def find(self, number: int) -> Sent | None:
        """Return a line from the history; None: it is not there."""
        sent = self.history[number % HISTORY]
        return sent if sent is not None and sent[0] == number else None

    def line(self, number: int) -> Sent:
        """Return a line that the firmware may request."""
        sent = self.find(number)
        if sent is None:
            raise AssertionError(f"line {number} may be requested, but is not in the history")
        return sent

    @property
    def oldest(self) -> str:
        """The oldest command in flight; empty: no line is in flight."""
        return plain_command(self.lines[0]).decode() if self.lines else ""

    @property
    def oldest_ticket(self) -> Ticket | None:
        """The ticket of the oldest line in flight; None: it is a line of the job, or no line is in flight."""
        if not self.lines:
            return None
        _, _, _, _, ticket = self.lines[0]
        return ticket

    def has_code_word(self, word: str) -> bool:
        """Tell whether a command with this code word is in flight."""
        size = len(word)
        commands = (command_with_checksum(sent).decode().upper() for sent in self.lines)
        return bool(word) and any(each.startswith(word) and not each[size : size + 1].isdigit() for each in commands)

    def has_command(self, command: str) -> bool:
        """Tell whether this very command is in flight: a macro such as PRINT_START has no code word."""
        text = command.strip().upper()
        return bool(text) and any(plain_command(sent).decode("utf-8", "replace").upper() == text for sent in self.lines)

    @property
    def first_in_history(self) -> int:
        """The number of the oldest line in the history: the first that can be sent again."""
        return max(self.history_begin, self.next - HISTORY)

    @property
    def replaying(self) -> bool:
        """Some lines have to be sent again."""
        return self.replay < self.next

    @property
    def first_unanswered(self) -> int:
        """The number of the oldest line without an answer."""
        return self.lines[0][0] if self.lines else self.replay

    def line_number(self, on_wire: int, modulo: int | None) -> int:
        """Return the number of the line that a firmware means by a number on the wire, which may be modulo `modulo`."""
        if modulo is not None:
            return nearest_number(on_wire, self.next, modulo)
        if self.last_renumbering and self.first_in_history <= on_wire + self._former <= self.last_renumbering:
            return on_wire + self._former  # a line from before numbers started over
        number = on_wire + self.base
        if self.just_renumbered and on_wire > 1 and not self.last_renumbering < number <= self.next:
            # The firmware counts from another number than START_NUMBER: a damaged RENUMBER has set its counter, as
            # Smoothieware obeys an M110 even if its checksum is wrong (GcodeDispatch.cpp).
            return self.last_renumbering
        return number

    # -- numbers that start over ----------------------------------------------------------------------------

    @property
    def next_on_wire(self) -> int:
        """The number of the next new line on the wire."""
        return self.next - self.base

    @property
    def just_renumbered(self) -> bool:
        """Numbers have started over, and nothing but harmless lines has been sent since."""
        return self.last_renumbering > 0 and self.next - self.last_renumbering <= FILLERS

    def check_renumbering(self) -> bool:
        """Update `next_renumbering`; tell whether the next line has to be RENUMBER or one of the FILLERS after it."""
        if self.last_renumbering and self.next_renumbering <= self.last_renumbering and not self.just_renumbered:
            self.next_renumbering = self.base + MAX_WIRE_NUMBER
        return self.next >= self.next_renumbering

    def renumber_soon(self) -> None:
        """Let numbers start over with the next line if they are above RENUMBER_ABOVE."""
        if self.next_on_wire > RENUMBER_ABOVE:
            self.next_renumbering = self.next

    def renumber(self) -> None:
        """Start numbers over with the next line, which has to be RENUMBER; nothing is in flight."""
        self.last_renumbering, self._former = self.next, self.base
        self.base = self.next - START_NUMBER
        self.next_renumbering = self.next

    def wrap(self, modulo: int | None) -> None:
        """Use smaller numbers on the wire that are the same to a firmware that counts modulo `modulo`.

        None: the firmware reads no numbers, so they may grow without end.
        """
        if modulo is not None:
            self.base = (self.next // modulo - 1) * modulo  # keeps numbers above 0, which might mean "no number"
        self.next_renumbering = self.base + MAX_WIRE_NUMBER if modulo is not None else maxsize

    def rewind(self, number: int) -> int:
        """Rewind to a line: those before it were accepted and stay. Return how many lines leave the flight."""
        while self.replay < number:  # an earlier resend request took this line out of the flight, but it was accepted
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
