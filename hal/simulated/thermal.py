"""Heaters as functions of the clock: nothing ticks, any moment can be asked for.

First order: full power brings a heater toward `maximum`, no power toward `ambient`, both exponentially with
`time_constant`. At the target it holds. Simplified: the sensor is the block, and a fan takes no heat.
"""

import math
from dataclasses import dataclass

FULL_POWER = 127  # as firmware reports it (Marlin: soft PWM of 7 bits)


@dataclass(frozen=True, slots=True)
class HeaterConfig:
    """What a heater is made of: °C and seconds."""

    ambient: float = 21.3
    maximum: float = 350.0
    time_constant: float = 80.0


HOTEND = HeaterConfig()  # 200 °C in 63 s
BED = HeaterConfig(maximum=140.0, time_constant=200.0)  # 60 °C in 79 s, 100 °C in 218 s


class Heater:
    """One heater and its sensor. Times must not go back before the last `set_target`."""

    def __init__(self, config: HeaterConfig) -> None:
        self._config = config
        self.target = 0.0
        self._since = 0.0  # when the present curve began
        self._from = config.ambient  # and at which temperature
        self._settled: float | None = None  # when it meets the target; None: never

    def set_target(self, target: float, now: float) -> None:
        """Heat or cool toward `target` from now on; 0 is off."""
        self._from = self.temperature(now)
        self._since = now
        self.target = target
        self._settled = self._time_of(target)

    def temperature(self, now: float) -> float:
        """Return the temperature in °C."""
        if self._settled is not None and now >= self._settled:
            return self.target
        limit = self._limit
        return limit + (self._from - limit) * math.exp((self._since - now) / self._config.time_constant)

    def power(self, now: float) -> int:
        """Return the heater's power, 0 to FULL_POWER."""
        if self._settled is not None and now >= self._settled:
            above, range_ = self.target - self._config.ambient, self._config.maximum - self._config.ambient
            return max(0, round(FULL_POWER * above / range_))
        return FULL_POWER if self.target > self._from else 0

    def time_within(self, window: float) -> float | None:
        """Return when the temperature is, or first was, less than `window` from the target; None: never."""
        if abs(self.target - self._from) < window:
            return self._since
        edge = self.target - math.copysign(window, self.target - self._from)
        return self._time_of(edge)

    @property
    def _limit(self) -> float:
        """Where the present curve would end without a controller."""
        return self._config.maximum if self.target > self._from else self._config.ambient

    def _time_of(self, temperature: float) -> float | None:
        """Return when the present curve goes through a temperature that lies ahead of it; None: never."""
        if temperature == self._from:
            return self._since
        if self._from == self._limit:
            return None
        remaining = (temperature - self._limit) / (self._from - self._limit)
        if not 0.0 < remaining < 1.0:
            return None
        return self._since - self._config.time_constant * math.log(remaining)
