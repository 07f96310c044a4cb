"""Where material is laid, start code apart: what a slicer lays on the part has to be on the bed, a purge line need not.

Start code ends where the slicer's marks say that the first layer begins. Where there are none it ends at the last
command that belongs there (G28, a wait for heat, `G92 E0`, a start macro) with no more than some moves before it.
"""

import math

import numpy as np

from gcode.analysis.arrays import Floats, Ints
from gcode.analysis.machine import Machine
from gcode.analysis.totals import Extent, reach
from gcode.frozen import frozen

PURGE = 30
"""Moves that lay material before what may still be start code."""

_PRIMED = 12  # of them before a `G92 E0` that ends the priming; slicers write it between layers too

ROUNDING = 0.01
"""mm beyond the volume that are none."""

_MOST = 500  # commands of start code that are kept


@frozen
class Outside:
    """What is laid outside: the axis, from where to where it goes, and what is allowed, in mm."""

    axis: str
    low: float
    high: float
    least: float
    most: float


class _Area:
    """A box, and how far from the centre of a round bed."""

    def __init__(self, machine: Machine) -> None:
        self._centre = machine.centre if machine.radius is not None else None
        self._extent = Extent()
        self._far = 0.0  # squared

    def add(self, begins: Floats, ends: Floats, within: tuple[Floats, Floats] | None = None) -> None:
        """Take moves: where they begin and end (X, Y and Z are rows), and their reach, where that is known."""
        if not begins.shape[1]:
            return
        self._extent.add(*(within or reach(begins, ends)))
        if self._centre is not None:
            x, y = self._centre
            for places in (begins, ends):
                self._far = max(self._far, float(((places[0] - x) ** 2 + (places[1] - y) ** 2).max()))

    def outside(self, machine: Machine, below: float) -> list[Outside]:
        """Return by what it leaves the machine's volume; so much below the lowest Z is none."""
        box = self._extent.box
        if box is None:
            return []
        found = [
            Outside(axis, low, high, least, most)
            for axis, low, high, (least, most) in zip("XYZ", box.min, box.max, machine.volume, strict=True)
            if low < least - (below if axis == "Z" else ROUNDING) or high > most + ROUNDING
        ]
        radius = machine.radius
        if radius is not None and self._far > (radius + ROUNDING) ** 2:
            found.append(Outside("distance from the middle", 0.0, round(math.sqrt(self._far), 2), 0.0, radius))
        return found


class Whereabouts:
    """Follows the moves that lay material."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._layers, self._rest = _Area(machine), _Area(machine)
        self._marked = False
        self._first: list[tuple[int, Floats]] = []  # line and both ends of the first moves
        self._starts: list[int] = []  # lines

    def start_code(self, line: int, *, sure: bool) -> None:
        """This line has a command that belongs to start code, if that is not over; one that is not sure is `G92 E0`."""
        if len(self._first) < (PURGE if sure else _PRIMED) and len(self._starts) < _MOST:
            self._starts.append(line)

    def laid(self, begins: Floats, ends: Floats, within: tuple[Floats, Floats], line: Floats, layer: Ints) -> None:
        """Take moves that lay material.

        Args:
            begins: X, Y and Z (rows) at the start of each.
            ends: at its end.
            within: their reach.
            line: of each.
            layer: number of each by the slicer's marks, which only grows; 0 before the first.
        """
        if layer[-1] > 0:
            self._marked = True
            first = int(np.searchsorted(layer, 0, "right"))
            self._layers.add(begins[:, first:], ends[:, first:], None if first else within)
        elif not self._marked:
            kept = min(len(line), PURGE - len(self._first))
            for index in range(kept):
                self._first.append((int(line[index]), np.stack((begins[:, index], ends[:, index]), axis=1)))
            self._rest.add(begins[:, kept:], ends[:, kept:], None if kept else within)

    def outside(self, below: float) -> list[Outside]:
        """Return by what the part leaves the machine's volume; so much below the lowest Z is none."""
        if self._marked:
            return self._layers.outside(self._machine, below)
        until = self._first[-1][0] if len(self._first) == PURGE else math.inf
        start = max((line for line in self._starts if line < until), default=0)
        for line, places in self._first:
            if line > start:
                self._rest.add(places[:, :1], places[:, 1:])
        return self._rest.outside(self._machine, below)
