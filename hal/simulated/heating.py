"""Heating: all heaters and fans of a printer, and their temperature report. They outlive a reset of the board."""

import math

from hal.simulated.config import FirmwareConfig
from hal.simulated.heater import Heater, HeaterConfig

FULL_FAN = 255

_FILAMENT_AREA = 2.405  # mm² of 1.75 mm filament


class Heating:
    """The printer's heat. Times are the device's and never go back.

    Attributes:
        hotends: one for each extruder, or the one that all extruders share.
        bed: the heater of the bed.
        chamber: that of a heated chamber; None: the printer has none.
        fans: speeds, 0 to FULL_FAN; the first fan blows on the part, hotends and bed.
        due: when a protection may trip, and `check` has to be called.
    """

    def __init__(self, config: FirmwareConfig) -> None:
        def make(heater: HeaterConfig, name: str) -> Heater:
            return Heater(heater, name, config.noise, config.seed, self._plan, whole=config.whole_degrees)

        count = 1 if config.shared_nozzle else config.extruders
        self.hotends = [make(config.hotend, str(number)) for number in range(count)]
        self.bed = make(config.bed, "bed")
        self.chamber = None if config.chamber is None else make(config.chamber, "chamber")
        self.heaters = [*self.hotends, self.bed, *([] if self.chamber is None else [self.chamber])]
        self.fans = [0] * config.fans
        self.due = math.inf
        self._whole = config.whole_degrees

    def _plan(self) -> None:
        self.due = min(each.due for each in self.heaters)

    def hotend(self, tool: int) -> Heater:
        """Return the hotend of a tool; tools may share one."""
        return self.hotends[min(tool, len(self.hotends) - 1)]

    def check(self, now: float) -> str | None:
        """Return the error of a protection that has tripped by now."""
        for each in self.heaters:
            if each.due <= now and (error := each.check(now)):
                return f"Error:{error}, system stopped! Heater_ID: {each.name}"
        return None

    def halt(self, now: float) -> None:
        """Turn everything off until `restart`: the firmware has stopped."""
        for each in self.heaters:
            each.halt(now)
        self._stop_fans(now)

    def restart(self, now: float) -> None:
        """Start over: the firmware boots; heat and faults stay."""
        for each in self.heaters:
            each.restart(now)
        self._stop_fans(now)

    def turn_off(self, now: float) -> None:
        """Turn all heaters off."""
        for each in self.heaters:
            each.set_target(0.0, now)

    def watch_hotends(self, temperature: float, now: float) -> None:
        """Track from now on since when a hotend has been that hot, for `hot_since`."""
        for each in self.hotends:
            each.watch_from(temperature, now)

    def hot_since(self, now: float) -> float:
        """Return since when a hotend has been as hot as `watch_hotends` says; infinite: none is."""
        return min(each.hot_since(now) for each in self.hotends)

    def cool_to(self, hotend: float, bed: float, now: float) -> None:
        """Lower targets that are higher than these."""
        for each in self.hotends:
            each.set_target(min(each.target, hotend), now)
        self.bed.set_target(min(self.bed.target, bed), now)

    def set_fan(self, number: int, speed: int, now: float) -> None:
        """Set a fan's speed; an unknown fan is ignored, as in Marlin."""
        if not 0 <= number < len(self.fans):
            return
        self.fans[number] = min(FULL_FAN, max(0, speed))
        if number == 0:
            for each in (*self.hotends, self.bed):
                each.set_fan(self.fans[0] / FULL_FAN, now)

    def _stop_fans(self, now: float) -> None:
        for number in range(len(self.fans)):
            self.set_fan(number, 0, now)

    def feed(self, tool: int, length: float, now: float, seconds: float = 0.0) -> None:
        """Push `length` mm of filament through a hotend, in `seconds`; a retraction takes no heat."""
        if length > 0:
            self.hotend(tool).feed(length * _FILAMENT_AREA, now, seconds)

    def find(self, name: str) -> Heater | None:
        """Return the heater of that name: hotend or hotend0, hotend1, bed, chamber."""
        names = {f"hotend{number}": each for number, each in enumerate(self.hotends)}
        names |= {"hotend": self.hotends[0], "bed": self.bed}
        return names.get(name, self.chamber if name == "chamber" else None)

    def report(self, tool: int, now: float) -> str:
        """Return what all of Marlin's temperature reports share; the first one is the active tool's."""
        shown = [("T", "", self.hotend(tool)), ("B", "B", self.bed)]
        shown += [("C", "C", self.chamber)] if self.chamber is not None else []
        if len(self.hotends) > 1:
            shown += [(f"T{number}", str(number), each) for number, each in enumerate(self.hotends)]
        places = 0 if self._whole else 2
        readings = [f" {name}:{each.temperature(now):.{places}f} /{each.target:.{places}f}" for name, _, each in shown]
        # Marlin writes B@ and C@, but @0 and @1
        powers = [f" {f'{mark}@' if mark in 'BC' else f'@{mark}'}:{each.power(now)}" for _, mark, each in shown]
        return "".join(readings + powers)
