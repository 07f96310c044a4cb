"""A firmware's control of a heater's power: PID near the target, or on and off (Marlin's temperature.cpp).

Power is 0 to FULL_POWER, as Marlin reports it: software PWM of 7 bits.
"""

from typing import Protocol

from gcode.frozen import frozen
from hal.simulated.thermal import TICK_S

FULL_POWER = 127

_OUTPUT = 255.0  # full output of a PID (PID_MAX); the PWM gets half of it
_NEW_SLOPE_SHARE = 0.05  # share of the newest slope in the smoothed one (1 - PID_K1)


class Control(Protocol):
    """Chooses the power once a tick."""

    def power(self, target: float, reading: float) -> int:
        """Return the power until the next reading; the target is above 0."""
        ...

    def restart(self) -> None:
        """Start over: the heater has been turned off."""
        ...


@frozen
class Pid:
    """Gains as M301 and M304 name them; outside `range` of the target the power is full or none."""

    p: float = 21.14
    i: float = 1.76
    d: float = 55.47
    range: float = 10.0  # °C (PID_FUNCTIONAL_RANGE)

    def start(self) -> "PidControl":
        """Return a controller with these gains."""
        return PidControl(self)


@frozen
class BangBang:
    """On below the target and off above, decided every `interval` s; within ± `hysteresis` °C nothing changes."""

    interval: float = 5.0  # BED_CHECK_INTERVAL
    hysteresis: float = 0.0  # BED_HYSTERESIS, of BED_LIMIT_SWITCHING

    def start(self) -> "BangBangControl":
        """Return a controller with this rule."""
        return BangBangControl(self)


class PidControl:
    """A PID controller whose derivative is of the reading, smoothed, and whose integral is bounded."""

    def __init__(self, gains: Pid) -> None:
        self.gains = gains
        self._last: float | None = None  # reading
        self.restart()

    def restart(self) -> None:
        """Forget integral and slope."""
        self._integral = self._slope = 0.0

    def power(self, target: float, reading: float) -> int:
        """Return the power until the next reading."""
        gains, error = self.gains, target - reading
        change = 0.0 if self._last is None else reading - self._last
        self._last = reading
        if not -gains.range <= error <= gains.range:
            self.restart()
            return FULL_POWER if error > 0 else 0
        self._slope += _NEW_SLOPE_SHARE * (change / TICK_S - self._slope)
        highest = _OUTPUT / gains.i if gains.i > 0 else 0.0
        self._integral = min(max(self._integral + error * TICK_S, 0.0), highest)
        output = gains.p * error + gains.i * self._integral - gains.d * self._slope
        return int(min(max(output, 0.0), _OUTPUT)) // 2


class BangBangControl:
    """Full power or none."""

    def __init__(self, rule: BangBang) -> None:
        self._rule = rule
        self._ticks = max(1, round(rule.interval / TICK_S))
        self._on = False
        self.restart()

    def restart(self) -> None:
        """Decide at the next reading."""
        self._ticks_left = 0

    def power(self, target: float, reading: float) -> int:
        """Return the power until the next reading."""
        if self._ticks_left == 0:
            self._ticks_left = self._ticks
            if reading >= target + self._rule.hysteresis:
                self._on = False
            elif reading < target - self._rule.hysteresis:
                self._on = True
        self._ticks_left -= 1
        return FULL_POWER if self._on else 0
