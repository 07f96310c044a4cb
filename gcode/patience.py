"""Patience: how long a firmware may be silent while it executes a command before the link probes."""

import re

from gcode.answers import code_word
from gcode.command import parse
from gcode.dialect import Dialect
from gcode.flight import Flight, command_of
from gcode.replies import Busy, Temperatures

LONG = 600.0
"""Seconds that a long command may be silent where the firmware never says `busy`."""

BUSY_TIMEOUT = 10.0
"""Seconds of silence after which to probe a firmware that says `busy` every 2 s while it works."""

MISSED = 3
"""Busy messages that have to be missing before the link probes, if a client has asked for them less often (M113)."""

HURRY = 2.0
"""Seconds of silence before the next probe, if somebody waits for the lines in flight."""

# Commands that heat, home, probe, wait or ask the user: those that other hosts know, further ones of Marlin, and
# Prusa's G76 and G80.
_LONG = re.compile(
    rb"(?:G(?:4|12|26|28|29|30|32|33|34|35|76|80|425)"
    rb"|M(?:0|1|48|109|116|190|191|192|193|226|303|306|400|600|601|602|701|702))(?!\d)",
    re.IGNORECASE,
)
_DWELL = re.compile(rb"G4(?!\d)", re.IGNORECASE)
_LONGEST_DWELL = 24 * 3600.0  # s; a longer one is a mistake in the file


def patience(command: bytes, usual: float, long_commands: frozenset[bytes] = frozenset()) -> float:
    """Return the seconds of silence that mean nothing while a command is carried out.

    Args:
        command: as it was sent, without its number.
        usual: for a command that is not long.
        long_commands: first words, in upper case, of further ones: `G425`, `PRINT_START`.
    """
    if _LONG.match(command):
        return LONG + (_dwell(command) if _DWELL.match(command) else 0.0)
    further = long_commands and _bare(command).split(b" ", 1)[0].upper() in long_commands
    return LONG if further else usual


def _bare(command: bytes) -> bytes:
    """Return the command without checksum and line feed."""
    return command.partition(b"*")[0].strip()


def _dwell(command: bytes) -> float:
    """Return the seconds of a G4: of its S, else the milliseconds of its P."""
    asked = parse(_bare(command))
    seconds = asked.number("S", 0.0) or asked.number("P", 0.0) / 1000
    return min(max(seconds, 0.0), _LONGEST_DWELL)


class Patience:
    """How long silence means nothing, by what the firmware carries out, and whether it says that it is busy.

    Attributes:
        hurried: the next probe comes after HURRY.
    """

    __slots__ = ("_busy_timeout", "_says_busy", "hurried")

    def __init__(self) -> None:
        self.hurried = False
        self._says_busy = False
        self._busy_timeout = BUSY_TIMEOUT

    def note(self, reply: Busy | Temperatures) -> None:
        """Take note of a message that says that the firmware works on a command."""
        self._says_busy = self._says_busy or (isinstance(reply, Busy) and reply.always)

    def answered(self, command: bytes) -> None:
        """Take note of a command that was answered: M113 changes how often it says that it is busy."""
        if code_word(command) == "M113":
            self._says_busy = False  # M113 S0 turns the messages off
            self._busy_timeout = max(BUSY_TIMEOUT, MISSED * min(parse(command).number("S", 0.0), LONG))

    def seconds(self, flight: Flight, dialect: Dialect) -> float:
        """Return the seconds of silence after which to ask."""
        if self.hurried:
            return HURRY
        if self._says_busy:
            return self._busy_timeout
        return self._longest(flight, dialect, dialect.answer_timeout)

    def may_be_silent(self, flight: Flight, dialect: Dialect) -> bool:
        """Tell whether what the printer does may take minutes."""
        return self._longest(flight, dialect, 0.0) > 0.0

    def _longest(self, flight: Flight, dialect: Dialect, usual: float) -> float:
        """Return the seconds of silence that mean nothing while the oldest line waits for its answer.

        A firmware that answers at receipt may still be executing the line before, so that one counts as well.
        """
        if not flight.lines:
            return usual
        found = patience(command_of(flight.lines[0]), usual, dialect.long_commands)
        before = flight.find(flight.first_unanswered - 1) if dialect.ok_at == "receipt" else None
        if before is not None:
            found = max(found, patience(command_of(before), usual, dialect.long_commands))
        return found
