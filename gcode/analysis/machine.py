"""The printer for which a file is analysed, as data."""

import math
from dataclasses import field

from gcode.dialect import MARLIN
from gcode.firmware_traits import Dialect
from gcode.frozen import frozen
from gcode.planner import MotionLimits

Range = tuple[float, float]
ANYWHERE: Range = (-math.inf, math.inf)


@frozen
class HeatModel:
    """A heater as a single mass, in °C and s: it approaches `maximum` exponentially, and `ambient` without power."""

    maximum: float
    time_constant: float
    ambient: float = 21.0


HOTEND = HeatModel(350.0, 80.0)  # 200 °C in a minute
BED = HeatModel(140.0, 200.0)  # 60 °C in 80 s
CHAMBER = HeatModel(90.0, 600.0)


@frozen
class Homing:
    """The homing of an axis: at `feedrate` mm/s, then `bump` mm back and again, `divisor` times slower."""

    feedrate: float
    bump: float
    divisor: float

    def seconds(self, distance: float) -> float:
        """Return the seconds for a distance in mm."""
        return (abs(distance) + self.bump + self.bump * self.divisor) / self.feedrate


@frozen
class Machine:
    """The printer that a file is for.

    Attributes:
        limits: of its motion.
        limits_from: their source: `printer`, `file`, `profile`, or else `defaults`.
        volume: reach of the nozzle in X, Y and Z, in mm; ANYWHERE: unknown.
        radius: of a round bed, in mm; None: the bed is rectangular.
        centre: of a round bed, in mm.
        max_hotend: highest target in °C, as are `max_bed` and `max_chamber`.
        min_extrusion: °C below which it extrudes nothing; None: no limit.
        heated_bed: it has a heated bed.
        tools: number of tools.
        shared_nozzle: all tools share the hotend of tool 0.
        filament: diameter in mm if the file does not have it.
        dialect: of its firmware.
        dialect_known: the dialect is certain, and no assumption.
        tool_change: its duration in s, as are `filament_change` (M600) and `probing` (G29).
        homing: of X, Y and Z.
        parked: assumed distance of X, Y and Z from their endstops before homing, in mm: between the corner of the last
            homing and the top of the last part.
    """

    limits: MotionLimits = field(default_factory=MotionLimits)
    limits_from: str = "profile"
    volume: tuple[Range, Range, Range] = ((0.0, 200.0), (0.0, 200.0), (0.0, 200.0))
    radius: float | None = None
    centre: tuple[float, float] = (0.0, 0.0)
    max_hotend: float = 300.0
    max_bed: float = 120.0
    max_chamber: float = 120.0
    min_extrusion: float | None = 170.0
    heated_bed: bool = True
    tools: int = 1
    shared_nozzle: bool = False
    filament: float = 1.75
    dialect: Dialect = MARLIN
    dialect_known: bool = True
    tool_change: float = 0.0
    filament_change: float = 60.0
    probing: float = 60.0
    homing: tuple[Homing, Homing, Homing] = (Homing(50.0, 5.0, 2.0), Homing(50.0, 5.0, 2.0), Homing(4.0, 2.0, 4.0))
    parked: tuple[float, float, float] = (60.0, 60.0, 45.0)
    hotend: HeatModel = HOTEND
    bed: HeatModel = BED
    chamber: HeatModel = CHAMBER

    def heater(self, tool: int) -> int:
        """Return the number of a tool's hotend; that of an unknown tool is 0."""
        return 0 if self.shared_nozzle or tool >= self.tools else tool

    @property
    def filament_area(self) -> float:
        """Cross-section of the filament, mm²."""
        return math.pi * self.filament**2 / 4
