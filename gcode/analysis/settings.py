"""Reads motion limits and filament from the settings that PrusaSlicer and its descendants write into a file."""

import re
from collections.abc import Mapping

from gcode.planner import AXES, MotionLimits, plausible_limit
from gcode.texts import number

PART_SIZE = 128 * 1024  # bytes at the end or the beginning of a file that have the settings in them

_KLIPPER = re.compile(
    rb"^(?:; gcode_flavor = klipper\b|_?(?:PRINT_START|START_PRINT)\b|SET_VELOCITY_LIMIT\b|SET_PRESSURE_ADVANCE\b"
    rb"|EXCLUDE_OBJECT_DEFINE\b|BED_MESH_|TIMELAPSE_TAKE_FRAME\b)",
    re.MULTILINE,
)
_LIMIT = re.compile(rb"^; (machine_(?:max|min)_\w+) = (.*?)\r?$", re.MULTILINE)


def is_for_klipper(text: bytes) -> bool:
    """Tell whether a part of a file is for Klipper: it says so, or has commands that only Klipper knows."""
    return _KLIPPER.search(text) is not None


def limits_from_part(part: bytes, base: MotionLimits) -> MotionLimits | None:
    """Return the limits that the slicer assumed, from a part of its file; None: that part has none.

    Args:
        part: the last PART_SIZE bytes of the file, or the first ones.
        base: limits for missing settings.
    """
    settings = {name.decode(): value.decode("ascii", "replace") for name, value in _LIMIT.findall(part)}
    if not any(name.startswith("machine_max_acceleration") for name in settings):
        return None
    return limits_from_settings(settings, base)


def limits_from_settings(settings: Mapping[str, str], base: MotionLimits) -> MotionLimits:
    """Return the limits in the settings. Of several values, the first is for the normal mode, and counts."""

    def limit(name: str, default: float, *, zero: bool = False) -> float:
        # OrcaSlicer and its relatives call a feedrate a speed
        text = settings.get(f"machine_{name}") or settings.get(f"machine_{name}".replace("_feedrate_", "_speed_"), "")
        value = number(text.split(",")[0])
        return value if value is not None and (plausible_limit(value) or (zero and value == 0)) else default

    def axes(name: str, default: list[float]) -> list[float]:
        return [limit(f"{name}_{axis.lower()}", each) for axis, each in zip(AXES, default, strict=True)]

    printing = limit("max_acceleration_extruding", base.printing)
    return MotionLimits(
        feedrates=axes("max_feedrate", base.feedrates),
        accelerations=axes("max_acceleration", base.accelerations),
        printing=printing,
        retract=limit("max_acceleration_retracting", base.retract),
        travel=limit("max_acceleration_travel", printing),
        jerk=axes("max_jerk", base.jerk),
        junction_deviation=limit("max_junction_deviation", base.junction_deviation),
        classic_jerk=limit("max_junction_deviation", 0.0) == 0.0,
        min_feedrate=limit("min_extruding_rate", base.min_feedrate, zero=True),
        min_travel_feedrate=limit("min_travel_rate", base.min_travel_feedrate, zero=True),
    )


def filament_diameters(settings: Mapping[str, str]) -> list[float | None]:
    """Return the diameter of each tool's filament, in mm, from the settings; None: the file has no plausible one."""
    values = [number(each) for each in settings.get("filament_diameter", "").split(",")]
    return [each if each is not None and 0.1 < each < 10.0 else None for each in values]  # noqa: PLR2004 - mm
