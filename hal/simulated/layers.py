"""PrintedLayers: finds the layers of a print from its moves alone."""

import math
from collections.abc import Iterator

from gcode.frozen import mutable
from gcode.planner import Block

_USUAL_HEIGHT = 0.2  # mm, until a print shows its own
_MAX_HEIGHT = 1.0  # mm; a higher step up is not a layer's height
_SAME = 1e-4  # mm
_MAX_LAYERS = 100_000


@mutable
class PrintedLayer:
    """A layer: its height in mm, when it began, its duration in s, its filament in mm."""

    z: float
    began: float
    seconds: float = 0.0
    extruded: float = 0.0


class PrintedLayers:
    """Takes the moves as they are made.

    A layer begins with an extrusion at a new height. In a spiral, which climbs while it prints, a layer begins
    each time the nozzle has climbed by a layer's height. A layer lasts until the next one begins.
    """

    def __init__(self) -> None:
        self._layers: list[PrintedLayer] = []
        self._height = _USUAL_HEIGHT  # of a layer
        self._last_z = math.inf  # Z of the end of the last extrusion

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[PrintedLayer]:
        return iter(self._layers)

    def __getitem__(self, index: int) -> PrintedLayer:
        return self._layers[index]

    def add(self, move: Block, began: float) -> None:
        """Take a move that was made."""
        extruded = move.delta[3]
        if extruded > 0 and (move.delta[0] or move.delta[1]):
            z = move.end[2]
            if z != self._last_z and len(self._layers) < _MAX_LAYERS:
                self._update_height(move, began)
            self._last_z = z
            self._layers[-1].extruded += extruded
        if self._layers:
            last = self._layers[-1]
            last.seconds = began + move.seconds - last.began

    def _update_height(self, move: Block, began: float) -> None:
        z = move.end[2]
        if abs(z - move.delta[2] - self._last_z) < _SAME:  # the move continues where the last extrusion ended
            if z - self._layers[-1].z < self._height - _SAME:
                return
            z = self._layers[-1].z + self._height
        elif self._layers and 0 < z - self._layers[-1].z < _MAX_HEIGHT:
            self._height = z - self._layers[-1].z
        self._begin(z, began)

    def _begin(self, z: float, began: float) -> None:
        if self._layers:
            self._layers[-1].seconds = began - self._layers[-1].began
        self._layers.append(PrintedLayer(z, began))
