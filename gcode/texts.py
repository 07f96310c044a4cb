"""Numbers and spans of time in texts that programs write."""

import re

_MOST = 1e9
_LONGEST = 64  # characters of a number or a span

_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?(d|h|m|s)[a-z]*", re.IGNORECASE)
_CLOCK = re.compile(r"(\d{1,4}):(\d\d):(\d\d)$")
_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}


def number(text: str, factor: float = 1.0) -> float | None:
    """Return a number, times a factor; None if it is none, or out of all reason."""
    try:
        value = float(text[:_LONGEST]) * factor
    except ValueError:
        return None
    return value if abs(value) < _MOST else None  # and is no NaN


def span(text: str) -> float | None:
    """Return the seconds of `1d 2h 3m 4s`, `1 hour 2 minutes` or `1:02:03`; None if it says no time."""
    text = text[:_LONGEST].strip()
    if match := _CLOCK.match(text):
        hours, minutes, seconds = map(int, match.groups())
        return 3600.0 * hours + 60.0 * minutes + seconds
    parts = _SPAN.findall(text)
    return sum(float(value) * _SECONDS[unit.lower()] for value, unit in parts) if parts else None


def words_of(text: str) -> dict[str, float]:
    """Return the words of a macro, `ACCEL=3000 NAME=x`, that are numbers; their names in upper case."""
    pairs = (part.partition("=") for part in text.split())
    values = ((name.upper(), number(value)) for name, _, value in pairs)
    return {name: value for name, value in values if value is not None}
