"""Filament that a tool has used by each place in the file."""

import numpy as np

from gcode.analysis.arrays import Floats
from gcode.analysis.timeline import one_each_tick

POINTS = 512  # that are kept for a tool, so the filament at a place is known to within 1/256 of all


class Usage:
    """Adds up what one tool uses. Retractions count back: the most that was out at any time is what is used."""

    def __init__(self) -> None:
        self.length = 0.0  # mm
        self._turned = 0.0  # mm that are out by now
        self._points: list[tuple[int, float]] = []
        self._tick = 1.0  # mm from one point to the next
        self._last = 0  # place of the last move

    def add(self, lengths: Floats, offset: Floats) -> None:
        """Take moves: mm of filament, and where the line of each begins; the next ones in the file."""
        if not len(lengths):
            return
        turned = np.cumsum(lengths) + self._turned
        used = np.maximum(np.maximum.accumulate(turned), self.length)
        before = np.concatenate(([self.length], used[:-1]))
        kept = one_each_tick(before, self._tick, self._points[-1][1] if self._points else -1.0)
        self._points += zip(offset[kept].astype(int).tolist(), before[kept].tolist(), strict=True)
        while len(self._points) > POINTS:
            self._tick *= 2
            lengths_before = np.array([length for _, length in self._points])
            self._points = [self._points[each] for each in one_each_tick(lengths_before, self._tick, -1.0).tolist()]
        self._turned, self.length, self._last = float(turned[-1]), float(used[-1]), int(offset[-1])

    @property
    def points(self) -> tuple[tuple[int, float], ...]:
        """Place in the file, and mm that the lines before it have used; between two of them it grows evenly."""
        return (*self._points, (self._last + 1, self.length))
