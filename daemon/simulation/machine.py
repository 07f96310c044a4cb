"""Makes the simulated printer that a profile describes."""

from dataclasses import replace

from daemon.config import ProfileConfig
from daemon.front.analysis.file_analysis import machine
from gcode.analysis.machine import ANYWHERE, Range
from gcode.planner import MotionLimits
from hal.simulated.config import FirmwareConfig
from hal.simulated.heater import CHAMBER, HeaterConfig

FIRMWARES = {
    "marlin-1.0": "marlin1.0",
    "prusa-buddy": "marlin2.1",  # it derives from that
}
"""The simulator's names of firmwares, where they differ from the profile's."""


def firmware_name(profile: ProfileConfig) -> str:
    """Return the name of the simulated firmware that is nearest to the profile's."""
    return FIRMWARES.get(profile.firmware, profile.firmware) or "marlin"


def simulated_printer(profile: ProfileConfig, built: FirmwareConfig) -> FirmwareConfig:
    """Return the simulated printer with the profile's values; what the profile does not say stays as `built`."""
    values = machine(profile)
    reach = [_reach(axis, low, high) for axis, low, high in zip(values.volume, built.lowest, built.volume, strict=True)]
    (x_low, x), (y_low, y), (z_low, z) = reach
    least = values.min_extrusion if profile.min_extrusion_c >= 0 else built.speech.reports.min_extrude
    return replace(
        built,
        lowest=(x_low, y_low, z_low),
        volume=(x, y, z),
        extruders=profile.extruders,
        shared_nozzle=profile.shared_nozzle,
        hotend=_hotter(built.hotend, profile.max_hotend_c),
        bed=_hotter(built.bed, profile.max_bed_c),
        chamber=CHAMBER if profile.heated_chamber else built.chamber,
        speech=replace(built.speech, reports=replace(built.speech.reports, min_extrude=least or 0.0)),
        limits=_limits(values.limits, built.limits) if profile.motion else built.limits,
    )


def _hotter(built: HeaterConfig, target: float) -> HeaterConfig:
    """Return the heater with protections that allow this target."""
    limits = built.limits
    return replace(built, limits=replace(limits, maximum=max(limits.maximum, target + limits.overshoot)))


def sized(profile: ProfileConfig, built: FirmwareConfig) -> ProfileConfig:
    """Return the profile, with the simulated printer's size if it has none."""
    if profile.sized:
        return profile
    x, y, z = built.volume
    return replace(profile, width_mm=x, depth_mm=y, height_mm=z)


def _reach(axis: Range, low: float, high: float) -> Range:
    return (low, high) if axis == ANYWHERE else axis


def _limits(limits: MotionLimits, built: MotionLimits) -> MotionLimits:
    """Return the limits for the simulated planner, which is Marlin's: of Klipper's, speed and acceleration."""
    if not limits.square_corner:
        return limits
    top, rate = limits.feedrates[0], limits.printing
    return replace(
        built,
        feedrates=[top, top, *built.feedrates[2:]],
        accelerations=[rate, rate, *built.accelerations[2:]],
        printing=rate,
        travel=rate,
        retract=rate,
    )
