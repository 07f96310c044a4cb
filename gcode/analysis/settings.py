"""Limits of motion and filament as a slicer writes them into its settings (PrusaSlicer and its kin)."""

import re
from collections.abc import Mapping

from gcode.planner import AXES, MotionLimits
from gcode.texts import number

TAIL = 128 * 1024  # bytes at a file's end, or its beginning, that hold the settings

_KLIPPER = re.compile(
    rb"^(?:; gcode_flavor = klipper\b|_?(?:PRINT_START|START_PRINT)\b|SET_VELOCITY_LIMIT\b|SET_PRESSURE_ADVANCE\b"
    rb"|EXCLUDE_OBJECT_DEFINE\b|BED_MESH_|TIMELAPSE_TAKE_FRAME\b)",
    re.MULTILINE,
)
_LIMIT = re.compile(rb"^; (machine_(?:max|min)_\w+) = (.*?)\r?$", re.MULTILINE)


def is_for_klipper(text: bytes) -> bool:
    """Tell whether a piece of a file is meant for Klipper: it says so, or has commands that nobody else has."""
    return _KLIPPER.search(text) is not None


def limits_from_tail(tail: bytes, base: MotionLimits) -> MotionLimits | None:
    """Return the limits that the slicer assumed, as a piece of its file tells them; None where it does not.

    Args:
        tail: the last TAIL bytes of the file, or the first ones.
        base: for what is not told.
    """
    found = {name.decode(): value.decode("ascii", "replace") for name, value in _LIMIT.findall(tail)}
    if not any(name.startswith("machine_max_acceleration") for name in found):
        return None
    return limits_from(found, base)


def limits_from(settings: Mapping[str, str], base: MotionLimits) -> MotionLimits:
    """Return the limits among the settings; the first of several values is that of the normal mode."""

    def given(name: str, default: float, *, zero: bool = False) -> float:
        # Orca and its kin call a feedrate a speed
        told = settings.get(f"machine_{name}") or settings.get(f"machine_{name}".replace("_feedrate_", "_speed_"), "")
        value = number(told.split(",")[0])
        return value if value is not None and (value > 0 or (zero and value == 0)) else default

    def axes(name: str, default: list[float]) -> list[float]:
        return [given(f"{name}_{axis.lower()}", most) for axis, most in zip(AXES, default, strict=True)]

    printing = given("max_acceleration_extruding", base.printing)
    return MotionLimits(
        feedrates=axes("max_feedrate", base.feedrates),
        accelerations=axes("max_acceleration", base.accelerations),
        printing=printing,
        retract=given("max_acceleration_retracting", base.retract),
        travel=given("max_acceleration_travel", printing),
        jerk=axes("max_jerk", base.jerk),
        junction_deviation=given("max_junction_deviation", base.junction_deviation),
        classic_jerk=given("max_junction_deviation", 0.0) == 0.0,
        min_feedrate=given("min_extruding_rate", base.min_feedrate, zero=True),
        min_travel_feedrate=given("min_travel_rate", base.min_travel_feedrate, zero=True),
    )


def filament_diameters(settings: Mapping[str, str]) -> list[float]:
    """Return the diameter of each tool's filament, in mm, as far as it is told."""
    values = [number(each) for each in settings.get("filament_diameter", "").split(",")]
    return [each for each in values if each is not None and 0.1 < each < 10.0]  # noqa: PLR2004 - mm, what there is
