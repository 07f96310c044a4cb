"""One heater of a simulated printer: body, sensor, control and protections, as a function of the clock.

Nothing ticks by itself. Each call brings the heater up to the present, in ticks on a fixed grid. So the state depends
on when things happened, and never on when it was read. A change counts from the next tick on. A tick costs a
microsecond or two; a cold heater that is off costs nothing.
"""

import math
import random
from collections.abc import Callable
from dataclasses import field
from enum import StrEnum
from functools import lru_cache

from gcode.frozen import frozen
from hal.simulated.heat_control import FULL_POWER, BangBang, Pid
from hal.simulated.heat_protection import BED_LIMITS, CHAMBER_LIMITS, HOTEND_LIMITS, HeatProtection, ProtectionLimits
from hal.simulated.thermal import BED_BODY, CHAMBER_BODY, HOTEND_BODY, TICK_S, Body, TwoMasses

_SETTLED = 1e-6  # °C from ambient at which a heater counts as cold
_NOISES = 2039  # readings after which the noise repeats: 5 min
_TICKS_IN_SLICE = 8
_SLICE_S = _TICKS_IN_SLICE * TICK_S  # s over which the flow of filament is averaged: 1.25
_MAX_SLICES = 600  # of one move; the filament of a move of more than 12 min is melted sooner than in reality
_DRAUGHT = 3.0  # added to the load


class HeaterFault(StrEnum):
    """What can be wrong with a heater."""

    NO_HEAT = "no_heat"  # its wire is cut
    RUNAWAY = "runaway"  # its switch is stuck on
    SENSOR_OPEN = "sensor_open"  # reads far too cold
    SENSOR_SHORT = "sensor_short"  # reads far too hot
    SENSOR_OUT = "sensor_out"  # has slipped out of the block and reads the air
    DRAUGHT = "draught"  # something cools it


@frozen
class HeaterConfig:
    """A heater as it is built, and as the firmware is configured for it.

    Attributes:
        body: its thermal properties.
        control: how the firmware chooses the power.
        limits: the firmware's protections.
        open_reading: the reading of a sensor with a broken wire, in °C.
        short_reading: the reading of a shorted sensor, in °C.
    """

    body: Body = HOTEND_BODY
    control: Pid | BangBang = field(default_factory=Pid)
    limits: ProtectionLimits = HOTEND_LIMITS
    open_reading: float = -15.0
    short_reading: float = 500.0


HOTEND = HeaterConfig()
BED = HeaterConfig(BED_BODY, BangBang(), BED_LIMITS)
CHAMBER = HeaterConfig(CHAMBER_BODY, BangBang(), CHAMBER_LIMITS)


