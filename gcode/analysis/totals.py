"""Totals of all moves: filament of each tool, bounds, maximum speed and flow."""

import math
from collections.abc import Sequence

import numpy as np

from gcode.analysis.arrays import Bools, Floats, Ints
from gcode.analysis.result import Bounds, Box, Point, ToolUse
from gcode.analysis.usage import Usage

_MIN_EXTRUSION = 1e-6  # mm of filament
_MIN_PATH = 1.0  # mm; in a shorter move, rounding spoils the flow


def is_printing(delta: Floats) -> Bools:
    """Tell which moves print: they extrude and move along the bed."""
    return (delta[3] > _MIN_EXTRUSION) & ((delta[0] != 0) | (delta[1] != 0))


def reach(*positions: Floats) -> tuple[Floats, Floats]:
    """Return the minimum and the maximum of positions; X, Y, Z are rows."""
    low, high = positions[0].min(axis=1), positions[0].max(axis=1)
    for more in positions[1:]:
        low, high = np.minimum(low, more.min(axis=1)), np.maximum(high, more.max(axis=1))
    return low, high


class Extent:
    """A growing box."""

    def __init__(self) -> None:
        self._low = np.full(3, math.inf)
        self._high = np.full(3, -math.inf)

    def add(self, low: Floats, high: Floats) -> None:
        """Extend the box so that it includes another one."""
        self._low, self._high = np.minimum(self._low, low), np.maximum(self._high, high)

    @property
    def box(self) -> Box | None:
        """The box; None: it is empty."""
        return None if self._low[0] > self._high[0] else Box(_point(self._low), _point(self._high))


def _point(values: Floats) -> Point:
    x, y, z = (round(value, 4) + 0.0 for value in values.tolist())
    return x, y, z


class Totals:
    """Adds up all moves of a file."""

    def __init__(self) -> None:
        self._printing = Extent()
        self._travel = Extent()
        self._used: dict[int, Usage] = {}  # by tool
        self.max_speed = 0.0
        self.max_flow = 0.0  # mm of filament per second

    def add(self, ends: Floats, extruded: Floats, tool: Ints | int, offset: Floats) -> None:
        """Take moves.

        Args:
            ends: X, Y and Z at the end of each.
            extruded: filament of each, in mm.
            tool: of each, or of all.
            offset: of the line of each in the file.
        """
        self._travel.add(*reach(ends))
        if isinstance(tool, int):
            self._usage_of(tool).add(extruded, offset)
        else:
            for each in np.unique(tool).tolist():
                self._usage_of(each).add(extruded[tool == each], offset[tool == each])

    def add_printing(self, low: Floats, high: Floats) -> None:
        """Take the reach of moves that print."""
        self._printing.add(low, high)

    def _usage_of(self, tool: int) -> Usage:
        return self._used.setdefault(tool, Usage())

    def add_speeds(self, length: Floats, nominal: Floats, extruded: Floats) -> None:
        """Take printing moves: length of the path in mm, cruising speed in mm/s, filament in mm."""
        if len(length):
            self.max_speed = max(self.max_speed, float(nominal.max()))
            flow = np.where(length >= _MIN_PATH, extruded * nominal / length, 0.0)
            self.max_flow = max(self.max_flow, float(flow.max()))

    @property
    def bounds(self) -> Bounds:
        """The boxes of printing and of all moves."""
        return Bounds(self._printing.box, self._travel.box)

    def tools(self, diameters: Sequence[float | None], default: float) -> tuple[ToolUse, ...]:
        """Return the filament of each tool, from its diameter in mm; `default` is that of tools without one."""
        uses = []
        for tool, used in sorted(self._used.items()):
            if (length := used.length) > 0:
                diameter = (diameters[tool] if tool < len(diameters) else None) or default
                uses.append(ToolUse(tool, length, length * math.pi * diameter**2 / 4))
        return tuple(uses)

    @property
    def used(self) -> tuple[tuple[int, tuple[tuple[int, float], ...]], ...]:
        """For each tool: offsets in the file, and the filament that the tool has used up to there, in mm."""
        return tuple((tool, used.points) for tool, used in sorted(self._used.items()) if used.length > 0)
