"""What the analysis is told about the printer, as data."""

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
    """A heater as one mass: it nears `maximum` exponentially at full power, and `ambient` without; °C, s."""

    maximum: float
    time_constant: float
    ambient: float = 21.0


HOTEND = HeatModel(350.0, 80.0)  # 200 °C in a minute
BED = HeatModel(140.0, 200.0)  # 60 °C in 80 s
CHAMBER = HeatModel(90.0, 600.0)


@frozen
class Homing:
    """How an axis finds its endstop: mm/s, then mm back and slowly again, `divisor` times slower."""

    feedrate: float
    bump: float
    divisor: float

    def seconds(self, distance: float) -> float:
        """Return how long it takes over this way, in mm."""
        return (abs(distance) + self.bump + self.bump * self.divisor) / self.feedrate


@frozen
class Machine:
    """The printer that a file is for.

    Attributes:
        limits: of its motion.
        limits_from: who says so: `printer`, `file`, `profile`; `defaults` are taken where nobody does.
        volume: from and to of X, Y and Z, in mm, that the nozzle can reach; ANYWHERE: that is not known.
        radius: of a round bed, in mm; None: it has corners.
        centre: of a round bed.
        max_hotend: highest target, °C, as are `max_bed` and `max_chamber`.
        min_extrusion: °C below which nothing is extruded; None: there is no such limit.
        heated_bed: it has one.
        tools: how many.
        shared_nozzle: they have one hotend, which is that of tool 0.
        filament: its diameter in mm, where the file does not give it.
        dialect: of its firmware.
        dialect_known: it is known for certain, and not taken for granted.
        tool_change: s that it takes, as do `filament_change` (M600) and `probing` (G29).
        homing: of X, Y and Z.
        parked: mm from its endstops where it stands before it is homed, of X, Y and Z. Nobody knows; it is between the
            corner where it was homed last and the top of the last part.
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
        """Return the number of the hotend that a tool is heated by; one that it does not have is as good as tool 0."""
        return 0 if self.shared_nozzle or tool >= self.tools else tool

    @property
    def filament_area(self) -> float:
        """Cross-section of the filament, mm²."""
        return math.pi * self.filament**2 / 4
