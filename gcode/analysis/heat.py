"""Heaters: how long a print waits for heat, with each heater as a single mass (`machine.HeatModel`)."""

import math

from gcode.analysis.machine import HeatModel, Machine
from gcode.command import Command
from gcode.frozen import frozen, mutable
from gcode.heating import HEATERS_BY_COMMAND, RESIDENCY_S
from gcode.too_hot import named_target

_WAITS = frozenset({"M109", "M190", "M191"})
_MAX_TARGETS = 64  # different targets of a heater that are remembered


@frozen
class HeatCommand:
    """A command for a heater.

    Attributes:
        heater: its name.
        target: in °C.
        waits: the print waits until the target is reached.
        waits_for_cooling: the print waits for cooling too (R).
        sets_target: it sets the target; otherwise it only waits for the heater to reach `target`.
    """

    heater: str
    target: float
    waits: bool
    waits_for_cooling: bool = False
    sets_target: bool = True


def heat_command(command: Command, tool: int) -> HeatCommand | None:
    """Return the heater command in a G-code command; `tool` is the active one."""
    if command.code in ("G10", "M568"):  # RepRapFirmware: P is the tool, S its temperature
        number, target = command.get("P"), command.get("S")
        if number is None or target is None or not math.isfinite(target) or "L" in command:
            return None
        return HeatCommand(f"tool{min(max(number, 0), 99):.0f}", target, waits=False)
    heater, waits = HEATERS_BY_COMMAND.get(command.code, ""), command.code in _WAITS
    target = command.get("S", command.get("R"))
    if not heater or target is None or not math.isfinite(target):
        return None
    if heater == "tool":
        heater = f"tool{min(max(command.number('T', tool), 0), 99):.0f}"
    return HeatCommand(heater, target, waits, waits_for_cooling=waits and command.get("S") is None)


def named_heat_command(command: bytes) -> HeatCommand | None:
    """Return the heater command in one of Klipper's named commands."""
    named = named_target(command)
    if named is None:
        return None
    heater, target, waits = named
    return HeatCommand(heater, target, waits, sets_target=not waits)


@mutable
class _Heater:
    """A heater, with the time (s) and its temperature (°C) when it got its last target."""

    model: HeatModel
    since: float
    start_temperature: float
    target: float = 0.0

    def temperature(self, now: float) -> float:
        """Return the temperature now, in °C."""
        model, begin, end = self.model, self.start_temperature, self._limit()
        at = end + (begin - end) * math.exp(-(now - self.since) / model.time_constant)
        return min(at, self.target) if self._heats() else max(at, min(self.target, begin), model.ambient)

    def seconds(self, now: float, target: float | None = None) -> float:
        """Return the seconds until the heater reaches `target` (None: its own target); 0 if it never does."""
        target = self.target if target is None else target
        end, at = self._limit(), self.temperature(now)
        if at == target or (end - target) * (at - end) >= 0:
            return 0.0
        return self.model.time_constant * math.log((at - end) / (target - end))

    def set(self, target: float, now: float) -> None:
        """Set a new target."""
        self.start_temperature, self.since = self.temperature(now), now
        self.target = target

    def _heats(self) -> bool:
        return self.target > self.start_temperature

    def _limit(self) -> float:
        return self.model.maximum if self._heats() else self.model.ambient


class HeaterModels:
    """All heaters of a printer, cold at the start."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._heaters: dict[str, _Heater] = {}
        self.targets: dict[str, list[float]] = {}

    def follow(self, command: HeatCommand, now: float) -> float:
        """Apply a heater command at a time in s; return the seconds that the print waits for it."""
        heater = self._heater(command.heater)
        if not command.sets_target:
            on_the_way = heater.temperature(now) < command.target <= heater.target
            return heater.seconds(now, command.target) if on_the_way else 0.0
        warmer = command.target > heater.temperature(now)
        heater.set(command.target, now)
        self._remember(command)
        if not command.waits or not (warmer or command.waits_for_cooling):
            return 0.0
        return heater.seconds(now) + RESIDENCY_S

    def _remember(self, command: HeatCommand) -> None:
        targets = self.targets.setdefault(command.heater, [])
        if command.target > 0 and command.target not in targets and len(targets) < _MAX_TARGETS:
            targets.append(command.target)

    def _heater(self, name: str) -> _Heater:
        if name not in self._heaters:
            machine = self._machine
            model = {"bed": machine.bed, "chamber": machine.chamber}.get(name, machine.hotend)
            self._heaters[name] = _Heater(model, 0.0, model.ambient)
        return self._heaters[name]
