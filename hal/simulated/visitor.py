"""Visitor: a host at another port of the printer, such as a touch screen that prints; our port shows only its heat."""

from collections.abc import Iterator
from itertools import count

_HOTEND, _BED = 210, 60  # °C
_SIDE, _FEEDRATE = 60, 1800  # mm, mm/min: two seconds for a side of the square
_TOP = 150.0  # mm
_END = ("M104 S0", "M140 S0", "G28 X", "M84")


def _print() -> Iterator[str]:
    yield from (f"M140 S{_BED}", f"M104 S{_HOTEND}", "G28", "G90", "M83", f"M109 S{_HOTEND}")
    for layer in count(1):
        yield f"G1 Z{min(layer * 0.2, _TOP):.2f} F600"
        for x, y in ((_SIDE, 0), (_SIDE, _SIDE), (0, _SIDE), (0, 0)):
            yield f"G1 X{x + 50} Y{y + 50} E2 F{_FEEDRATE}"


class Visitor:
    """A print that lasts until `ends_at`, and then turns heaters and motors off."""

    def __init__(self, ends_at: float) -> None:
        self._ends_at = ends_at
        self._print, self._end = _print(), iter(_END)

    def next_line(self, now: float) -> str | None:
        """Return the next command; None: the print is over."""
        return next(self._print if now < self._ends_at else self._end, None)
