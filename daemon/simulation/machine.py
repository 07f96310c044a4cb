"""Configures the simulated printer that a profile describes."""

from dataclasses import replace

from daemon.config import ProfileConfig
from daemon.front.analysis.file_analysis import machine
from gcode.analysis.machine import ANYWHERE, Range
from gcode.planner import MotionLimits
from hal.simulated.config import FirmwareConfig
from hal.simulated.heater import CHAMBER, HeaterConfig

FIRMWARES = {
    "marlin-1.0": "marlin1.0",
    "prusa-buddy": "marlin2.1",  # Buddy derives from Marlin 2.1
}
"""The simulator's names of firmwares that a profile names otherwise."""


def find_firmware(profile: ProfileConfig) -> str:
    """Return the name of the simulated firmware that is nearest to the profile's."""
    return FIRMWARES.get(profile.firmware, profile.firmware) or "marlin"


def configure_printer(profile: ProfileConfig, default: FirmwareConfig) -> FirmwareConfig:
    """Return a simulated printer with the profile's values; values that the profile lacks are those of `default`."""
    values = machine(profile)
    reach = zip(values.volume, default.lowest, default.volume, strict=True)
    (x_low, x), (y_low, y), (z_low, z) = (_reach(axis, low, high) for axis, low, high in reach)
    least = values.min_extrusion if profile.min_extrusion_c >= 0 else default.speech.reports.min_extrude
    return replace(
        default,
        lowest=(x_low, y_low, z_low),
        volume=(x, y, z),
        extruders=profile.extruders,
        shared_nozzle=profile.shared_nozzle,
        hotend=_allow_target(default.hotend, profile.max_hotend_c),
        bed=_allow_target(default.bed, profile.max_bed_c),
        chamber=CHAMBER if profile.heated_chamber else default.chamber,
        speech=replace(default.speech, reports=replace(default.speech.reports, min_extrude=least or 0.0)),
        limits=_limits(values.limits, default.limits) if profile.motion else default.limits,
    )


def _allow_target(default: HeaterConfig, target: float) -> HeaterConfig:
    """Return the heater with protections that allow this target."""
    limits = default.limits
    return replace(default, limits=replace(limits, maximum=max(limits.maximum, target + limits.overshoot)))


def add_size(profile: ProfileConfig, default: FirmwareConfig) -> ProfileConfig:
    """Return the profile; if it lacks a size, with that of the simulated printer."""
    if profile.has_size:
        return profile
    x, y, z = default.volume
    return replace(profile, width_mm=x, depth_mm=y, height_mm=z)


def _reach(axis: Range, low: float, high: float) -> Range:
    return (low, high) if axis == ANYWHERE else axis


def _limits(limits: MotionLimits, default: MotionLimits) -> MotionLimits:
    """Return the limits for the simulated planner, Marlin's: of Klipper's limits only speed and acceleration."""
    if not limits.square_corner:
        return limits
    top, rate = limits.feedrates[0], limits.printing
    return replace(
        default,
        feedrates=[top, top, *default.feedrates[2:]],
        accelerations=[rate, rate, *default.accelerations[2:]],
        printing=rate,
        travel=rate,
        retract=rate,
    )
