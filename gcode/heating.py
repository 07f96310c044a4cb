"""Heaters: turning them off, and waiting for a target as the firmware would.

The wait follows Marlin (Configuration.h: TEMP_RESIDENCY_TIME 10 s, TEMP_WINDOW 1 °C, TEMP_HYSTERESIS 3 °C): the time
runs from the first reading within the window. If a reading leaves the hysteresis, the time starts again with the next
reading within the window.
"""

import math
import re
from collections.abc import Container, Mapping

from gcode.command import m_code, parse
from gcode.frozen import mutable
from gcode.reply_fields import Heaters

RESIDENCY_S = 10.0
WINDOW = 1.0  # °C
HYSTERESIS = 3.0  # °C

# Commands that set a target → what they heat; `tool` is that of the T parameter, or else the active one.
HEATERS_BY_COMMAND = {
    "M104": "tool",
    "M109": "tool",
    "M140": "bed",
    "M190": "bed",
    "M141": "chamber",
    "M191": "chamber",
}

# `parse` says what the target is, but not where it stands in the command
_TARGET = {letter: re.compile(rb"%c\s*\+?\d+\.?\d*" % letter, re.IGNORECASE) for letter in b"SR"}
_HEAT_COMMAND = m_code(104, 109, 140, 141, 190, 191)


@mutable
class Residency:
    """The wait of M109, M190 and M191.

    Attributes:
        target: in °C.
        waits_for_cooling: wait for cooling too (R); with S, a heater above the hysteresis ends the wait.
        seconds: for how long the heater has to stay near the target.
    """

    target: float
    waits_for_cooling: bool = False
    seconds: float = RESIDENCY_S
    _since: float = math.inf

    def is_reached(self, actual: float, now: float) -> bool:
        """Tell whether a reading in °C at this time, in s, ends the wait."""
        if not self.waits_for_cooling and actual > self.target + HYSTERESIS:
            return True
        distance = abs(actual - self.target)
        if distance <= WINDOW and self._since == math.inf:
            self._since = now
        elif distance > HYSTERESIS:
            self._since = math.inf
        return now - self._since >= self.seconds


@mutable
class Approach:
    """Watches a temperature approach its target.

    Attributes:
        step: °C by which it has to come nearer.
        within: seconds in which it has to do so.
    """

    step: float
    within: float
    _nearest: float = math.inf
    _since: float = 0.0

    def has_stalled(self, distance: float, now: float) -> bool:
        """Take the distance to the target, in °C; tell whether it has not shrunk for too long."""
        if distance <= self._nearest - self.step:
            self._nearest, self._since = distance, now
        return now - self._since >= self.within


def reading_name(tool: int, heaters: Container[str]) -> str:
    """Return the name under which a tool's temperature is reported.

    If only one hotend is reported, it is that of the active tool, or the one that all tools share.
    """
    name = f"tool{tool}"
    return "tool0" if name not in heaters and "tool0" in heaters and "tool1" not in heaters else name


def heaters_off(hotends: int, *, chamber: bool, heaters: Heaters | None = None) -> list[str]:
    """Return the commands that turn every heater off, hotends first.

    Args:
        hotends: their number.
        chamber: the printer has a heated chamber.
        heaters: the last temperature report: every heater that is on there is turned off too.
    """
    on = [name for name, reading in (heaters or {}).items() if reading.target]
    numbers = [int(name.removeprefix("tool")) for name in on if re.fullmatch("tool[0-9]{1,2}", name)]
    hotends = max([hotends, *(number + 1 for number in numbers)])
    chamber = chamber or "chamber" in on
    tools = [f"M104 T{tool} S0" for tool in range(hotends)] if hotends > 1 else ["M104 S0"]
    return [*tools, "M140 S0", *(["M141 S0"] if chamber else [])]


def shift_target(
    command: bytes, offsets: Mapping[str, float], tool: int, hotend: float, bed: float, chamber: float
) -> bytes:
    """Return a command with the offset of its heater added to its target; other commands, and a target of 0, unchanged.

    The offset moves no target above its heater's highest one, or below 0.

    Args:
        command: one clean line.
        offsets: °C by heater: `tool0`, `bed`, `chamber`.
        tool: the active one.
        hotend: the highest target of a hotend, in °C.
        bed: the highest target of the bed.
        chamber: the highest target of the chamber.
    """
    if command[:1] not in b"Mm" or not _HEAT_COMMAND.match(command):
        return command
    parsed = parse(command)
    heater = HEATERS_BY_COMMAND.get(parsed.code.partition(".")[0])
    letter = "S" if parsed.get("S") is not None else "R"
    target = parsed.number(letter, 0.0)
    if heater is None or target <= 0:
        return command
    limit = {"bed": bed, "chamber": chamber}.get(heater, hotend)
    name = f"tool{parsed.number('T', tool):.0f}" if heater == "tool" else heater
    offset = offsets.get(name, 0.0)
    shifted_target = max(0.0, min(target + offset, max(limit, target)))
    return command if not offset else _TARGET[ord(letter)].sub(f"{letter}{shifted_target:g}".encode(), command, count=1)
