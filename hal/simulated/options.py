"""What an address or the command line chooses about a simulated printer, made into its configuration."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from gcode.frozen import frozen
from hal.registry import positive_float, positive_int
from hal.simulated.config import FirmwareConfig
from hal.simulated.heater import HeaterConfig
from hal.simulated.scenario import Fault, Scenario

TOUCH_SCREEN_AT = 10.0
"""Seconds after power-on at which the print of a touch screen begins."""

_YES_OR_NO = {"yes": True, "no": False}


@frozen
class AddressOption:
    """One choice: how its text is read, what may stand there, what it means, and what becomes of the configuration."""

    read: Callable[[str], object]
    allowed: str
    meaning: str
    apply: Callable[[FirmwareConfig, object], FirmwareConfig]


def configured(config: FirmwareConfig, chosen: Mapping[str, object]) -> FirmwareConfig:
    """Return the configuration with these of `OPTIONS` applied."""
    for name, value in chosen.items():
        config = OPTIONS[name].apply(config, value)
    return config


def yes_or_no(text: str) -> bool:
    """Return what it says; else ValueError."""
    if text not in _YES_OR_NO:
        raise ValueError(f"{text!r} is neither yes nor no")
    return _YES_OR_NO[text]


def milliseconds(text: str) -> float:
    """Return the seconds in as many milliseconds, 0 or more; else ValueError."""
    return 0.0 if text.strip("0.") == "" else positive_float(text) / 1000


def _clamped(heater: HeaterConfig, highest: object) -> HeaterConfig:
    limits = heater.limits
    return replace(heater, limits=replace(limits, maximum=float(str(highest)) + limits.overshoot))


def _visited(config: FirmwareConfig, seconds: object) -> FirmwareConfig:
    visit = Fault("touch_print", time=TOUCH_SCREEN_AT, seconds=float(str(seconds)))
    return replace(config, scenario=Scenario((*config.scenario.faults, visit)))


OPTIONS = {
    "latency": AddressOption(
        milliseconds,
        "milliseconds, 0 or more",
        "of the line, there and back",
        lambda config, value: replace(config, latency=float(str(value)) / 2),
    ),
    "hotend_max": AddressOption(
        positive_float,
        "°C above 0",
        "the highest target that a hotend takes; it reports a higher one as this",
        lambda config, value: replace(config, hotend=_clamped(config.hotend, value)),
    ),
    "bed_max": AddressOption(
        positive_float,
        "°C above 0",
        "the same of the bed",
        lambda config, value: replace(config, bed=_clamped(config.bed, value)),
    ),
    "whole_degrees": AddressOption(
        yes_or_no,
        "yes or no",
        "targets and reports are whole degrees",
        lambda config, value: replace(config, whole_degrees=bool(value)),
    ),
    "extruders": AddressOption(
        positive_int,
        "a whole number above 0",
        "how many tools it has",
        lambda config, value: replace(config, extruders=int(str(value))),
    ),
    "shared_nozzle": AddressOption(
        yes_or_no,
        "yes or no",
        "the tools share one hotend, the only one in reports",
        lambda config, value: replace(config, shared_nozzle=bool(value)),
    ),
    "touch_screen": AddressOption(
        positive_float,
        "seconds above 0",
        "for so long a touch screen prints by a port of its own; this port sees the temperatures only",
        _visited,
    ),
}
