"""Leaving a print for a while and coming back to the very place: lift, perhaps move aside, and the way back.

Pure: positions in, commands out. All positions are mm, as M114 told them.
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
SOFT = 160.0  # °C; a hotend colder than that holds filament that cannot be moved
NEAR = 3.0  # °C above the firmware's own limit: one retraction that is made and one that is refused are a blob or a gap


@frozen
class ParkedPlace:
    """Where a print was left, and how it is gone back to.

    Attributes:
        axes: X, Y, Z in mm, and E where it is told; None where nothing is to be moved: not wanted, or the firmware
            does not tell.
        modes: how lines were read.
        retracted: mm of filament pulled back.
        targets: °C by heater name, of the heaters that were on.
    """

    axes: dict[str, float] | None
    modes: Modes
    retracted: float
    targets: dict[str, float]


def park(rest: ParkedPlace, config: PauseConfig, profile: ProfileConfig) -> list[str]:
    """Return the commands that leave the part alone, and then read lines as the file did.

    Whatever follows, a script or another job, finds the file's modes, not those of our moves.
    """
    if rest.axes is None:
        return []
    top = profile.z_max_mm or profile.height_mm or math.inf  # 0: nobody knows
    lift = max(0.0, min(config.lift_mm, top - rest.axes["Z"]))
    commands = ["G91", "M83"]
    if rest.retracted:
        commands.append(f"G1 E-{rest.retracted:g} {EXTRUDE}")
    if lift:
        commands.append(f"G1 Z{lift:g} {LIFT}")
    if config.park == "corner":
        commands += ["G90", f"G1 X{config.park_x_mm:g} Y{config.park_y_mm:g} {TRAVEL}"]
    return [*commands, *rest.modes.restore()]


def unpark(rest: ParkedPlace) -> list[str]:
    """Return the commands that go back and restore every mode: XY first, then down, then the filament."""
    if rest.axes is None:
        return rest.modes.restore_all()
    at = rest.axes
    commands = ["G90", "M83", f"G1 X{at['X']:g} Y{at['Y']:g} {TRAVEL}", f"G1 Z{at['Z']:g} {LIFT}"]
    if rest.retracted:
        commands.append(f"G1 E{rest.retracted:g} {EXTRUDE}")
    if "E" in at:  # it has come back by as much as it went, but for rounding
        commands.append(f"G92 E{at['E']:g}")
    return [*commands, *rest.modes.restore_all()]


def is_soft(hotend: Reading, dialect: Dialect) -> bool:
    """Tell whether the firmware extrudes with this hotend, now and when it has come back to its target."""
    least = max(SOFT, (dialect.heat.min_extrude or 0.0) + NEAR)
    return min(hotend.actual, hotend.target or hotend.actual) > least


def plain_modes(modes: Modes) -> dict[str, Any]:
    """Return modes as JSON has them."""
    return asdict(modes) | {"feedrate": modes.feedrate.decode()}


def modes_of(plain: dict[str, Any]) -> Modes:
    """Return the modes that `plain_modes` took apart, in whichever version; before 0.2 they had no m83."""
    known = {"m83": plain["relative_e"]} | plain | {"feedrate": plain["feedrate"].encode()}
    return msgspec.convert(known, Modes, builtin_types=(bytes,))
