"""Answers: which command a reply belongs to, for firmware that says `ok` at receipt (Repetier).

There the answer follows the `ok`, perhaps even the `ok`s of later commands (repetier-1.0.4-basic.txt). So it is
assigned by its content: temperatures answer M105, a position answers M114, and so on. Any other text belongs to the
oldest command that may say anything; such a command ends when nothing has come for QUIET seconds.
"""

import re
from collections import deque
from collections.abc import Callable

from gcode.frozen import mutable
from gcode.outgoing import Ticket
from gcode.replies import FirmwareInfo, PositionReply, Reply, SdIdle, SdProgress, Temperatures, UnknownCommand

QUIET = 0.2
"""Seconds after the `ok` of a command, or after the last line of its answer, that end the answer."""

NEXT_LINE = 0.05
"""Seconds to wait for further lines of an answer that was recognised by its first line."""

MAX_TALK = 5.0
"""Seconds after which an answer ends even if more lines come."""

MAX_WAITING = 64
"""Commands that may wait for their answers; one more ends the oldest."""

_WORD = re.compile(rb"\s*([A-Z])0*(\d+)", re.IGNORECASE)
_SILENT = re.compile(rb"(?:G(?:0|1|2|3|90|91|92)|M(?:82|83|106|107))(?!\d)", re.IGNORECASE)

_Fits = Callable[[Reply, Ticket], bool]


def _is_echo(reply: Reply, ticket: Ticket) -> bool:
    """Tell whether a reply is the echo of an M118; Repetier echoes only the first word."""
    text = ticket.command[4:].decode("utf-8", "replace").split()
    return bool(reply.line.strip()) and any(word in reply.line for word in text)


_FITS: dict[str, tuple[_Fits, bool]] = {  # what answers a command, and whether that ends the commands before it
    "M105": (lambda reply, _: isinstance(reply, Temperatures), False),  # the report may have come unasked
    "M114": (lambda reply, _: isinstance(reply, PositionReply), True),
    "M115": (lambda reply, _: isinstance(reply, FirmwareInfo), True),
    "M118": (_is_echo, True),
    "M27": (lambda reply, _: isinstance(reply, SdProgress | SdIdle), False),
}


@mutable
class _Expected:
    ticket: Ticket
    word: str
    ok: str
    due: float  # when it ends, answered or not
    last: float  # when it ends even if more lines come
    answered: bool = False


class Answers:
    """The commands that were received and whose answers have not ended yet, oldest first."""

    def __init__(self) -> None:
        self._expected: deque[_Expected] = deque()

    def __bool__(self) -> bool:
        return bool(self._expected)

    @property
    def due(self) -> float:
        """When to call `tick`; at least one command must be waiting."""
        return min(each.due for each in self._expected)

    def received(self, ticket: Ticket, ok: str, now: float, timeout: float, *, lasts: bool = False) -> list[Ticket]:
        """Take a command whose `ok` has come; return the tickets that are done.

        Args:
            ticket: of the command.
            ok: that has come.
            now: the time.
            timeout: seconds to wait for the answer.
            lasts: the command ends only when a later one is answered.
        """
        word = code_word(ticket.command)
        if (ticket.replies and not lasts) or _SILENT.match(ticket.command):
            # an older version answers before its ok, and some commands have no answer
            before = self.end_all() if ticket.replies and _FITS.get(word, (None, False))[1] else []
            return [*before, _finish(ticket, ok)]
        if word in _FITS or lasts:
            last = max(now + timeout, *(each.last for each in self._expected), 0.0)  # no sooner than those before it
            self._expected.append(_Expected(ticket, word, ok, last, last))
        else:
            self._expected.append(_Expected(ticket, word, ok, now + QUIET, now + MAX_TALK))
        return self._end(1) if len(self._expected) > MAX_WAITING else []

    def take(self, reply: Reply, now: float, next_: Ticket | None = None) -> list[Ticket] | None:
        """Assign a reply to the command that it answers; return the tickets that are done, None if it answers none.

        Args:
            reply: that has come.
            now: the time.
            next_: the oldest command without an `ok`, which an older version answers before its `ok`.
        """
        for at, expected in enumerate(self._expected):
            if isinstance(reply, UnknownCommand) and expected.word == reply.word:
                expected.ticket.answer(reply.line)
                return self._end(at + 1)
            fits, in_order = _FITS.get(expected.word, (None, False))
            if fits is None or expected.answered or not fits(reply, expected.ticket):
                continue
            expected.ticket.answer(reply.line)
            done = self._end(at) if in_order else []
            if expected.word == "M115":  # its capabilities follow, line by line
                expected.answered, expected.due, expected.last = True, now + NEXT_LINE, now + MAX_TALK
            else:
                self._expected.remove(expected)
                done.append(_done(expected))
            return done
        if isinstance(reply, Temperatures | PositionReply | SdProgress | SdIdle):
            return None
        if next_ is not None and _answers_before_its_ok(reply, next_):
            return None
        for expected in self._expected:
            if expected.answered or expected.word not in _FITS:
                expected.ticket.answer(reply.line)
                expected.due = min(max(expected.due, now + (NEXT_LINE if expected.answered else QUIET)), expected.last)
                return []
        return None

    def repeats(self, line: str) -> bool:
        """Tell whether a line is the echo of an M118."""
        return any(
            each.word == "M118" and bool(line.strip()) and line.strip().encode() in each.ticket.command
            for each in self._expected
        )

    def end_all(self) -> list[Ticket]:
        """End all commands, as the firmware has nothing left to do; return their tickets."""
        return self._end(len(self._expected))

    def tick(self, now: float) -> list[Ticket]:
        """End the commands whose time is up; return their tickets."""
        due = [each for each in self._expected if now >= each.due]
        for each in due:
            self._expected.remove(each)
        return [_done(each) for each in due]

    def _end(self, count: int) -> list[Ticket]:
        """End the oldest commands; return their tickets."""
        return [_done(self._expected.popleft()) for _ in range(count)]


def _answers_before_its_ok(reply: Reply, ticket: Ticket) -> bool:
    return code_word(ticket.command) in _FITS and fits(reply, ticket)


def fits(reply: Reply, ticket: Ticket) -> bool:
    """Tell whether a reply may answer a command."""
    answers, _ = _FITS.get(code_word(ticket.command), (None, False))
    return answers is None or answers(reply, ticket)


def code_word(command: bytes) -> str:
    """Return the code word of a command: `M105` of `m0105 T0`; empty if it has none."""
    match = _WORD.match(command)
    return f"{match[1].decode().upper()}{match[2].decode()}" if match else ""


def _done(expected: _Expected) -> Ticket:
    return _finish(expected.ticket, expected.ok)


def _finish(ticket: Ticket, ok: str) -> Ticket:
    ticket.replies.append(ok)
    ticket.done = True
    return ticket
