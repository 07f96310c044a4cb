"""Speed, flow and layer time over a print, and the path of a layer, as a picture. Needs matplotlib."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from daemon.errors import ServiceError
from gcode.analysis.analyser import Driven
from gcode.analysis.arrays import Floats
from gcode.analysis.result import Analysis

_BINS = 1000  # columns of the curves over time
_TINY = 1e-6  # mm of filament that lay material


class Samples:
    """Collects moves as the analysis comes by them: sums over time, and one layer's path."""

    def __init__(self, layer: int) -> None:
        self.layer = layer
        self.path: list[tuple[Floats, Floats, Any]] = []  # X and Y of both ends; whether material is laid
        self._begins: list[Any] = []

    def take(self, moves: Driven) -> None:
        """Take some moves."""
        length = np.sqrt((moves.delta[:3] ** 2).sum(axis=0))
        laid = np.where(length > 0, moves.delta[3], 0.0)  # what is pushed back after a retraction lies nowhere
        self._begins.append(np.array((moves.begins, moves.seconds, length, laid), np.float32))
        mine = np.flatnonzero(moves.layer == self.layer)
        if len(mine):
            x, y = ((moves.start[axis, mine], moves.delta[axis, mine]) for axis in (0, 1))
            ends = [np.array((start, start + delta)) for start, delta in (x, y)]
            self.path.append((ends[0], ends[1], moves.delta[3, mine] > _TINY))

    def curves(self, area: float) -> tuple[Floats, Floats, Floats]:
        """Return time in s, speed in mm/s and flow in mm³/s; the filament has this cross-section in mm²."""
        begins, seconds, length, extruded = np.concatenate(self._begins, axis=1).astype(float)
        edges = np.linspace(0.0, float((begins + seconds).max()) + _TINY, _BINS + 1)
        which = np.clip(np.searchsorted(edges, begins, "right") - 1, 0, _BINS - 1)
        driven = np.maximum(np.bincount(which, seconds, _BINS), _TINY)
        speed = np.bincount(which, length, _BINS) / driven
        flow = np.bincount(which, np.maximum(extruded, 0.0), _BINS) * area / driven
        return edges[:-1], speed, flow

    @property
    def empty(self) -> bool:
        """There were no moves."""
        return not self._begins


def draw(found: Analysis, samples: Samples, title: str, out: Path, diameter: float = 1.75) -> None:
    """Write the picture.

    Raises:
        ServiceError: matplotlib is missing, the layer is not in the file, or the picture cannot be written.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra, and slow to import
    except ImportError:
        raise ServiceError("plots need matplotlib: pip install 'nozzled[plot]'") from None
    if samples.empty:
        raise ServiceError("the file moves nothing, there is nothing to plot")
    if found.layers and not 1 <= samples.layer <= len(found.layers):
        raise ServiceError(f"there is no layer {samples.layer}, the file has 1 to {len(found.layers)}")
    figure = Figure(figsize=(11, 9), layout="constrained")
    grid = figure.add_gridspec(3, 2, width_ratios=(3, 2))
    seconds, speed, flow = samples.curves(math.pi * diameter**2 / 4)
    _curve(figure.add_subplot(grid[0, 0]), seconds / 60, speed, "speed (mm/s)")
    _curve(figure.add_subplot(grid[1, 0]), seconds / 60, flow, "flow (mm³/s)")
    _layers(figure.add_subplot(grid[2, 0]), found)
    _path(figure.add_subplot(grid[:, 1]), samples)
    figure.suptitle(title)
    try:
        figure.savefig(out, dpi=100)
    except (OSError, ValueError) as error:
        raise ServiceError(f"{out} cannot be written: {error}") from error


def _curve(axes: Any, minutes: Floats, values: Floats, label: str) -> None:
    axes.plot(minutes, values, linewidth=0.7)
    axes.set(xlabel="time (min)", ylabel=label, ylim=(0, None))
    axes.grid(alpha=0.3)


def _layers(axes: Any, found: Analysis) -> None:
    axes.bar(range(1, len(found.layers) + 1), [layer.duration_s for layer in found.layers], width=1.0)
    axes.set(xlabel="layer", ylabel="time (s)")


def _path(axes: Any, samples: Samples) -> None:
    for x, y, laid in samples.path:
        axes.plot(x[:, ~laid], y[:, ~laid], color="0.8", linewidth=0.4)
        axes.plot(x[:, laid], y[:, laid], color="tab:blue", linewidth=0.7)
    axes.set(title=f"layer {samples.layer}", xlabel="X (mm)", ylabel="Y (mm)")
    axes.set_aspect("equal")
