"""Finds the layers of a file: by the slicer's marks, or else by the heights of extrusions."""

import numpy as np

from gcode.analysis.arrays import Bools, Floats, Ints
from gcode.analysis.result import Layer
from gcode.frozen import mutable

_STEP = 0.05  # mm of height that begin a layer in a file without marks; a spiral rises by a thousandth in each move
_MAX_LAYERS = 20_000  # further layers count as part of the last one


@mutable
class _LayerStart:
    """The start of a layer, whose number is its index in the list; number 0 precedes the first layer."""

    offset: int
    z: float | None = None
    height: float | None = None


class Layers:
    """Collects layers: first their starts and later, when moves leave the planner, their durations."""

    def __init__(self) -> None:
        self._layers = [_LayerStart(0)]
        self._seconds = np.zeros(1)
        self.has_marks = False

    @property
    def number(self) -> int:
        """The number of the current layer; 0 before the first."""
        return len(self._layers) - 1

    def mark(self, offset: int) -> int:
        """Begin a layer at a mark of the slicer; return its number."""
        if not self.has_marks:
            self._forget_guesses()
            self.has_marks = True
        return self._begin(offset)

    def note_z(self, z: float) -> None:
        """Set the z of a marked layer, by the slicer's comment."""
        if self.has_marks:
            self._layers[-1].z = z

    def note_height(self, height: float) -> None:
        """Set the height of a marked layer, by the slicer's comment."""
        if self.has_marks:
            self._layers[-1].height = height

    def assign(self, z: Floats, printing: Bools, offset: Floats, number: Ints) -> Ints:
        """Take the moves of a block; return the layer of each.

        Args:
            z: at the end of each move, in mm.
            printing: whether the move extrudes.
            offset: of its line in the file.
            number: of its layer, by marks.
        """
        rows = np.flatnonzero(printing)
        if self.has_marks:
            self._note_heights_of_marked(z, rows, number)
            return number
        return self._by_height(z, rows, offset)

    def _note_heights_of_marked(self, z: Floats, rows: Ints, number: Ints) -> None:
        """Set the z of marked layers without one, by their first extrusion."""
        layers, first = np.unique(number[rows], return_index=True)
        for layer, row in zip(layers.tolist(), rows[first].tolist(), strict=True):
            if self._layers[layer].z is None:
                self._layers[layer].z = float(z[row])

    def _by_height(self, z: Floats, rows: Ints, offset: Floats) -> Ints:
        begins, numbers = [0], [self.number]
        heights = z[rows]
        changed = np.flatnonzero(np.diff(heights, prepend=np.nan) != 0)  # NaN: the first one always counts
        for row, height in zip(rows[changed].tolist(), heights[changed].tolist(), strict=True):
            last = self._layers[-1].z
            if last is None or abs(height - last) >= _STEP - 1e-9:
                self._begin(int(offset[row]))
                self._layers[-1].z = height
                begins.append(row)
                numbers.append(self.number)
        return np.repeat(np.array(numbers), np.diff([*begins, len(z)]))

    def add_seconds(self, number: Floats | Ints, seconds: Floats) -> None:
        """Add the durations of moves to their layers."""
        if len(self._seconds) < len(self._layers):
            self._seconds = np.append(self._seconds, np.zeros(2 * len(self._layers) - len(self._seconds)))
        last = len(self._layers) - 1
        per_layer = np.bincount(np.minimum(number.astype(np.intp), last), weights=seconds)
        self._seconds[: len(per_layer)] += per_layer

    def result(self) -> tuple[Layer, ...]:
        """Return the layers, without the part before the first."""
        layers, start, below = [], float(self._seconds[0]), 0.0
        for layer, seconds in zip(self._layers[1:], self._seconds[1:].tolist(), strict=False):
            z, height = layer.z, layer.height
            if height is None and z is not None and z > below:
                height = z - below
            below = z if z is not None else below
            layers.append(Layer(_round(z), _round(height), layer.offset, start, seconds))
            start += seconds
        return tuple(layers)

    @property
    def seconds_before_first(self) -> float:
        """The time before the first layer."""
        return float(self._seconds[0]) if len(self._layers) > 1 else 0.0

    def _begin(self, offset: int) -> int:
        if len(self._layers) <= _MAX_LAYERS:
            self._layers.append(_LayerStart(offset))
        return self.number

    def _forget_guesses(self) -> None:
        """Drop the layers found before the first mark: they were lines to prime the nozzle."""
        del self._layers[1:]
        self._seconds = np.array([self._seconds.sum()])


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
