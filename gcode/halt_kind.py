"""Classifies the reason of a halt by its text, so that the user can be told what to do.

The texts are those of Marlin, Prusa-Firmware, Repetier, RepRapFirmware and Klipper (`tests/gcode/test_halt_kind.py`).
"""

_KINDS = (
    ("runaway", ("thermal runaway", "thermal_runaway", "temperature excursion")),
    ("not_heating", ("heating failed", "preheat error", "not heating at expected rate")),
    ("too_cold", ("mintemp", "min temp")),
    ("too_hot", ("maxtemp", "max temp")),
    ("sensor", ("adc out of range", "no thermistors", "adc error", "thermistor", "sensor open circuit")),
    ("homing", ("homing failed", "endstop", "no trigger on", "probing failed", "failed to home")),
)  # fmt: skip


def halt_kind(text: str) -> str | None:
    """Return the kind of halt that a text of the firmware reports; None: the kind is unknown."""
    lowered = text.lower()
    return next((kind for kind, words in _KINDS if any(word in lowered for word in words)), None)
