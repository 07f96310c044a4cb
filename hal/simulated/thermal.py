"""The physics of a heater: a heated block, a sensor in it, and the air around.

Two masses. Power heats the block, which loses heat to the air in proportion to its excess temperature; fan and
filament add to that loss. The sensor takes its heat from the block alone, so it lags:

    d block / dt  = (rise · power - load · (block - ambient)) / time_constant - mass · (block - sensor) / lag
    d sensor / dt = (block - sensor) / lag

For constant power and load this is solved exactly by a matrix exponential, so steps of any length are right.
"""

import math

from gcode.frozen import frozen

TICK_S = 0.15625
"""Seconds between two readings: Marlin takes 0.16; 5/32 is exact in binary, so ticks and times agree."""

_AIR_LAG_S = 10.0  # s in which a sensor in the air loses 63 % of its excess temperature


@frozen
class Body:
    """The thermal properties of a heater, in °C and s.

    Attributes:
        ambient: temperature of the air.
        maximum: final temperature at full power, without fan and filament.
        time_constant: time in which an unheated block loses 63 % of its excess temperature.
        sensor_lag: time in which the sensor follows 63 % of a step of the block.
        sensor_mass: heat capacity of the sensor, as a share of the block's.
        fan_cooling: loss that the part fan at full speed adds, as a share of the loss to still air.
        filament_cooling: the same for each mm³/s of filament.
    """

    ambient: float = 21.3
    maximum: float = 350.0
    time_constant: float = 80.0
    sensor_lag: float = 1.2
    sensor_mass: float = 0.02
    fan_cooling: float = 0.25
    filament_cooling: float = 0.02


HOTEND_BODY = Body()  # 40 W on 10 J/K: 200 °C in 63 s; 2.5 mJ for each mm³ and K of filament
BED_BODY = Body(maximum=140.0, time_constant=200.0, sensor_lag=2.5, fan_cooling=0.05, filament_cooling=0.0)
CHAMBER_BODY = Body(maximum=90.0, time_constant=600.0, sensor_lag=5.0, fan_cooling=0.0, filament_cooling=0.0)


class TwoMasses:
    """Block and sensor, stepped from tick to tick."""

    __slots__ = ("_body", "_factors", "_load", "block", "sensor")

    def __init__(self, body: Body, seconds: float = TICK_S) -> None:
        self._body = body
        self.block = self.sensor = body.ambient
        self.set_load(1.0, seconds)

    def set_load(self, load: float, seconds: float = TICK_S) -> None:
        """Lose heat `load` times as fast as to still air, and step by `seconds` from now on."""
        self._load = load
        self._factors = transition(self._body, load, seconds)

    def step(self, power: float) -> None:
        """Advance by one tick, with a power from 0 to 1."""
        body = self._body
        end = body.ambient + (body.maximum - body.ambient) * power / self._load
        block, sensor = self.block - end, self.sensor - end
        block_by_block, block_by_sensor, sensor_by_block, sensor_by_sensor = self._factors
        self.block = end + block_by_block * block + block_by_sensor * sensor
        self.sensor = end + sensor_by_block * block + sensor_by_sensor * sensor

    def step_apart(self, power: float) -> None:
        """As `step`, with the sensor out of the block, in the air."""
        body = self._body
        end = body.ambient + (body.maximum - body.ambient) * power / self._load
        self.block = end + (self.block - end) * math.exp(-TICK_S * self._load / body.time_constant)
        self.sensor = body.ambient + (self.sensor - body.ambient) * math.exp(-TICK_S / _AIR_LAG_S)

    @property
    def hottest(self) -> float:
        """The higher temperature of the two."""
        return max(self.block, self.sensor)

    @property
    def coldest(self) -> float:
        """The temperature below which neither of the two can fall."""
        return min(self.block, self.sensor, self._body.ambient)

    def soonest_at(self, temperature: float) -> float:
        """Return how soon full power can heat either of the two to `temperature`, in s."""
        body = self._body
        if self.hottest >= temperature:
            return 0.0
        if temperature >= body.maximum:
            return math.inf
        return body.time_constant * math.log((body.maximum - self.hottest) / (body.maximum - temperature))


def transition(body: Body, load: float, seconds: float) -> tuple[float, float, float, float]:
    """Return, by rows, the matrix that maps (block, sensor) minus their final values to the same after `seconds`."""
    loss, share = -load / body.time_constant, body.sensor_mass / body.sensor_lag
    rate = 1 / body.sensor_lag
    mean, half = (loss - share - rate) / 2, (loss - share + rate) / 2
    root = math.sqrt(half * half + share * rate)  # never of a negative number: neither summand is below 0
    slow, fast = math.exp((mean + root) * seconds), math.exp((mean - root) * seconds)
    even = (slow + fast) / 2
    odd = (slow - fast) / (2 * root) if root else seconds * slow
    return even + half * odd, share * odd, rate * odd, even - half * odd
