"""Heat: turning it off, and waiting for it as the firmware would: near the target, and for a while.

Marlin's rule and constants (Configuration.h: TEMP_RESIDENCY_TIME 10 s, TEMP_WINDOW 1 °C, TEMP_HYSTERESIS 3 °C):
the time runs from the first reading within the window, and begins anew when one leaves the hysteresis.
"""

import math
from dataclasses import dataclass

RESIDENCY = 10.0  # s
WINDOW = 1.0  # °C
HYSTERESIS = 3.0  # °C


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
