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
    """A heater as a single mass, in °C and s: it nears `maximum` exponentially; without power, `ambient`."""

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
        max_hotend: highest target in °C; so are `max_bed` and `max_chamber`.
        min_extrusion: °C below which the firmware extrudes nothing; None: no limit.
        heated_bed: the bed can be heated.
        tools: number of tools.
        shared_nozzle: all tools share the hotend of tool 0.
        filament_diameter: in mm, for a file that does not give it.
        dialect: of its firmware.
        dialect_known: the dialect is certain, not assumed.
        tool_change: duration in s; so are `filament_change` (M600) and `probing` (G29).
        homing: of X, Y and Z.
        homing_distance: assumed distance of X, Y and Z from their endstops before the first homing, in mm: a value
            between that of a printer at its endstops and that at the end of a print.
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
    filament_diameter: float = 1.75
    dialect: Dialect = MARLIN
    dialect_known: bool = True
    tool_change: float = 0.0
    filament_change: float = 60.0
    probing: float = 60.0
    homing: tuple[Homing, Homing, Homing] = (Homing(50.0, 5.0, 2.0), Homing(50.0, 5.0, 2.0), Homing(4.0, 2.0, 4.0))
    homing_distance: tuple[float, float, float] = (60.0, 60.0, 45.0)
    hotend: HeatModel = HOTEND
    bed: HeatModel = BED
    chamber: HeatModel = CHAMBER

    def hotend_of(self, tool: int) -> int:
        """Return the number of a tool's hotend; 0 for an unknown tool."""
        return 0 if self.shared_nozzle or tool >= self.tools else tool

    @property
    def filament_area(self) -> float:
        """The cross-section of the filament, in mm²."""
        return math.pi * self.filament_diameter**2 / 4
