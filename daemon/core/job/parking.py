"""Parking the head in a pause: lift it and perhaps move it aside, and later return it to exactly the same position.

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

TRAVEL_FEEDRATE = "F6000"  # mm/min
LIFT_FEEDRATE = "F600"
FILAMENT_FEEDRATE = "F2100"
MIN_MOVABLE = 160.0  # °C; the filament in a colder hotend cannot be moved
LIMIT_MARGIN = 3.0  # °C above the firmware's own limit: it has to accept both the retraction and its reversal


@frozen
class ParkedPosition:
    """The position at which a print paused, and what else to restore before it continues.

    Attributes:
        axes: X, Y, Z in mm, and E if reported; None: the head is not moved, because it must not be or because its
            position is unknown.
        modes: those in which the file's lines are read.
        retracted: mm of filament that were retracted.
        targets: those of the heaters that were on, in °C by heater.
    """

    axes: dict[str, float] | None
    modes: Modes
    retracted: float
    targets: dict[str, float]


def park(parked: ParkedPosition, config: PauseConfig, profile: ProfileConfig) -> list[str]:
    """Return the commands that move the head off the part and then restore the file's modes.

    So a script that follows finds the modes of the file, not those of the moves.
    """
    if parked.axes is None:
        return []
    top = profile.z_max_mm or profile.height_mm or math.inf  # 0: unknown
    lift = max(0.0, min(config.lift_mm, top - parked.axes["Z"]))
    commands = ["G91", "M83"]
    if parked.retracted:
        commands.append(f"G1 E-{parked.retracted:g} {FILAMENT_FEEDRATE}")
    if lift:
        commands.append(f"G1 Z{lift:g} {LIFT_FEEDRATE}")
    if config.park == "corner":
        commands += ["G90", f"G1 X{config.park_x_mm:g} Y{config.park_y_mm:g} {TRAVEL_FEEDRATE}"]
    return [*commands, *parked.modes.commands_to_restore_motion()]


def unpark(parked: ParkedPosition) -> list[str]:
    """Return the commands that move the head back (X and Y, then down, then the filament) and restore the modes."""
    if parked.axes is None:
        return parked.modes.commands_to_restore_all()
    at = parked.axes
    commands = ["G90", "M83", f"G1 X{at['X']:g} Y{at['Y']:g} {TRAVEL_FEEDRATE}", f"G1 Z{at['Z']:g} {LIFT_FEEDRATE}"]
    if parked.retracted:
        commands.append(f"G1 E{parked.retracted:g} {FILAMENT_FEEDRATE}")
    if "E" in at:  # retraction and return cancel out except for rounding
        commands.append(f"G92 E{at['E']:g}")
    return [*commands, *parked.modes.commands_to_restore_all()]


def can_move_filament(hotend: Reading, dialect: Dialect) -> bool:
    """Tell whether the firmware can move filament in this hotend, both now and at the target of the hotend."""
    minimum = max(MIN_MOVABLE, (dialect.heat.min_extrude or 0.0) + LIMIT_MARGIN)
    return min(hotend.actual, hotend.target or hotend.actual) > minimum


def plain_modes(modes: Modes) -> dict[str, Any]:
    """Return modes as JSON has them."""
    return asdict(modes) | {"feedrate": modes.feedrate.decode()}


def modes_of(plain: dict[str, Any]) -> Modes:
    """Return the modes that `plain_modes` of any version has returned; old versions returned no `m83`."""
    values = {"m83": plain["relative_e"]} | plain | {"feedrate": plain["feedrate"].encode()}
    return msgspec.convert(values, Modes, builtin_types=(bytes,))
