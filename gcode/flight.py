"""Flight: the lines that were sent and may still be asked for, by number, and those of them without an answer.

    history  ───────────────────────────────────────────┐
    … 17 18 19 20 21 22 │ 23 24 25 │ 26 27 28           │
      answered            lines       to be sent again  │ next: 29
                                      ↑ replay

A line is answered in order; going back takes lines out of the flight, and they go out again under their numbers.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from gcode.modes import Modes
from gcode.outgoing import Position, Ticket

HISTORY = 128
"""Frames kept for resends: more than any firmware's receive buffer and command queue hold together."""

# (number, frame, ordinal among the job's lines, byte offset in the file, ticket): a tuple, made once a line
Sent = tuple[int, bytes, int, int, Ticket | None]


@dataclass(frozen=True, slots=True)
class Left:
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
    position: Position
    fed: Position
    modes: Modes


class Flight:
    """What is on its way.

    Attributes:
        lines: sent, and without an answer; oldest first.
        bytes: of these.
        next: the number that the next new line gets.
        replay: the next number to be sent; behind `next` while going back.
        history: the last frames, each at its number modulo HISTORY.
    """

    __slots__ = ("bytes", "history", "lines", "next", "replay")

    def __init__(self) -> None:
        self.lines: deque[Sent] = deque()
        self.bytes = 0
        self.next = 1
        self.replay = 1
        self.history: list[Sent | None] = [None] * HISTORY

    def go_on(self, left: Left) -> None:
        """Take over the lines that another link has sent."""
        self.next = self.replay = left.sent[-1][0] + 1
        for sent in left.sent:
            self.history[sent[0] % HISTORY] = sent
            if sent[0] > left.answered:
                self.add(sent)

    def add(self, sent: Sent) -> None:
        """Note that a line is on its way."""
        self.lines.append(sent)
        self.bytes += len(sent[1])

    def keep(self, sent: Sent) -> None:
        """Give a new line the next number, and keep it for as long as it may be asked for."""
        self.history[sent[0] % HISTORY] = sent
        self.next = self.replay = sent[0] + 1

    def kept(self, number: int) -> Sent | None:
        """Return a line, if it is one of the last."""
        sent = self.history[number % HISTORY]
        return sent if sent is not None and sent[0] == number else None

    def held(self, number: int) -> Sent:
        """Return a line that may be asked for."""
        sent = self.kept(number)
        if sent is None:
            raise AssertionError(f"line {number} is within reach, so it is held")
        return sent

    @property
    def first_held(self) -> int:
        """The oldest number that may be asked for."""
        return max(1, self.next - HISTORY)

    @property
    def goes_back(self) -> bool:
        """Lines are to be sent again."""
        return self.replay < self.next

    @property
    def first_unanswered(self) -> int:
        """The number of the first line that has no answer."""
        return self.lines[0][0] if self.lines else self.replay

    def near(self, number: int, modulo: int | None) -> int:
        """Return the line that a firmware means, of which it tells what is left of its number by `modulo`."""
        return number if modulo is None else number + round((self.next - number) / modulo) * modulo

    def rewind(self, number: int) -> int:
        """Go back to a line; those before it were accepted and stay. Returns how many behind it were on their way."""
        while self.replay < number:  # taken out of the flight by an earlier request, but accepted after all
            self.add(self.held(self.replay))
            self.replay += 1
        lost = 0
        while self.lines and self.lines[-1][0] >= number:
            self.bytes -= len(self.lines.pop()[1])
            lost += 1
        self.replay = number
        return lost
