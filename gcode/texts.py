"""Numbers and durations in texts that slicers and firmware write."""

import re

_MAX_NUMBER = 1e9
_MAX_SIZE = 64  # characters of a number or a duration

_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?(d|h|m|s)[a-z]*", re.IGNORECASE)
_CLOCK = re.compile(r"(\d{1,4}):(\d\d):(\d\d)$")
_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}


def number(text: str, factor: float = 1.0) -> float | None:
    """Return a text as a number, times a factor; None: it is no number, or the product is unreasonably large."""
    try:
        value = float(text[:_MAX_SIZE]) * factor
    except ValueError:
        return None
    return value if abs(value) < _MAX_NUMBER else None  # no comparison with NaN is true, so NaN gives None


def seconds_of(text: str) -> float | None:
    """Return the seconds of `1d 2h 3m 4s`, `1 hour 2 minutes` or `1:02:03`; None: it is no duration."""
    text = text[:_MAX_SIZE].strip()
    if match := _CLOCK.match(text):
        hours, minutes, seconds = map(int, match.groups())
        return 3600.0 * hours + 60.0 * minutes + seconds
    parts = _SPAN.findall(text)
    return sum(float(value) * _SECONDS[unit.lower()] for value, unit in parts) if parts else None


def words_of(text: str) -> dict[str, float]:
    """Return the numeric parameters of a macro, such as `ACCEL=3000 NAME=x`, by name in upper case."""
    pairs = (part.partition("=") for part in text.split())
    values = ((name.upper(), number(value)) for name, _, value in pairs)
    return {name: value for name, value in values if value is not None}
