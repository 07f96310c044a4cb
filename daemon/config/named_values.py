"""Named values in scripts: `{bed_target}` and a few others, filled in when the script is sent.

This is no template engine: if a value in a line is unknown when the script is sent, the line is left out.
"""

import re
from collections.abc import Iterable, Mapping

_NAME = re.compile(r"\{([^{}]*)\}")

NAMES = {
    "x": "mm; position at which the print was paused",
    "y": "as x",
    "z": "as x",
    "e": "as x; position of the filament",
    "feedrate": "mm/min; the last F of the file",
    "tool": "number of the active tool",
    "fan": "speed of the part fan, 0 to 255",
    "hotend_target": "°C; of the active tool; in a pause, its target before the pause",
    "bed_target": "°C; as hotend_target",
    "lines": "lines of the file that the printer has acknowledged",
}
"""The names, with unit and meaning."""


def names(line: str) -> list[str]:
    """Return the names in a line of a script."""
    return _NAME.findall(line)


def unknown_names(line: str) -> list[str]:
    """Return the names in a line that are not in NAMES."""
    return [name for name in names(line) if name not in NAMES]


def example(line: str) -> str:
    """Return the line with a number for each value, so that it can be checked as a command."""
    return _NAME.sub("0", line)


def fill_in(commands: Iterable[str], values: Mapping[str, str]) -> list[str]:
    """Return the commands with their values filled in; those that name an unknown value are left out."""
    complete = (line for line in commands if all(name in values for name in names(line)))
    return [_NAME.sub(lambda match: values[match[1]], line) for line in complete]
