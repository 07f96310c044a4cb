"""Heat: turning it off, and waiting for it as the firmware would: near the target, and for a while.

Marlin's rule and constants (Configuration.h: TEMP_RESIDENCY_TIME 10 s, TEMP_WINDOW 1 °C, TEMP_HYSTERESIS 3 °C):
the time runs from the first reading within the window, and begins anew when one leaves the hysteresis.
"""

import math
import re
from dataclasses import dataclass

from gcode.command import parse

RESIDENCY = 10.0  # s
WINDOW = 1.0  # °C
HYSTERESIS = 3.0  # °C

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
