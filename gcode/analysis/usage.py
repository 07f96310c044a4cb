"""Usage: the filament that a tool has used up to each offset in the file."""

import numpy as np

from gcode.analysis.arrays import Floats
from gcode.analysis.timeline import one_each_tick

MAX_POINTS = 512  # for a tool: its filament is known to within 1/256 of the total


class Usage:
    """Adds up the filament of one tool. A retraction counts negative, and the highest sum so far is what was used."""

    def __init__(self) -> None:
        self.length = 0.0  # mm used
        self._extruded = 0.0  # mm extruded, less retractions
        self._points: list[tuple[int, float]] = []
        self._tick = 1.0  # mm between two points
        self._last = 0  # offset of the last move

    def add(self, lengths: Floats, offset: Floats) -> None:
        """Take moves in the order of the file: filament of each in mm, and offset of its line."""
        if not len(lengths):
            return
        extruded = np.cumsum(lengths) + self._extruded
        used = np.maximum(np.maximum.accumulate(extruded), self.length)
        before = np.concatenate(([self.length], used[:-1]))
        indices = one_each_tick(before, self._tick, self._points[-1][1] if self._points else -1.0)
        self._points += zip(offset[indices].astype(int).tolist(), before[indices].tolist(), strict=True)
        while len(self._points) > MAX_POINTS:
            self._tick *= 2
            lengths_before = np.array([length for _, length in self._points])
            self._points = [self._points[each] for each in one_each_tick(lengths_before, self._tick, -1.0).tolist()]
        self._extruded, self.length, self._last = float(extruded[-1]), float(used[-1]), int(offset[-1])

    @property
    def points(self) -> tuple[tuple[int, float], ...]:
        """Offsets in the file, and the mm used by the lines before each; in between, the usage grows linearly."""
        return (*self._points, (self._last + 1, self.length))
