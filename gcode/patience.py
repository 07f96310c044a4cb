"""Patience: how long a firmware may be silent while it executes a command before the link probes.

Firmware that says `busy` (Marlin's HOST_KEEPALIVE_FEATURE, every 2 s by DEFAULT_KEEPALIVE_INTERVAL; M113 changes that)
soon shows that an `ok` was lost. For any other firmware the command decides: one that heats, homes or waits gets
LONG_SILENCE_S seconds, any other one the dialect's `answer_timeout`.
"""

import re

from gcode.answers import code_word
from gcode.command import parse
from gcode.dialect import Dialect
from gcode.flight import Flight, command_with_checksum
from gcode.replies import Busy, Temperatures

LONG_SILENCE_S = 600.0
"""Seconds that a firmware which never says `busy` may be silent during a long command."""

BUSY_TIMEOUT = 10.0
"""Seconds of silence after which the link probes a firmware that says `busy` every 2 s while it works."""

MISSING_BUSY = 3
"""Busy messages in a row that have to be missing before the link probes, if M113 has made them rarer."""

SHORT_SILENCE_S = 2.0
"""Seconds of silence before the next probe if an answer is probably lost, or a user waits for it."""

# Commands that heat, home, probe, wait or ask the user: OctoPrint's list of long running commands, further ones of
# Marlin, and Prusa's G76 and G80.
_LONG = re.compile(
    rb"(?:G\s*0*(?:4|12|26|28|29|30|32|33|34|35|76|80|425)"
    rb"|M\s*0*(?:0|1|48|109|116|190|191|192|193|226|303|306|400|600|601|602|701|702))(?!\d)",
    re.IGNORECASE,
)
_DWELL = re.compile(rb"G\s*0*4(?!\d)", re.IGNORECASE)
_MAX_DWELL_S = 24 * 3600.0  # a longer one is a mistake in the file


def max_silence(command: bytes, usual: float, long_commands: frozenset[bytes] = frozenset()) -> float:
    """Return the seconds for which a firmware may be silent during a command.

    Args:
        command: as it was sent, without its number.
        usual: seconds for a command that is not long.
        long_commands: first words, in upper case, of further long commands: `G425`, `PRINT_START`.
    """
    if _LONG.match(command):
        return LONG_SILENCE_S + (_dwell(command) if _DWELL.match(command) else 0.0)
    further = long_commands and _bare(command).split(b" ", 1)[0].upper() in long_commands
    return LONG_SILENCE_S if further else usual


def _bare(command: bytes) -> bytes:
    """Return the command without checksum and line feed."""
    return command.partition(b"*")[0].strip()


def _dwell(command: bytes) -> float:
    """Return the seconds of a G4, from S in seconds or else P in milliseconds."""
    dwell = parse(_bare(command))
    seconds = dwell.number("S", 0.0) or dwell.number("P", 0.0) / 1000
    return min(max(seconds, 0.0), _MAX_DWELL_S)


class Patience:
    """The patience with one firmware, by the command it executes and the busy messages it sends.

    Attributes:
        is_short: probe after SHORT_SILENCE_S, once.
    """

    __slots__ = ("_busy_timeout", "_says_busy", "is_short")

    def __init__(self) -> None:
        self.is_short = False
        self._says_busy = False
        self._busy_timeout = BUSY_TIMEOUT

    def note(self, reply: Busy | Temperatures) -> None:
        """Note a message that shows that the firmware works on a command."""
        self._says_busy = self._says_busy or (isinstance(reply, Busy) and reply.is_regular)

    def note_answer(self, command: bytes) -> None:
        """Note an answered command: M113 sets the interval of the busy messages."""
        if code_word(command) == "M113":
            self._says_busy = False  # M113 S0 turns the messages off
            self._busy_timeout = max(BUSY_TIMEOUT, MISSING_BUSY * min(parse(command).number("S", 0.0), LONG_SILENCE_S))

    def seconds(self, flight: Flight, dialect: Dialect) -> float:
        """Return the seconds of silence after which to probe."""
        if self.is_short:
            return SHORT_SILENCE_S
        if self._says_busy:
            return self._busy_timeout
        return self._timeout(flight, dialect, dialect.answer_timeout)

    def may_be_silent(self, flight: Flight, dialect: Dialect) -> bool:
        """Tell whether the printer may be silent for minutes."""
        return self._timeout(flight, dialect, 0.0) > 0.0

    def _timeout(self, flight: Flight, dialect: Dialect, usual: float) -> float:
        """Return the seconds for which the firmware may be silent until it answers the oldest line.

        A firmware that answers on receipt may still be executing the line before, so that line counts too.
        """
        if not flight.lines:
            return usual
        longest = max_silence(command_with_checksum(flight.lines[0]), usual, dialect.long_commands)
        before = flight.find(flight.first_unanswered - 1) if dialect.ok_at == "receipt" else None
        if before is not None:
            longest = max(longest, max_silence(command_with_checksum(before), usual, dialect.long_commands))
        return longest
