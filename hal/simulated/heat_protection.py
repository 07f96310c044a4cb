"""The protections of one heater, with Marlin's rules and texts (temperature.cpp). A trip halts the firmware.

- MAXTEMP: a reading above the maximum, at any time.
- MINTEMP: a reading below the minimum, while the heater is on.
- Heating failed: after a target was set, the reading has to rise by some degrees in each period until it comes near.
- Thermal Runaway: once the target has been reached, the reading must not stay too far below it for a whole period.
"""

import math

from gcode.frozen import frozen


@frozen
class ProtectionLimits:
    """When a heater's protections trip: °C and s. The defaults are a hotend's (Configuration_adv.h).

    Attributes:
        minimum: the lowest reading (HEATER_0_MINTEMP).
        maximum: the highest reading (HEATER_0_MAXTEMP).
        overshoot: how far below `maximum` the highest target is (HOTEND_OVERSHOOT).
        watch_period: in which the reading has to rise (WATCH_TEMP_PERIOD).
        watch_increase: by how much the reading has to rise (WATCH_TEMP_INCREASE).
        watch_near: a reading is watched only if it is further below the target than the sum of this
            (TEMP_HYSTERESIS), `watch_increase` and 1 °C.
        runaway_period: how long the reading may be too low (THERMAL_PROTECTION_PERIOD).
        runaway_below: how far below the target a reading is too low (THERMAL_PROTECTION_HYSTERESIS).
    """

    minimum: float = 5.0
    maximum: float = 275.0
    overshoot: float = 15.0
    watch_period: float = 20.0
    watch_increase: float = 2.0
    watch_near: float = 3.0
    runaway_period: float = 40.0
    runaway_below: float = 4.0

    @property
    def highest_target(self) -> float:
        """The highest target; a higher one is lowered to it."""
        return self.maximum - self.overshoot


HOTEND_LIMITS = ProtectionLimits()
BED_LIMITS = ProtectionLimits(maximum=150.0, overshoot=10.0, watch_period=60.0, runaway_period=20.0, runaway_below=2.0)
CHAMBER_LIMITS = ProtectionLimits(
    maximum=70.0, overshoot=10.0, watch_period=60.0, runaway_period=20.0, runaway_below=2.0
)


class HeatProtection:
    """Checks each reading. Times are in s and never go back."""

    def __init__(self, limits: ProtectionLimits) -> None:
        self.limits = limits
        self.note_off()

    def note_off(self) -> None:
        """Note that the heater is off: only MAXTEMP remains."""
        self._target = 0.0
        self._watch_at = self._watch_above = math.inf  # when the reading has to be above, and which value
        self._runaway_at = math.inf  # when the reading will have been low for too long; inf: the target was not reached

    def note_target(self, target: float, reading: float, now: float) -> None:
        """Note that a target was set, perhaps the same one."""
        if target <= 0:
            self.note_off()
            return
        if target != self._target:
            self._runaway_at = math.inf
        self._target = target
        self._watch(reading, now)

    def check(self, reading: float, now: float) -> str | None:
        """Check a reading; return the error that trips, if any."""
        target, limits = self._target, self.limits
        if reading > limits.maximum:
            return "MAXTEMP triggered"
        if not target:
            return None
        if reading < limits.minimum:
            return "MINTEMP triggered"
        if self._runs_away(reading, now):
            return "Thermal Runaway"
        if now >= self._watch_at:
            if reading < self._watch_above:
                return "Heating failed"
            self._watch(reading, now)
        return None

    def soonest_trip(self, now: float) -> float:
        """Return the earliest time at which watch or runaway can trip."""
        if not self._target:
            return math.inf
        return min(self._watch_at, self._runaway_at, now + self.limits.runaway_period)

    def _runs_away(self, reading: float, now: float) -> bool:
        enough = self._target - (self.limits.runaway_below if self._runaway_at < math.inf else 0.0)
        if reading >= enough:
            self._runaway_at = now + self.limits.runaway_period
        return now >= self._runaway_at

    def _watch(self, reading: float, now: float) -> None:
        limits, above = self.limits, reading + self.limits.watch_increase
        if above < self._target - limits.watch_near - 1:
            self._watch_at, self._watch_above = now + limits.watch_period, above
        else:
            self._watch_at = math.inf
