"""Reads the fields of a reply line: temperatures, axes, `KEY:value`. An unreadable field is skipped.

A field may stand anywhere in its line. No pattern scans the same characters more than a few times, whatever the line:
blanks and digits are matched possessively, and a field cannot begin inside another.
"""

import re

from gcode.frozen import frozen


@frozen
class Reading:
    """Temperature and target of one sensor in °C; `target` is None if the report has none that is plausible."""

    actual: float
    target: float | None = None


COLDEST, HOTTEST = -300.0, 1500.0
"""Plausible °C of a sensor: a loose one reads about -15 or -50, a damaged digit gives more than any printer reaches."""

Heaters = dict[str, Reading]
"""Readings by canonical name: `tool0`, `tool1`, …, `bed`, `chamber`, and the firmware's letter for other sensors."""

_NUMBER = r"[+-]?\d{1,7}+(?>(?:\.\d{1,9}+)?)(?![\d.])"  # a number that ends in a point has lost digits
_NAME_START = r"(?<![A-Za-z0-9@_])"  # excludes what cannot stand before a field's name
_WHOLE = r"(?![A-Z]|\s*+/(?!\s*+[+-]?(?i:nan|inf)))"  # excludes a field that has lost characters
_HEATER = re.compile(rf"{_NAME_START}([A-Z]\d{{0,2}}+)\s*+:\s*+({_NUMBER})(?>(?:\s*+/\s*+({_NUMBER}))?){_WHOLE}")
_AXIS = re.compile(rf"(?<![A-Za-z])([XYZABCUVW]|E\d?+)\s*+:\s*+({_NUMBER})")
_ANY_VALUE = r"(?:[+-]?\d|[+-]?(?i:nan|inf)\b)"
_REPORT = re.compile(rf"[^\w/!:<({{\[\"']*+[A-Z]\d{{0,2}}+\s*+:\s*+{_ANY_VALUE}")
_TOOL_OR_BED = re.compile(rf"{_NAME_START}(?:T\d{{0,2}}+|B)\s*+:\s*+{_ANY_VALUE}")
_WITH_TARGET = re.compile(rf"{_NAME_START}T\d{{0,2}}+\s*+:\s*+{_NUMBER}\s*+/\s*+\d")
_PAIR = re.compile(rf"({_NUMBER})\s*+/\s*+({_NUMBER})")
_UNNAMED = re.compile(  # RepRapFirmware 1: `T:195.0 /195.0 188.6 /190.0 B:60.0 /60.0`
    rf"{_NAME_START}T\s*+:\s*+{_NUMBER}\s*+/\s*+{_NUMBER}((?>(?:\s++{_NUMBER}\s*+/\s*+{_NUMBER}){{1,8}}))"
)
_ODD = ("TT::", "BB::", "OO", "OT")
_DOUBLED = re.compile(r"([^\d.-])\1|(-?\d{1,4}(?:\.\d{1,2})?)\2(?![\d.])")
_NO_REPORT = ("echo:", "//", "Error", "!!")
_WAITING = re.compile(rf"{_NAME_START}[WE]\s*+:")
_POSITION = re.compile(rf"(?>(?:(?:C|WCS):\s*+)?)X\s*+:\s*+{_ANY_VALUE}")
_Y = re.compile(r"(?<![A-Za-z])Y\s*+:")
_KEY = re.compile(r"(?:\A|(?<=\s))([A-Z][A-Z0-9_-]*+):")
# Control characters, line separators of Unicode, and characters that change the direction of a text.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def decode(raw: bytes) -> str:
    """Return untrusted bytes as printable text: no control characters, no terminal escapes."""
    text = raw.decode("utf-8", "replace")
    return text if text.isascii() and text.isprintable() else _UNPRINTABLE.sub("", text)


def mend(text: str) -> str:
    """Return a report without the damage that some firmwares are known to do to their reports."""
    if not text.startswith(_ODD):
        return text
    if text[0] == "O":  # Prusa's MMU, now and then: `OOOOT:199.8 /200.0`
        return text.lstrip("O")
    return _DOUBLED.sub(lambda match: match[1] or match[2], text)  # Creality's M155: `TT::22.1922.19  //0.000.00`


def has_temperatures(text: str) -> bool:
    """Tell whether the line has a temperature of a tool or the bed, readable or not."""
    return _TOOL_OR_BED.search(text) is not None


def is_report(text: str) -> bool:
    """Tell whether a line without an `ok` is a temperature report.

    A report begins with a field, perhaps after other signs (`==T:32.3 /0.0`), or has a tool with its target somewhere.
    Echoes, comments and errors are no reports.
    """
    if _REPORT.match(text):
        return has_temperatures(text) and not is_position(text)  # B may be an axis
    return "/" in text and _WITH_TARGET.search(text) is not None and not text.startswith(_NO_REPORT)


def is_waiting(text: str) -> bool:
    """Tell whether a report comes from a wait for heat: with `W:`, a countdown, or `E:`, the tool in older firmware."""
    return _WAITING.search(text) is not None


def is_position(text: str) -> bool:
    """Tell whether a line is an answer to M114; Smoothieware has `C:` or `WCS:` before X."""
    return _POSITION.match(text) is not None and _Y.search(text) is not None


def axes(text: str) -> dict[str, float]:
    """Return the readable axes of an answer to M114, without the stepper counts after `Count`."""
    return {axis: float(value) for axis, value in _AXIS.findall(text.partition("Count")[0])}


def heaters(text: str) -> Heaters:
    """Return the readings of a temperature report by canonical name.

    `T` is the active tool. It is ignored if `T0` is there too, and is tool 0 otherwise (Marlin, Repetier: `T T0 T1`;
    Smoothieware: `T T1`; RepRapFirmware 1 names no other tool). `W` and `E` of M109 are no sensors.
    """
    readings = {name: reading for name, actual, target in _HEATER.findall(text)
                if name not in ("W", "E") and (reading := _reading(actual, target))}  # fmt: skip
    if "T" in readings and (match := _UNNAMED.search(text)):
        readings |= {f"T{number}": reading for number, (actual, target) in enumerate(_PAIR.findall(match[1]), 1)
                     if (reading := _reading(actual, target))}  # fmt: skip
    active = readings.pop("T", None)
    if active is not None and "T0" not in readings:
        readings = {"T0": active, **readings}
    return {canonical_name(name): reading for name, reading in readings.items()}


def _reading(actual: str, target: str) -> Reading | None:
    """Return a reading, without an implausible target; None: the temperature is implausible."""
    temperature, aim = float(actual), float(target or -1)
    return Reading(temperature, aim if 0 <= aim <= HOTTEST else None) if COLDEST <= temperature <= HOTTEST else None


def canonical_name(name: str) -> str:
    """Return the canonical name for a firmware's name of a sensor."""
    if name[0] == "T":
        return f"tool{name[1:]}"
    if name.startswith("Extr"):
        return f"tool{name[4:]}"
    return {"B": "bed", "Bed": "bed", "C": "chamber"}.get(name, name)


def info(text: str) -> dict[str, str]:
    """Return the values of `KEY:value KEY:value …` by key; a value may contain blanks."""
    keys = list(_KEY.finditer(text))
    ends = [*(match.start() for match in keys[1:]), len(text)]
    # a damaged line may hold no key at all, and then one end too many
    return {match[1]: text[match.end() : end].strip(" \t,") for match, end in zip(keys, ends, strict=False)}
