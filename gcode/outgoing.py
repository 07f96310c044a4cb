"""What goes to a printer: the lines of a job, and commands between them, whose tickets collect the answers."""

import re

from gcode.command import STOP, m_code
from gcode.compact import Compact
from gcode.errors import CommandError, ForbiddenCommand
from gcode.framing import checksum
from gcode.frozen import frozen, mutable
from gcode.modes import may_change_modes
from gcode.reader import clean

Line = tuple[int, bytes, int, bool]
"""A line of a job: byte offset in the file, command, the command's checksum, and whether it may change the modes."""

_LINK_ONLY = {
    110: "it would change the line number that the host counts on",
    28: "it would make the printer write the lines after it to the SD card",
    29: "it would end a file on the SD card, and only M28 begins one",
    575: "it would change the baudrate of the printer, but not of the host",
    999: "it would make the firmware discard lines, or reset the board",
}
"""M-codes that only the link may send, and why nothing else may."""

_FORBIDDEN = m_code(*_LINK_ONLY)
_NUMBER = re.compile(r"\AN\s*\d+\s*", re.IGNORECASE)


def job_line(offset: int, command: bytes, compact: Compact | None = None) -> Line:
    """Return a line of the job with all that is known before it gets its number; `compact` shortens the command."""
    changes_modes = may_change_modes(command)
    if compact is not None:
        command = compact(command)
    return offset, command, checksum(command), changes_modes


def is_stop(command: str) -> bool:
    """Tell whether a command is an emergency stop."""
    return STOP.match(_NUMBER.sub("", command.strip(), count=1).encode("utf-8", "replace")) is not None


def check_command(command: str | bytes) -> bytes:
    """Return a user's command as it goes on the wire.

    Raises:
        CommandError: it is empty, or holds a line break, which would hide a second command.
        ForbiddenCommand: only the link may send it.
    """
    raw = command.encode("utf-8", "replace") if isinstance(command, str) else command
    if b"\n" in raw or b"\r" in raw:
        raise CommandError(f"a command must be one line, but this holds a line break: {command!r}")
    cleaned = clean(raw)
    if not cleaned:
        raise CommandError(f"there is no command in {command!r}")
    if is_link_only(cleaned):
        why = next(reason for number, reason in _LINK_ONLY.items() if m_code(number).match(cleaned))
        raise ForbiddenCommand(f"cannot send {cleaned.decode()}: {why}")
    return cleaned


def is_link_only(command: bytes) -> bool:
    """Tell whether only the link may send the command: M110, M28, M29, M575 and M999."""
    return _FORBIDDEN.match(command) is not None


class Ticket:
    """A command sent between the lines of a job, and the printer's answer."""

    __slots__ = ("command", "done", "from_client", "replies", "step", "urgent")

    MAX_REPLIES = 1000
    """Lines of an answer that are kept, because a firmware may never stop talking."""

    def __init__(self, command: bytes, *, urgent: bool = False, from_client: bool = False, step: int = 0) -> None:
        self.command = command
        self.step = step  # its number among the job's own commands, by which the next host identifies it; 0: none
        self.urgent = urgent  # goes out at once, before other commands and beyond the window
        self.from_client = from_client  # its sender does not wait for the answer: MAX_QUEUED limits these
        self.replies: list[str] = []
        self.done = False

    def answer(self, line: str) -> None:
        """Add a line to the answer; those beyond MAX_REPLIES are dropped."""
        if len(self.replies) < self.MAX_REPLIES:
            self.replies.append(line)


@frozen
class LinkNotice:
    """A sentence about the conversation that the user should read."""

    text: str


@frozen
class RefusedLine:
    """A line of the job that the firmware answered with an error and did not execute.

    Attributes:
        text: what the firmware said.
        command: the line, without number and checksum.
        offset: byte offset of the line in the file.
    """

    text: str
    command: bytes
    offset: int


@mutable
class Counters:
    """Counts of one conversation.

    Attributes:
        resends: resend requests.
        timeouts: silences that lasted too long.
        stray_oks: `ok`s while no line was in flight.
        bad_checksums: resend requests with a bad checksum as the reason.
        wrong_numbers: resend requests with a wrong line number as the reason.
        planner_empty: moves that found the planner empty, of those in `planner_reports`.
        planner_reports: moves for which the firmware reported how full the planner was (ADVANCED_OK).
    """

    lines_sent: int = 0
    lines_acknowledged: int = 0
    resends: int = 0
    timeouts: int = 0
    stray_oks: int = 0
    bad_checksums: int = 0
    wrong_numbers: int = 0
    planner_empty: int = 0
    planner_reports: int = 0


@mutable
class JobPlace:
    """A place in the job: the number of its lines up to there, and the byte offset of the last of these in the file."""

    lines: int = 0
    offset: int = 0
