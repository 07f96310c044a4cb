"""Heating, as far as a print waits for it: each heater one mass that nears its end exponentially."""

import math
from dataclasses import dataclass

from gcode.analysis.machine import HeatModel, Machine
from gcode.command import Command
from gcode.heating import RESIDENCY

# Command → (heater, it waits). `tool` is the active one.
_HEATERS = {
    "M104": ("tool", False), "M109": ("tool", True),
    "M140": ("bed", False), "M190": ("bed", True),
    "M141": ("chamber", False), "M191": ("chamber", True),
}  # fmt: skip
_MAX_TARGETS = 64  # different ones that are remembered of a heater


@dataclass(frozen=True, slots=True)
class HeatOrder:
    """A new target in °C for a heater, by name; maybe to be waited for, maybe cooling too (the R word)."""

    heater: str
    target: float
    wait: bool
    cool: bool = False


def order(command: Command, tool: int) -> HeatOrder | None:
    """Return what a command asks of a heater; `tool` is the active one's."""
    if command.code in ("G10", "M568"):  # RepRapFirmware: P is the tool, S its temperature
        number, target = command.get("P"), command.get("S")
        if number is None or target is None or not math.isfinite(target) or "L" in command:
            return None
        return HeatOrder(f"tool{min(max(number, 0), 99):.0f}", target, wait=False)
    heater, wait = _HEATERS.get(command.code, ("", False))
    target = command.get("S", command.get("R"))
    if not heater or target is None or not math.isfinite(target):
        return None
    if heater == "tool":
        heater = f"tool{min(max(command.number('T', tool), 0), 99):.0f}"
    return HeatOrder(heater, target, wait, cool=wait and command.get("S") is None)


@dataclass(slots=True)
class _Heater:
    """A heater: where it was when it got its last target."""

    model: HeatModel
    since: float
    began: float
    target: float = 0.0

    def temperature(self, now: float) -> float:
        """Return the temperature now, °C."""
        model, end = self.model, self._end()
        at = end + (self.began - end) * math.exp(-(now - self.since) / model.time_constant)
        return min(at, self.target) if self._heats() else max(at, min(self.target, self.began), model.ambient)

    def seconds(self, now: float) -> float:
        """Return how long it still takes to the target; none if that is out of reach."""
        end, at = self._end(), self.temperature(now)
        if at == self.target or (end - self.target) * (at - end) >= 0:
            return 0.0
        return self.model.time_constant * math.log((at - end) / (self.target - end))

    def set(self, target: float, now: float) -> None:
        """Give it a new target."""
        self.began, self.since = self.temperature(now), now
        self.target = target

    def _heats(self) -> bool:
        return self.target > self.began

    def _end(self) -> float:
        return self.model.maximum if self._heats() else self.model.ambient


class Heaters:
    """All heaters of a printer, cold at the start."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._heaters: dict[str, _Heater] = {}
        self.targets: dict[str, list[float]] = {}

    def follow(self, what: HeatOrder, now: float) -> float:
        """Take an order at this time, in s; return the seconds that the print waits for it."""
        heater = self._heater(what.heater)
        warmer = what.target > heater.temperature(now)
        heater.set(what.target, now)
        self._remember(what)
        if not what.wait or not (warmer or what.cool):
            return 0.0
        return heater.seconds(now) + RESIDENCY

    def _remember(self, what: HeatOrder) -> None:
        known = self.targets.setdefault(what.heater, [])
        if what.target > 0 and what.target not in known and len(known) < _MAX_TARGETS:
            known.append(what.target)

    def _heater(self, name: str) -> _Heater:
        if name not in self._heaters:
            machine = self._machine
            model = {"bed": machine.bed, "chamber": machine.chamber}.get(name, machine.hotend)
            self._heaters[name] = _Heater(model, 0.0, model.ambient)
        return self._heaters[name]
