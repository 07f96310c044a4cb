"""Classifies the reason of a halt by its text, so that the user can be told what to do.

The texts are those of Marlin, Prusa-Firmware, Repetier, RepRapFirmware and Klipper (`tests/gcode/test_halt_kind.py`).
"""

from typing import Literal

HeaterFault = Literal["runaway", "not_heating", "too_cold", "too_hot", "sensor"]
"""Kinds of halt that report a fault of a heater or of its sensor."""

HaltKind = Literal[HeaterFault, "homing"]

_KINDS: tuple[tuple[HaltKind, tuple[str, ...]], ...] = (
    ("runaway", ("thermal runaway", "thermal_runaway", "temperature excursion")),
    ("not_heating", ("heating failed", "preheat error", "not heating at expected rate")),
    ("too_cold", ("mintemp", "min temp")),
    ("too_hot", ("maxtemp", "max temp")),
    ("sensor", ("adc out of range", "no thermistors", "adc error", "thermistor", "sensor open circuit")),
    ("homing", ("homing failed", "endstop", "no trigger on", "probing failed", "failed to home")),
)  # fmt: skip


def halt_kind(text: str) -> HaltKind | None:
    """Return the kind of halt that a text of the firmware reports; None: the kind is unknown."""
    lowered = text.lower()
    return next((kind for kind, words in _KINDS if any(word in lowered for word in words)), None)
