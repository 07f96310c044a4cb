"""Heat: turning it off, and waiting for it as the firmware would: near the target, and for a while.

Marlin's rule and constants (Configuration.h: TEMP_RESIDENCY_TIME 10 s, TEMP_WINDOW 1 °C, TEMP_HYSTERESIS 3 °C):
the time runs from the first reading within the window, and begins anew when one leaves the hysteresis.
"""

import math
import re
from collections.abc import Container, Mapping

from gcode.command import m_code, parse
from gcode.frozen import mutable
from gcode.reply_fields import Heaters

RESIDENCY = 10.0  # s
WINDOW = 1.0  # °C
HYSTERESIS = 3.0  # °C

# The commands that set a target, by what is heated: `tool` is the one of the T word, else the active one.
SETS_TARGET = {"M104": "tool", "M109": "tool", "M140": "bed", "M190": "bed", "M141": "chamber", "M191": "chamber"}

_TARGET = {letter: re.compile(rb"%c\s*\+?\d+\.?\d*" % letter, re.IGNORECASE) for letter in b"SR"}
_HEATS = m_code(104, 109, 140, 141, 190, 191, 303)


@mutable
class Residency:
    """The wait of M109, M190 and M191.

    Attributes:
        target: °C.
        cool: wait for cooling too (the R word); with S a heater that is too hot is hot enough.
        seconds: that it has to stay near the target.
    """

    target: float
    cool: bool = False
    seconds: float = RESIDENCY
    _since: float = math.inf

    def reached(self, actual: float, now: float) -> bool:
        """Tell whether a reading in °C at this time, in s, ends the wait."""
        if not self.cool and actual > self.target + HYSTERESIS:
            return True  # S waits for heating only
        distance = abs(actual - self.target)
        if distance <= WINDOW and self._since == math.inf:
            self._since = now
        elif distance > HYSTERESIS:
            self._since = math.inf
        return now - self._since >= self.seconds


@mutable
class Nearing:
    """Whether something comes nearer: by so many °C in so many seconds."""

    step: float
    within: float
    _nearest: float = math.inf
    _since: float = 0.0

    def stalled(self, distance: float, now: float) -> bool:
        """Take how far it is, in °C; tell whether it has come no nearer for too long."""
        if distance <= self._nearest - self.step:
            self._nearest, self._since = distance, now
        return now - self._since >= self.within


def reading_of(tool: int, heaters: Container[str]) -> str:
    """Return the name under which a tool's temperature is reported.

    Where only one hotend is, it is that of the tool in use, or the nozzle that all tools share.
    """
    name = f"tool{tool}"
    return "tool0" if name not in heaters and "tool0" in heaters and "tool1" not in heaters else name


def heaters_off(extruders: int, *, chamber: bool, told: Heaters | None = None) -> list[str]:
    """Return the commands that turn every heater off, hotends first.

    Args:
        extruders: hotends that there are.
        chamber: there is a chamber that can be heated.
        told: the last temperature report: what is on there is turned off too, whatever the printer is said to have.
    """
    on = [name for name, reading in (told or {}).items() if reading.target]
    numbers = [int(name.removeprefix("tool")) for name in on if re.fullmatch("tool[0-9]{1,2}", name)]
    extruders = max([extruders, *(number + 1 for number in numbers)])
    chamber = chamber or "chamber" in on
    tools = [f"M104 T{tool} S0" for tool in range(extruders)] if extruders > 1 else ["M104 S0"]
    return [*tools, "M140 S0", *(["M141 S0"] if chamber else [])]


def shifted(command: bytes, offsets: Mapping[str, float], tool: int, hotend: float, bed: float) -> bytes:
    """Return a command with the offset of its heater added to the target; other commands, and 0, stay as they are.

    A target is not brought above the highest one, nor below 0.

    Args:
        command: one clean line.
        offsets: °C by heater: `tool0`, `bed`, `chamber`.
        tool: the active one.
        hotend: the highest target of a hotend, in °C.
        bed: that of the bed, and of the chamber.
    """
    if command[:1] not in b"Mm" or not _HEATS.match(command):
        return command
    asked = parse(command)
    heater = SETS_TARGET.get(asked.code.partition(".")[0])
    letter = "S" if asked.get("S") is not None else "R"
    target = asked.number(letter, 0.0)
    if heater is None or target <= 0:
        return command
    limit = hotend if heater == "tool" else bed
    name = f"tool{asked.number('T', tool):.0f}" if heater == "tool" else heater
    offset = offsets.get(name, 0.0)
    wanted = max(0.0, min(target + offset, max(limit, target)))
    return command if not offset else _TARGET[ord(letter)].sub(f"{letter}{wanted:g}".encode(), command, count=1)
