"""Answers: which command a reply belongs to, where the `ok` comes at the receipt of a command and tells nothing.

There the answer comes behind the `ok`, perhaps behind the `ok`s of later commands as well. So it is told by what it
says: temperatures answer M105, a place M114, and so on. What is said otherwise belongs to the oldest command that may
say anything; such a command is over when nothing has come for a moment.
"""

import re
from collections import deque
from collections.abc import Callable

from gcode.frozen import mutable
from gcode.outgoing import Ticket
from gcode.replies import FirmwareInfo, PositionReply, Reply, SdIdle, SdProgress, Temperatures, UnknownCommand

MOMENT = 0.2
"""Seconds behind the `ok` of a command, or behind the last line it said, after which it has said everything."""

NEXT_LINE = 0.05
"""Seconds behind a line of an answer that was told by what it says, for those that belong to it."""

LONGEST = 5.0
"""Seconds for which a command may go on to say something."""

MOST_WAITING = 64
"""Commands whose answers are waited for; beyond them the oldest is over."""

_WORD = re.compile(rb"\s*([A-Z])0*(\d+)", re.IGNORECASE)
_SILENT = re.compile(rb"(?:G(?:0|1|2|3|90|91|92)|M(?:82|83|106|107))(?!\d)", re.IGNORECASE)

_Fits = Callable[[Reply, Ticket], bool]


def _is_said(reply: Reply, ticket: Ticket) -> bool:
    """Tell whether a reply is what M118 was told to say; some firmwares say its first word alone."""
    text = ticket.command[4:].decode("utf-8", "replace").split()
    return bool(reply.line.strip()) and any(word in reply.line for word in text)


_FITS: dict[str, tuple[_Fits, bool]] = {  # what answers a command, and whether those before it are over then
    "M105": (lambda reply, _: isinstance(reply, Temperatures), False),  # it may be a report by itself
    "M114": (lambda reply, _: isinstance(reply, PositionReply), True),
    "M115": (lambda reply, _: isinstance(reply, FirmwareInfo), True),
    "M118": (_is_said, True),
    "M27": (lambda reply, _: isinstance(reply, SdProgress | SdIdle), False),
}


@mutable
class _Expected:
    ticket: Ticket
    word: str
    ok: str
    due: float  # when it is over, answered or not
    last: float  # when it is over whatever it says
    answered: bool = False


class Answers:
    """The commands that were received, and have not said everything yet; oldest first."""

    def __init__(self) -> None:
        self._asked: deque[_Expected] = deque()

    def __bool__(self) -> bool:
        return bool(self._asked)

    @property
    def due(self) -> float:
        """When `tick` wants to be called; there is a command that waits."""
        return min(each.due for each in self._asked)

    def received(self, ticket: Ticket, ok: str, now: float, timeout: float, *, lasts: bool = False) -> list[Ticket]:
        """Take a command whose `ok` has come; return what is over.

        Args:
            ticket: of the command.
            ok: that has come.
            now: the time.
            timeout: seconds after which an answer does not come any more.
            lasts: it is over when a later one is answered, whatever it says itself.
        """
        word = code_word(ticket.command)
        if (ticket.replies and not lasts) or _SILENT.match(ticket.command):
            # an older version answers before its ok, some commands say nothing
            before = self.all_over() if ticket.replies and _FITS.get(word, (None, False))[1] else []
            return [*before, _over(ticket, ok)]
        if word in _FITS or lasts:
            last = max(now + timeout, *(each.last for each in self._asked), 0.0)  # no sooner than those before it
            self._asked.append(_Expected(ticket, word, ok, last, last))
        else:
            self._asked.append(_Expected(ticket, word, ok, now + MOMENT, now + LONGEST))
        over = [self._asked.popleft()] if len(self._asked) > MOST_WAITING else []
        return [_over(each.ticket, each.ok) for each in over]

    def take(self, reply: Reply, now: float, next_: Ticket | None = None) -> list[Ticket] | None:
        """Give a reply to the command that it answers; return what is over then, None where it answers none.

        Args:
            reply: that has come.
            now: the time.
            next_: the oldest command that has no `ok` yet: an older version answers before it.
        """
        for at, asked in enumerate(self._asked):
            if isinstance(reply, UnknownCommand) and asked.word == reply.word:
                asked.ticket.answer(reply.line)
                return self._end(at + 1)
            fits, in_order = _FITS.get(asked.word, (None, False))
            if fits is None or asked.answered or not fits(reply, asked.ticket):
                continue
            asked.ticket.answer(reply.line)
            over = self._end(at) if in_order else []
            if asked.word == "M115":  # lines about what it can do follow
                asked.answered, asked.due, asked.last = True, now + NEXT_LINE, now + LONGEST
            else:
                self._asked.remove(asked)
                over.append(_over(asked.ticket, asked.ok))
            return over
        if isinstance(reply, Temperatures | PositionReply | SdProgress | SdIdle):
            return None
        if next_ is not None and _answers_before_its_ok(reply, next_):
            return None
        for asked in self._asked:
            if asked.answered or asked.word not in _FITS:
                asked.ticket.answer(reply.line)
                asked.due = min(max(asked.due, now + (NEXT_LINE if asked.answered else MOMENT)), asked.last)
                return []
        return None

    def repeats(self, line: str) -> bool:
        """Tell whether a line is what a command was told to say (M118)."""
        return any(
            each.word == "M118" and bool(line.strip()) and line.strip().encode() in each.ticket.command
            for each in self._asked
        )

    def all_over(self) -> list[Ticket]:
        """Take note that the firmware has nothing to do any more; return what is over."""
        return self._end(len(self._asked))

    def tick(self, now: float) -> list[Ticket]:
        """Return what is over because nothing more has come."""
        over = [each for each in self._asked if now >= each.due]
        for each in over:
            self._asked.remove(each)
        return [_over(each.ticket, each.ok) for each in over]

    def _end(self, count: int) -> list[Ticket]:
        """Return the oldest commands, which are over."""
        return [_over(each.ticket, each.ok) for each in (self._asked.popleft() for _ in range(count))]


def _answers_before_its_ok(reply: Reply, ticket: Ticket) -> bool:
    return code_word(ticket.command) in _FITS and fits(reply, ticket)


def fits(reply: Reply, ticket: Ticket) -> bool:
    """Tell whether a reply may answer a command."""
    answers, _ = _FITS.get(code_word(ticket.command), (None, False))
    return answers is None or answers(reply, ticket)


def code_word(command: bytes) -> str:
    """Return the code word of a command, `M105` of `m0105 T0`; empty where there is none."""
    match = _WORD.match(command)
    return f"{match[1].decode().upper()}{match[2].decode()}" if match else ""


def _over(ticket: Ticket, ok: str) -> Ticket:
    ticket.replies.append(ok)
    ticket.done = True
    return ticket
