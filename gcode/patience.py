"""Patience: how long a firmware may be silent over a command before the link asks whether anyone is there."""

import re

from gcode.command import parse

LONG = 600.0
"""Seconds that a long command may be silent where the firmware never says `busy`."""

# Those that heat, home, probe, wait or ask somebody: what other hosts wait for too, Marlin's own, and
# Prusa's G76 and G80.
_LONG = re.compile(
    rb"(?:G(?:4|12|26|28|29|30|32|33|34|35|76|80|425)"
    rb"|M(?:0|1|48|109|116|190|191|192|193|226|303|306|400|600|601|602|701|702))(?!\d)",
    re.IGNORECASE,
)
_DWELL = re.compile(rb"G4(?!\d)", re.IGNORECASE)
_LONGEST_DWELL = 24 * 3600.0  # s; longer ones are slips


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
