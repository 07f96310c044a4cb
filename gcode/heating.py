"""Heat: turning it off, and waiting for it as the firmware would: near the target, and for a while.

Marlin's rule and constants (Configuration.h: TEMP_RESIDENCY_TIME 10 s, TEMP_WINDOW 1 °C, TEMP_HYSTERESIS 3 °C):
the time runs from the first reading within the window, and begins anew when one leaves the hysteresis.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from gcode.command import parse

RESIDENCY = 10.0  # s
WINDOW = 1.0  # °C
HYSTERESIS = 3.0  # °C

# The commands that set a target, by what is heated: `tool` is the one of the T word, else the active one.
SETS_TARGET = {"M104": "tool", "M109": "tool", "M140": "bed", "M190": "bed", "M141": "chamber", "M191": "chamber"}

_TARGET = {letter: re.compile(rb"%c\s*\+?\d+\.?\d*" % letter, re.IGNORECASE) for letter in b"SR"}
_HEATS = re.compile(rb"M\s*0*(?:104|109|140|141|190|191|303)(?!\d)", re.IGNORECASE)


@dataclass(slots=True)
class Residency:
    """The wait of M109, M190 and M191.

    Attributes:
        target: °C.
        cool: wait for cooling too (the R word); with S a heater that is too hot is hot enough.
    """

    target: float
    cool: bool = False
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
        return now - self._since >= RESIDENCY


def heaters_off(extruders: int, *, chamber: bool) -> list[str]:
    """Return the commands that turn every heater off, hotends first."""
    tools = [f"M104 T{tool} S0" for tool in range(extruders)] if extruders > 1 else ["M104 S0"]
    return [*tools, "M140 S0", *(["M141 S0"] if chamber else [])]


def excess(command: bytes, hotend: float, bed: float) -> str | None:
    """Return what is wrong with a command that asks for more heat than there may be; None: nothing.

    Args:
        command: one clean line.
        hotend: the highest target of a hotend, in °C.
        bed: that of the bed, and of the chamber.
    """
    if command[:1] not in b"Mm" or not _HEATS.match(command):
        return None
    asked = parse(command)
    autotune = asked.code == "M303"  # E-1 is the bed, E-2 the chamber
    of_hotend = asked.number("E", 0.0) >= 0 if autotune else asked.code in ("M104", "M109")
    limit = hotend if of_hotend else bed
    wanted = max(asked.number(letter, 0.0) for letter in "SRB")  # B: the highest target of AUTOTEMP
    if wanted <= limit:
        return None
    return f"{command.decode()} asks for {wanted:g} °C, the profile allows {limit:g} °C"


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
