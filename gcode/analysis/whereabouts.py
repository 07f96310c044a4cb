"""Follows where a file extrudes after its start code: the part has to be on the bed, but a purge line need not be.

Start code ends with the slicer's mark of the first layer. Without marks it ends with its last typical command (G28, a
wait for heat, `G92 E0`, a start macro) that has only a few moves before it.
"""

import math

import numpy as np

from gcode.analysis.arrays import Floats, Ints
from gcode.analysis.machine import Machine
from gcode.analysis.totals import Extent, reach
from gcode.frozen import frozen

PURGE = 30
"""Printing moves that may come before a command of start code."""

_PRIMED = 12  # printing moves that may come before a `G92 E0` of start code; slicers write it between layers too

ROUNDING = 0.01
"""mm outside the volume that still count as inside."""

_MAX_STARTS = 500  # commands of start code that are remembered


@frozen
class Overrun:
    """An axis on which the part leaves the volume, with the part's range and the allowed range, in mm."""

    axis: str
    low: float
    high: float
    least: float
    most: float


class _Area:
    """A box, and the maximum distance from the centre of a round bed."""

    def __init__(self, machine: Machine) -> None:
        self._centre = machine.centre if machine.radius is not None else None
        self._extent = Extent()
        self._far = 0.0  # squared

    def add(self, begins: Floats, ends: Floats, box: tuple[Floats, Floats] | None = None) -> None:
        """Take the starts and ends of moves (X, Y and Z are rows), and their lowest and highest positions, if known."""
        if not begins.shape[1]:
            return
        self._extent.add(*(box or reach(begins, ends)))
        if self._centre is not None:
            x, y = self._centre
            for positions in (begins, ends):
                self._far = max(self._far, float(((positions[0] - x) ** 2 + (positions[1] - y) ** 2).max()))

    def find_overruns(self, machine: Machine, max_pressed: float) -> list[Overrun]:
        """Return the axes that leave the printer's volume; Z may be `max_pressed` mm lower."""
        box = self._extent.box
        if box is None:
            return []
        outside = [
            Overrun(axis, low, high, least, most)
            for axis, low, high, (least, most) in zip("XYZ", box.min, box.max, machine.volume, strict=True)
            if low < least - (max_pressed if axis == "Z" else ROUNDING) or high > most + ROUNDING
        ]
        radius = machine.radius
        if radius is not None and self._far > (radius + ROUNDING) ** 2:
            outside.append(Overrun("distance from the middle", 0.0, round(math.sqrt(self._far), 2), 0.0, radius))
        return outside


class Whereabouts:
    """Follows the printing moves, and tells where they leave the printer's volume."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._layers, self._others = _Area(machine), _Area(machine)
        self._has_marks = False
        self._first: list[tuple[int, Floats]] = []  # line and both ends of the first moves
        self._starts: list[int] = []  # lines

    def note_start_code(self, line: int, *, sure: bool) -> None:
        """Note a line that may belong to start code; only `G92 E0` is not `sure`."""
        if len(self._first) < (PURGE if sure else _PRIMED) and len(self._starts) < _MAX_STARTS:
            self._starts.append(line)

    def add(self, begins: Floats, ends: Floats, box: tuple[Floats, Floats], line: Floats, layer: Ints) -> None:
        """Take printing moves.

        Args:
            begins: X, Y and Z (rows) at the start of each.
            ends: the same at the end of each.
            box: their lowest and highest positions.
            line: number of the line of each.
            layer: number of the layer of each by the slicer's marks, never decreasing; 0 before the first.
        """
        if layer[-1] > 0:
            self._has_marks = True
            first = int(np.searchsorted(layer, 0, "right"))
            self._layers.add(begins[:, first:], ends[:, first:], None if first else box)
        elif not self._has_marks:
            count = min(len(line), PURGE - len(self._first))
            for index in range(count):
                self._first.append((int(line[index]), np.stack((begins[:, index], ends[:, index]), axis=1)))
            self._others.add(begins[:, count:], ends[:, count:], None if count else box)

    def find_overruns(self, max_pressed: float) -> list[Overrun]:
        """Return the axes on which the part leaves the printer's volume; Z may be `max_pressed` mm lower."""
        if self._has_marks:
            return self._layers.find_overruns(self._machine, max_pressed)
        until = self._first[-1][0] if len(self._first) == PURGE else math.inf
        start = max((line for line in self._starts if line < until), default=0)
        for line, positions in self._first:
            if line > start:
                self._others.add(positions[:, :1], positions[:, 1:])
        return self._others.find_overruns(self._machine, max_pressed)
