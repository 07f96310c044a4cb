"""The options of a simulated printer that both its address and the command line have."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from gcode.frozen import frozen
from hal.registry import positive_float, positive_int, yes_or_no
from hal.simulated.config import FirmwareConfig
from hal.simulated.heater import HeaterConfig
from hal.simulated.scenario import Fault, Scenario

TOUCH_SCREEN_DELAY = 10.0
"""Seconds after power-on at which the print of a touch screen begins."""


@frozen
class AddressOption:
    """An option of the address and of the command line.

    Attributes:
        read: converts its text to a value, or raises ValueError.
        allowed: the allowed texts, for error messages.
        meaning: for `--help`.
        apply: returns the configuration with the value.
    """

    read: Callable[[str], Any]
    allowed: str
    meaning: str
    apply: Callable[[FirmwareConfig, Any], FirmwareConfig]


def apply_options(config: FirmwareConfig, values: Mapping[str, object]) -> FirmwareConfig:
    """Return the configuration with these values of `OPTIONS`; a value of None changes nothing."""
    for name, value in values.items():
        if value is not None:
            config = OPTIONS[name].apply(config, value)
    return config


def milliseconds(text: str) -> float:
    """Convert a number of milliseconds, 0 or more, to seconds, or raise ValueError."""
    return 0.0 if float(text) == 0 else positive_float(text) / 1000


def _limit_target(heater: HeaterConfig, highest: float) -> HeaterConfig:
    limits = heater.limits
    return replace(heater, limits=replace(limits, maximum=highest + limits.overshoot))


def _add_touch_screen(config: FirmwareConfig, seconds: float) -> FirmwareConfig:
    fault = Fault("touch_print", time=TOUCH_SCREEN_DELAY, seconds=seconds)
    return replace(config, scenario=Scenario((*config.scenario.faults, fault)))


OPTIONS = {
    "latency": AddressOption(
        milliseconds,
        "milliseconds, 0 or more",
        "the round-trip time of the connection",
        lambda config, seconds: replace(config, latency=seconds / 2),
    ),
    "hotend_max": AddressOption(
        positive_float,
        "°C above 0",
        "the highest target of a hotend; a higher one is reduced to it",
        lambda config, highest: replace(config, hotend=_limit_target(config.hotend, highest)),
    ),
    "bed_max": AddressOption(
        positive_float,
        "°C above 0",
        "the highest target of the bed; a higher one is reduced to it",
        lambda config, highest: replace(config, bed=_limit_target(config.bed, highest)),
    ),
    "whole_degrees": AddressOption(
        yes_or_no,
        "yes or no",
        "targets and reports are whole degrees",
        lambda config, whole: replace(config, whole_degrees=whole),
    ),
    "extruders": AddressOption(
        positive_int,
        "a whole number above 0",
        "the number of tools",
        lambda config, count: replace(config, extruders=count),
    ),
    "shared_nozzle": AddressOption(
        yes_or_no,
        "yes or no",
        "all tools share one hotend, the only one in reports",
        lambda config, shared: replace(config, shared_nozzle=shared),
    ),
    "touch_screen": AddressOption(
        positive_float,
        "seconds above 0",
        "a touch screen prints for this time over its own port; this port shows only the temperatures",
        _add_touch_screen,
    ),
}