class Heater:
    """One heater and its sensor. Times are the device's, and must not go back.

    Args:
        config: how the heater is built.
        name: Marlin's heater ID in errors: 0, 1, bed, chamber.
        noise: standard deviation of a reading, °C.
        seed: of the noise.
        on_plan: called when `due` may have changed.
        whole: targets are truncated to whole degrees.

    Attributes:
        target: in °C; 0: off.
        fault: what is wrong with the heater, if anything.
        trip: the error of the protection that has tripped.
        due: the earliest time at which a protection can trip if nothing changes; perhaps too early, never too late.
    """

    def __init__(
        self,
        config: HeaterConfig,
        name: str = "0",
        noise: float = 0.0,
        seed: int = 0,
        on_plan: Callable[[], None] | None = None,
        *,
        whole: bool = False,
    ) -> None:
        self.config = config
        self.name = name
        self.target = 0.0
        self.fault: HeaterFault | None = None
        self.trip: str | None = None
        self.due = math.inf
        self._on_plan = on_plan
        self._whole = whole
        self.control = config.control.start()
        self._protection = HeatProtection(config.limits)
        self._masses = TwoMasses(config.body)
        self._noise = _noises(noise, f"{seed} {name}")
        self._max_noise = max(map(abs, self._noise))
        self._is_checked = True  # the firmware runs, and checks readings
        self._tick = 0  # the last one computed
        self._power = 0
        self._reading = config.body.ambient
        self._hot_from = math.inf  # °C of `watch_from`
        self._hot_since = math.inf
        self._fan = self._flow = 0.0  # 0 to 1; mm³/s
        self._load = 0.0  # added by fan, filament and draught
        self._filament: dict[int, float] = {}  # slice → mm³ to be melted

    # ── for the firmware ────────────────────────────────────────────────────────────────────────────────────

    def temperature(self, now: float) -> float:
        """Return the last reading, in °C."""
        self._advance(now)
        return self._reading

    def power(self, now: float) -> int:
        """Return the power that the firmware has chosen, 0 to FULL_POWER."""
        self._advance(now)
        return self._power

    def set_target(self, target: float, now: float) -> None:
        """Heat or cool toward `target`, limited to the highest allowed; 0: off."""
        self._advance(now)
        target = min(max(target, 0.0), self.config.limits.highest_target)
        target = float(int(target)) if self._whole else target
        self.target = target
        if target == 0:
            self._power = 0
            self.control.restart()
        self._protection.note_target(target, self._reading, now)
        self._plan()

    def halt(self, now: float) -> None:
        """Turn off, without further checks: the firmware has stopped."""
        self.set_target(0.0, now)
        self._is_checked = False
        self._plan()

    def restart(self, now: float) -> None:
        """Start over without a target: the firmware boots. The heat stays."""
        self.set_target(0.0, now)
        self.control = self.config.control.start()
        self._is_checked, self.trip = True, None
        self._hot_from = self._hot_since = math.inf
        self._plan()

    def check(self, now: float) -> str | None:
        """Return the error of a protection that has tripped by now; `due` is the next time to ask."""
        self._advance(now)
        self._plan()
        return self.trip

    def watch_from(self, temperature: float, now: float) -> None:
        """Track from now on since when readings have been at least `temperature`."""
        self._advance(now)
        self._hot_from, self._hot_since = temperature, now if self._reading >= temperature else math.inf

    def hot_since(self, now: float) -> float:
        """Return since when readings have been as hot as `watch_from` says; infinite: they are not."""
        self._advance(now)
        return self._hot_since

    # ── for the machine ─────────────────────────────────────────────────────────────────────────────────────

    def block_temperature(self, now: float) -> float:
        """Return the true temperature of the block."""
        self._advance(now)
        return self._masses.block

    def fail(self, fault: HeaterFault | None, now: float) -> None:
        """Break the heater, or (None) repair it."""
        self._advance(now)
        self.fault = fault
        self._update_load()
        self._plan()

    def set_fan(self, share: float, now: float) -> None:
        """Blow on the heater, from 0 to 1."""
        self._advance(now)
        self._fan = share
        self._update_load()

    def feed(self, volume: float, now: float, seconds: float = 0.0) -> None:
        """Melt `volume` mm³ of filament within `seconds` from the next slice on."""
        self._advance(now)
        flow, first = self._filament, int(now / _SLICE_S) + 1
        if seconds < _SLICE_S:  # nearly always
            flow[first] = flow.get(first, 0.0) + volume
            return
        count = min(math.ceil(seconds / _SLICE_S), _MAX_SLICES)
        for each in range(first, first + count):
            flow[each] = flow.get(each, 0.0) + volume / count

    # ── ticks ───────────────────────────────────────────────────────────────────────────────────────────────

    def _advance(self, now: float) -> None:
        last = int(now / TICK_S)
        if last <= self._tick:
            return
        while self._tick < last and not self._is_settled():
            self._tick += 1
            if not self._tick % _TICKS_IN_SLICE and (self._filament or self._flow):
                self._flow = self._filament.pop(self._tick // _TICKS_IN_SLICE, 0.0) / _SLICE_S
                self._update_load()
            self._pass_tick()
            self._reading = self._read()
            self._react()
        if self._tick < last:
            self._tick = last
            self._reading = self._read()

    def _is_settled(self) -> bool:
        """Tell whether only noise changes the readings; if so, drop the last traces of heat."""
        if self.target or self._power or self.fault is HeaterFault.RUNAWAY or self._filament or self._flow:
            return False
        masses, ambient = self._masses, self.config.body.ambient
        if masses.hottest - ambient > _SETTLED or ambient - masses.coldest > _SETTLED:
            return False
        masses.block = masses.sensor = ambient
        return self.due == math.inf

    def _pass_tick(self) -> None:
        """Let a tick pass."""
        fault, power = self.fault, self._power / FULL_POWER
        if fault is None:
            self._masses.step(power)
        elif fault is HeaterFault.SENSOR_OUT:
            self._masses.step_apart(power)
        else:
            self._masses.step({HeaterFault.NO_HEAT: 0.0, HeaterFault.RUNAWAY: 1.0}.get(fault, power))

    def _react(self) -> None:
        """Have the firmware react to the new reading."""
        reading = self._reading
        if not self._is_checked:
            return
        if reading < self._hot_from:
            self._hot_since = math.inf
        elif self._hot_since == math.inf:
            self._hot_since = self._tick * TICK_S
        if self.trip is None:
            self.trip = self._protection.check(reading, self._tick * TICK_S)
        if self.target:
            self._power = self.control.power(self.target, reading)

    def _read(self) -> float:
        if self.fault is not None:
            if self.fault is HeaterFault.SENSOR_OPEN:
                return self.config.open_reading
            if self.fault is HeaterFault.SENSOR_SHORT:
                return self.config.short_reading
        return self._masses.sensor + self._noise[self._tick % _NOISES]

    def _update_load(self) -> None:
        """Add up the losses of the block beyond those to still air."""
        body = self.config.body
        load = self._fan * body.fan_cooling + self._flow * body.filament_cooling
        load += _DRAUGHT if self.fault is HeaterFault.DRAUGHT else 0.0
        if load != self._load:
            self._load = load
            self._masses.set_load(1.0 + load)

    def _plan(self) -> None:
        """Set `due`."""
        self.due = self._soonest_trip()
        if self._on_plan is not None:
            self._on_plan()

    def _soonest_trip(self) -> float:
        now = self._tick * TICK_S
        if not self._is_checked:
            return math.inf
        if self.trip:
            return now
        soonest = min(self._protection.soonest_trip(now), now + self._time_to_extremes())
        return max(math.ceil(soonest / TICK_S), self._tick + 1) * TICK_S if soonest < math.inf else math.inf

    def _time_to_extremes(self) -> float:
        """Return the seconds until a reading can be out of range; rather too few than too many."""
        limits, masses = self.config.limits, self._masses
        if self.fault in (HeaterFault.SENSOR_OPEN, HeaterFault.SENSOR_SHORT):
            reading = self._read()
            too_cold = self.target > 0 and reading < limits.minimum
            return 0.0 if too_cold or reading > limits.maximum else math.inf
        if self.target > 0 and masses.coldest - self._max_noise < limits.minimum:
            return 0.0
        heats = self.target > 0 or self.fault is HeaterFault.RUNAWAY
        if not heats and masses.hottest + self._max_noise < limits.maximum:
            return math.inf
        return masses.soonest_at(limits.maximum - self._max_noise)


@lru_cache(maxsize=64)
def _noises(deviation: float, seed: str) -> tuple[float, ...]:
    """Return the errors of a sensor's readings, by tick, limited to four standard deviations."""
    draw = random.Random(seed)  # noqa: S311 - reproducible, not secret
    return tuple(max(-4.0, min(4.0, draw.gauss())) * deviation for _ in range(_NOISES))
