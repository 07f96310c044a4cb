"""Answers: which command a reply belongs to, for firmware that says `ok` on receipt (Repetier).

With such firmware the answer to a command follows its `ok`, and may even follow the `ok`s of later commands
(repetier-1.0.4-basic.txt). So an answer is assigned by its content: temperatures answer M105, a position answers M114,
and so on. Any other text belongs to the oldest command that may print anything; the answer to that command ends when
nothing has come for END_QUIET_S seconds.
"""

import re
from collections import deque
from collections.abc import Callable

from gcode.frozen import frozen, mutable
from gcode.outgoing import Ticket
from gcode.replies import FirmwareInfo, PositionReply, Reply, SdIdle, SdPaused, SdProgress, Temperatures, UnknownCommand

END_QUIET_S = 0.2
"""Seconds without a line, after the `ok` of a command or the last line of its answer, that end the answer."""

NEXT_LINE_TIMEOUT = 0.05
"""Seconds to wait for further lines of an answer that was recognised by its first line."""

MAX_ANSWER_S = 5.0
"""Seconds after which an answer ends even if more lines come."""

MAX_WAITING = 64
"""Commands that may wait for their answers; a further one ends the oldest."""

_WORD = re.compile(rb"\s*([A-Z])0*(\d+)", re.IGNORECASE)
_WITHOUT_ANSWER = re.compile(rb"(?:G(?:0|1|2|3|90|91|92)|M(?:82|83|106|107))(?!\d)", re.IGNORECASE)


def _is_m118_echo(reply: Reply, ticket: Ticket) -> bool:
    """Tell whether a reply has a word of an M118, and so may be its echo; Repetier echoes only the first word."""
    text = ticket.command[4:].decode("utf-8", "replace").split()
    return bool(reply.line.strip()) and any(word in reply.line for word in text)


@frozen
class _Recognition:
    """How the answer to a command is recognised.

    Attributes:
        fits: tells whether a reply may answer the command.
        comes_in_order: such a reply never comes unasked, so it shows that all earlier commands have been answered.
    """

    fits: Callable[[Reply, Ticket], bool]
    comes_in_order: bool


_RECOGNITIONS = {
    "M105": _Recognition(lambda reply, _: isinstance(reply, Temperatures), comes_in_order=False),
    "M114": _Recognition(lambda reply, _: isinstance(reply, PositionReply), comes_in_order=True),
    "M115": _Recognition(lambda reply, _: isinstance(reply, FirmwareInfo), comes_in_order=True),
    "M118": _Recognition(_is_m118_echo, comes_in_order=True),
    "M27": _Recognition(lambda reply, _: isinstance(reply, SdProgress | SdIdle | SdPaused), comes_in_order=False),
}
"""By code word; any other command may be answered by any text."""


@mutable
class _Expected:
    ticket: Ticket
    word: str
    ok: str
    due: float  # when the answer ends if no more lines come
    limit: float  # when the answer ends even if more lines come
    answered: bool = False

    def finish(self) -> Ticket:
        """End the answer; return the command's ticket, which is done."""
        return _finish(self.ticket, self.ok)


