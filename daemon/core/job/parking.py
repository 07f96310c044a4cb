"""Parking the head in a pause: lift it and perhaps move it aside, and later return to the very same position.

Pure: positions in, commands out. Positions are in mm, as M114 reports them.
"""

import math
from dataclasses import asdict
from typing import Any

import msgspec

from daemon.config import PauseConfig, ProfileConfig
from gcode.dialect import Dialect
from gcode.frozen import frozen
from gcode.modes import Modes
from gcode.replies import Reading

TRAVEL = "F6000"  # mm/min
LIFT = "F600"
EXTRUDE = "F2100"
MIN_MOVABLE = 160.0  # °C; a hotend colder than that holds filament that cannot be moved
LIMIT_MARGIN = 3.0  # °C above the firmware's own limit, so that it refuses neither the retraction nor its reversal


@frozen
class ParkedPlace:
    """Where a print paused, and what to restore before it continues.

    Attributes:
        axes: X, Y, Z in mm, and E if reported; None: nothing is moved, as configured or as the position is unknown.
        modes: those in which the file's lines are read.
        retracted: mm of filament pulled back.
        targets: °C by heater name, of the heaters that were on.
    """

    axes: dict[str, float] | None
    modes: Modes
    retracted: float
    targets: dict[str, float]


def park(parked: ParkedPlace, config: PauseConfig, profile: ProfileConfig) -> list[str]:
    """Return the commands that move the head off the part and then restore the file's modes.

    So whatever follows, such as a script, finds the file's modes, not those of these moves.
    """
    if parked.axes is None:
        return []
    top = profile.z_max_mm or profile.height_mm or math.inf  # 0: unknown
    lift = max(0.0, min(config.lift_mm, top - parked.axes["Z"]))
    commands = ["G91", "M83"]
    if parked.retracted:
        commands.append(f"G1 E-{parked.retracted:g} {EXTRUDE}")
    if lift:
        commands.append(f"G1 Z{lift:g} {LIFT}")
    if config.park == "corner":
        commands += ["G90", f"G1 X{config.park_x_mm:g} Y{config.park_y_mm:g} {TRAVEL}"]
    return [*commands, *parked.modes.restore()]


def unpark(parked: ParkedPlace) -> list[str]:
    """Return the commands that move back and restore every mode: XY first, then down, then the filament."""
    if parked.axes is None:
        return parked.modes.restore_all()
    at = parked.axes
    commands = ["G90", "M83", f"G1 X{at['X']:g} Y{at['Y']:g} {TRAVEL}", f"G1 Z{at['Z']:g} {LIFT}"]
    if parked.retracted:
        commands.append(f"G1 E{parked.retracted:g} {EXTRUDE}")
    if "E" in at:  # retraction and return cancel out except for rounding
        commands.append(f"G92 E{at['E']:g}")
    return [*commands, *parked.modes.restore_all()]


def is_soft(hotend: Reading, dialect: Dialect) -> bool:
    """Tell whether the firmware extrudes with this hotend, now and once it is back at its target."""
    least = max(MIN_MOVABLE, (dialect.heat.min_extrude or 0.0) + LIMIT_MARGIN)
    return min(hotend.actual, hotend.target or hotend.actual) > least


def plain_modes(modes: Modes) -> dict[str, Any]:
    """Return modes as JSON has them."""
    return asdict(modes) | {"feedrate": modes.feedrate.decode()}


def modes_of(plain: dict[str, Any]) -> Modes:
    """Return the modes that `plain_modes` of any version returned; those of old ones have no m83."""
    values = {"m83": plain["relative_e"]} | plain | {"feedrate": plain["feedrate"].encode()}
    return msgspec.convert(values, Modes, builtin_types=(bytes,))
