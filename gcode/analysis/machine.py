"""What the analysis is told about the printer, as data."""

import math
from dataclasses import dataclass, field

from gcode.dialect import MARLIN
from gcode.planner import Limits

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class HeatModel:
    """A heater as one mass: it nears `maximum` exponentially at full power, and `ambient` without; °C, s."""

    maximum: float
    time_constant: float
    ambient: float = 21.0


HOTEND = HeatModel(350.0, 80.0)  # 200 °C in a minute
BED = HeatModel(140.0, 200.0)  # 60 °C in 80 s
CHAMBER = HeatModel(90.0, 600.0)


@dataclass(frozen=True, slots=True)
class Homing:
    """How an axis finds its endstop: mm/s, then mm back and slowly again, `divisor` times slower."""

    feedrate: float
    bump: float
    divisor: float

    def seconds(self, distance: float) -> float:
        """Return how long it takes over this way, in mm."""
        return (abs(distance) + self.bump + self.bump * self.divisor) / self.feedrate


@dataclass(frozen=True, slots=True)
class Machine:
    """The printer that a file is for.

    Attributes:
        limits: of its motion.
        volume: from and to of X, Y and Z, in mm.
        max_hotend: highest target, °C, as are `max_bed` and `min_extrusion`, below which nothing is extruded.
        heated_bed: it has one.
        tools: how many.
        filament: its diameter in mm, where the file does not give it.
        longest_command: bytes of a command that the firmware reads, number and checksum aside.
        homing: of X, Y and Z.
        parked: mm from its endstops where it stands before it is homed, of X, Y and Z. Nobody knows; it is between the
            corner where it was homed last and the top of the last part.
    """

    limits: Limits = field(default_factory=Limits)
    volume: tuple[Range, Range, Range] = ((0.0, 200.0), (0.0, 200.0), (0.0, 200.0))
    max_hotend: float = 300.0
    max_bed: float = 120.0
    min_extrusion: float = 170.0
    heated_bed: bool = True
    tools: int = 1
    filament: float = 1.75
    longest_command: int = MARLIN.longest_command
    homing: tuple[Homing, Homing, Homing] = (Homing(50.0, 5.0, 2.0), Homing(50.0, 5.0, 2.0), Homing(4.0, 2.0, 4.0))
    parked: tuple[float, float, float] = (60.0, 60.0, 45.0)
    hotend: HeatModel = HOTEND
    bed: HeatModel = BED
    chamber: HeatModel = CHAMBER

    @property
    def filament_area(self) -> float:
        """Cross-section of the filament, mm²."""
        return math.pi * self.filament**2 / 4
