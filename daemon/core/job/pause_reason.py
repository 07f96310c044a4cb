"""Finds why a printer paused by itself: the last text that it sent before the pause."""

import asyncio
import re
from collections import deque

from gcode.greeting import HELLO
from gcode.replies import BoardStarted, FirmwareError, Resend, Text, acknowledges, parse
from hal.printer import Printer

TEXT_PERIOD = 5.0
"""Seconds before the pause for which a text counts as its reason."""

CONVERSATION_PERIOD = 60.0
"""Seconds of the conversation that are read to find which command the printer was answering."""

MAX_REASON = 200  # characters

_HELLO = HELLO.decode().strip()

_NO_REASON = ("echo:enqueueing", "echo:busy", "lcd status changed", "active extruder")

# Reads the flight recorder's text, in which lines have numbers and may be macros: nothing for `gcode.command.parse`.
_COMMAND = re.compile(r"(N\d{1,10}\s*)?([A-Z]\d+|\w+)", re.ASCII)

# A text after one of these commands says what happened while the command was executed. A text after any other command
# is the answer to it, such as the list of settings after M503.
_EXECUTED = re.compile(r"[GT]\d+|M(?:0|1|25|76|109|125|190|191|226|400|60[0-3]|70[12])")


def text_before_pause(printer: Printer) -> str | None:
    """Return the last text that the printer sent unasked in the last TEXT_PERIOD seconds; None: there is none."""
    now = asyncio.get_running_loop().time()
    lines = printer.flight_recorder.tail_since(now - CONVERSATION_PERIOD)
    recent = len(lines) - len(printer.flight_recorder.tail_since(now - TEXT_PERIOD))
    sent_text = " ".join(line for line in lines[recent:] if line.startswith("> "))
    conversation, text = _Conversation(at_receipt=printer.dialect.ok_at == "receipt"), None
    for index, line in enumerate(lines):
        is_answer = conversation.answers(line)
        if conversation.begins:
            text = None  # earlier texts belong to the banner, or to the time before a reset
        if index >= recent and line.startswith("< ") and not is_answer and (reason := _reason(line[2:])):
            text = reason if reason not in sent_text else text
    return text[:MAX_REASON] if text is not None else None


class _Conversation:
    """Finds from the lines of a conversation which command is being answered.

    Attributes:
        begins: the last line was the first line of the board's banner, or the host's greeting.
    """

    def __init__(self, *, at_receipt: bool) -> None:
        """Begin in the middle of a conversation; `at_receipt`: the output of a command follows its `ok`."""
        self.begins = False
        self._at_receipt = at_receipt
        self._unanswered: deque[tuple[str, str]] = deque()  # line number and code word
        self._last = ""  # the code word of the command that was acknowledged last
        self._owed_ok = False  # the next ok belongs to a resend request

    def answers(self, line: str) -> bool:
        """Take a line; tell whether it belongs to the answer to a command that asks for an answer."""
        self.begins = line[2:] == _HELLO
        if line.startswith("> "):
            self._note_sent(line[2:])
            return False
        reply = parse(line[2:].encode())
        if isinstance(reply, BoardStarted):
            self.begins = True
            self._unanswered.clear()
            self._note_sent(_HELLO)  # sent now or soon: the answer to the greeting follows the banner
        elif isinstance(reply, Resend):
            self._owed_ok = True
        elif acknowledges(reply):
            if self._unanswered and not self._owed_ok:
                self._last = self._unanswered.popleft()[1]
            self._owed_ok = False
        oldest = self._unanswered[0][1] if self._unanswered else ""
        word = self._last if self._at_receipt else oldest
        return bool(word) and _EXECUTED.fullmatch(word) is None

    def _note_sent(self, line: str) -> None:
        if (match := _COMMAND.match(line)) is not None:
            number, word = (match[1] or "").strip(), match[2]
            if not number or all(number != other for other, _ in self._unanswered):
                self._unanswered.append((number, word))


def _reason(line: str) -> str | None:
    """Return the text of a line as the reason; None: the line is an answer, a report, or otherwise gives no reason."""
    if line.lower().startswith(_NO_REASON) or not isinstance(parse(line.encode()), Text | FirmwareError):
        return None
    text = line.removeprefix("echo:").removeprefix("//").strip()
    return text if any(map(str.isalnum, text)) else None