class Answers:
    """Assigns answers to the commands that were received and whose answers have not ended yet."""

    def __init__(self) -> None:
        self._expected: deque[_Expected] = deque()

    def __bool__(self) -> bool:
        return bool(self._expected)

    @property
    def due(self) -> float:
        """When to call `tick`; at least one command must be waiting."""
        return min(each.due for each in self._expected)

    def on_ok(self, ticket: Ticket, ok: str, now: float, timeout: float, *, lasts: bool = False) -> list[Ticket]:
        """Expect the answer to a command whose `ok` has come; return the tickets that are done.

        Args:
            ticket: of the command.
            ok: the line with the `ok`.
            now: the time.
            timeout: seconds to wait for the answer.
            lasts: the command takes long, and ends only when a later one is answered.
        """
        word = code_word(ticket.command)
        if (ticket.replies and not lasts) or _WITHOUT_ANSWER.match(ticket.command):
            # older versions answer before their `ok`, and some commands have no answer
            recognition = _RECOGNITIONS.get(word)
            ends_all = bool(ticket.replies) and recognition is not None and recognition.comes_in_order
            return [*(self.end_all() if ends_all else []), _finish(ticket, ok)]
        if word in _RECOGNITIONS or lasts:
            # this answer ends no sooner than those to the commands before it
            limit = max(now + timeout, *(each.limit for each in self._expected), 0.0)
            self._expected.append(_Expected(ticket, word, ok, limit, limit))
        else:
            self._expected.append(_Expected(ticket, word, ok, now + END_QUIET_S, now + MAX_ANSWER_S))
        return self._end(1) if len(self._expected) > MAX_WAITING else []

    def assign(self, reply: Reply, now: float, oldest: Ticket | None = None) -> list[Ticket] | None:
        """Assign a reply to the command that it answers; return the tickets that are done, None if it answers none.

        Args:
            reply: from the printer.
            now: the time.
            oldest: the oldest command without an `ok`; an old Repetier answers it before its `ok`.
        """
        for at, expected in enumerate(self._expected):
            if isinstance(reply, UnknownCommand) and expected.word == reply.word:
                expected.ticket.answer(reply.line)
                return self._end(at + 1)
            recognition = _RECOGNITIONS.get(expected.word)
            if recognition is None or expected.answered or not recognition.fits(reply, expected.ticket):
                continue
            expected.ticket.answer(reply.line)
            done = self._end(at) if recognition.comes_in_order else []
            if expected.word == "M115":  # its capabilities follow, line by line
                expected.answered, expected.due, expected.limit = True, now + NEXT_LINE_TIMEOUT, now + MAX_ANSWER_S
            else:
                self._expected.remove(expected)
                done.append(expected.finish())
            return done
        if isinstance(reply, Temperatures | PositionReply | SdProgress | SdIdle | SdPaused):
            return None
        if oldest is not None and _answers_before_its_ok(reply, oldest):
            return None
        for expected in self._expected:
            if expected.answered or expected.word not in _RECOGNITIONS:
                expected.ticket.answer(reply.line)
                expected.due = min(
                    max(expected.due, now + (NEXT_LINE_TIMEOUT if expected.answered else END_QUIET_S)), expected.limit
                )
                return []
        return None

    def is_echo(self, line: str) -> bool:
        """Tell whether a line is the echo of an M118."""
        return any(
            each.word == "M118" and bool(line.strip()) and line.strip().encode() in each.ticket.command
            for each in self._expected
        )

    def end_all(self) -> list[Ticket]:
        """End all commands, because the firmware has nothing left to do; return their tickets."""
        return self._end(len(self._expected))

    def tick(self, now: float) -> list[Ticket]:
        """End the commands whose time is up; return their tickets."""
        due = [each for each in self._expected if now >= each.due]
        for each in due:
            self._expected.remove(each)
        return [each.finish() for each in due]

    def _end(self, count: int) -> list[Ticket]:
        """End the oldest commands; return their tickets."""
        return [self._expected.popleft().finish() for _ in range(count)]


def _answers_before_its_ok(reply: Reply, ticket: Ticket) -> bool:
    return code_word(ticket.command) in _RECOGNITIONS and may_answer(reply, ticket)


def may_answer(reply: Reply, ticket: Ticket) -> bool:
    """Tell whether a reply may answer a command."""
    recognition = _RECOGNITIONS.get(code_word(ticket.command))
    return recognition is None or recognition.fits(reply, ticket)


def code_word(command: bytes) -> str:
    """Return the code word of a command: `M105` of `m0105 T0`; empty if it has none."""
    match = _WORD.match(command)
    return f"{match[1].decode().upper()}{match[2].decode()}" if match else ""


def _finish(ticket: Ticket, ok: str) -> Ticket:
    ticket.replies.append(ok)
    ticket.done = True
    return ticket
