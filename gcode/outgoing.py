"""What goes to a printer: the lines of a job, and commands between them, each with a ticket that follows it."""

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

_FORBIDDEN = m_code(110, 28, 29, 575, 999)
_NUMBER = re.compile(r"\AN\s*\d+\s*", re.IGNORECASE)


def job_line(offset: int, command: bytes, compact: Compact | None = None) -> Line:
    """Return a job's line with all that is known before it gets its number; `compact` makes it shorter."""
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
        CommandError: it is empty, or holds a line break, behind which a second command would hide.
        ForbiddenCommand: it belongs to the link.
    """
    raw = command.encode("utf-8", "replace") if isinstance(command, str) else command
    if b"\n" in raw or b"\r" in raw:
        raise CommandError(f"a command must be one line, but this holds a line break: {command!r}")
    cleaned = clean(raw)
    if not cleaned:
        raise CommandError(f"there is no command in {command!r}")
    if forbidden(cleaned):
        raise ForbiddenCommand(f"{cleaned.decode()} would take the line counter away from the link")
    return cleaned


def forbidden(command: bytes) -> bool:
    """Tell whether the command belongs to the link: M110, M28, M29, M575 and M999."""
    return _FORBIDDEN.match(command) is not None


class Ticket:
    """A command sent between the lines of a job, and what the printer answered to it."""

    __slots__ = ("command", "done", "foreign", "replies", "step", "urgent")

    MOST = 1000
    """Lines of an answer that are kept: a firmware that never stops talking fills no memory."""

    def __init__(self, command: bytes, *, urgent: bool = False, foreign: bool = False, step: int = 0) -> None:
        self.command = command
        self.step = step  # its number among a job's own commands, by which the next host knows it; 0: none of those
        self.urgent = urgent  # goes out at once, before other commands and beyond the window
        self.foreign = foreign  # sent by a client, which does not wait for the answer: bounded by MAX_QUEUED
        self.replies: list[str] = []
        self.done = False

    def answer(self, line: str) -> None:
        """Take a line of the answer; only the first MOST lines are kept."""
        if len(self.replies) < self.MOST:
            self.replies.append(line)


@frozen
class LinkNotice:
    """Something about the conversation that its user should know; a sentence."""

    text: str


@frozen
class RefusedLine:
    """A line of the job that the firmware has answered with an error, and will not carry out.

    Attributes:
        text: what the firmware said.
        command: the line, without number and checksum.
        offset: of the line in the file, in bytes.
    """

    text: str
    command: bytes
    offset: int


@mutable
class Counters:
    """What went over the line since it was opened.

    Attributes:
        bad_checksums: how many of `resends` the printer explained by a bad checksum.
        wrong_numbers: how many of `resends` it explained by a wrong line number.
        planner_empty: moves that found the planner empty, if the firmware reports that (ADVANCED_OK).
        planner_told: moves for which it has reported how full the planner was.
    """

    lines_sent: int = 0
    lines_acknowledged: int = 0
    resends: int = 0
    timeouts: int = 0
    stray_oks: int = 0
    bad_checksums: int = 0
    wrong_numbers: int = 0
    planner_empty: int = 0
    planner_told: int = 0


@mutable
class JobPosition:
    """How far the job has got: its lines acknowledged, and the byte offset in the file of the last of them."""

    lines: int = 0
    offset: int = 0
