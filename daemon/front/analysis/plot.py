"""Plots speed, flow and layer times of a print, and the path of a layer. Needs matplotlib."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from daemon.errors import ServiceError
from gcode.analysis.arrays import Floats
from gcode.analysis.result import Analysis
from gcode.analysis.timed_moves import TimedMoves
from gcode.frozen import frozen

_BINS = 1000  # columns of the curves over time
_TINY = 1e-6  # mm of a move or of filament, or s, up to which a value counts as zero
_MIN_WAIT_S = 2.0  # shorter waits are not shown
_MAX_MARKS = 25  # marked layers
_PALE, _HEAT, _TRAVEL = "#c6dbef", "#e6550d", "#f4a261"


@frozen
class Curve:
    """A quantity over time: its mean and peak in each bin; NaN where nothing moves."""

    mean: Floats
    peak: Floats


@frozen
class Curves:
    """Speed in mm/s and flow in mm³/s, in bins of time: their beginnings and their width, in s."""

    begins: Floats
    width: float
    speed: Curve
    flow: Curve


class Samples:
    """Collects moves from the analysis: those of all layers for the curves, and the path of one layer."""

    def __init__(self, layer: int) -> None:
        self.layer = layer
        self.path: list[tuple[Floats, Floats, Any]] = []  # X and Y of both ends; whether it extrudes
        self.waits: list[tuple[float, float]] = []  # beginning and end of each wait, in s
        self._moves: list[Any] = []
        self._end = 0.0  # s; of the last move

    def take(self, timed: TimedMoves) -> None:
        """Add moves."""
        start, delta = timed.moves.start, timed.moves.delta
        length = np.sqrt((delta[:3] ** 2).sum(axis=0))
        extruded = np.where(length > 0, delta[3], 0.0)  # an unretraction in place extrudes nothing new
        self._moves.append(np.array((timed.begins, timed.seconds, length, extruded), np.float32))
        self._note_waits(timed)
        in_layer = np.flatnonzero(timed.layer == self.layer)
        if len(in_layer):
            x, y = ((start[axis, in_layer], delta[axis, in_layer]) for axis in (0, 1))
            ends = [np.array((start, start + delta)) for start, delta in (x, y)]
            self.path.append((ends[0], ends[1], delta[3, in_layer] > _TINY))

    def _note_waits(self, timed: TimedMoves) -> None:
        ends = np.concatenate(([self._end], timed.begins + timed.seconds))
        rows = np.flatnonzero(timed.begins - ends[:-1] > _MIN_WAIT_S)
        self.waits += [(float(ends[row]), float(timed.begins[row])) for row in rows.tolist()]
        self._end = float(ends[-1])

    def curves(self, area: float) -> Curves:
        """Return speed and flow over time; `area` is the filament's cross-section in mm²."""
        begins, seconds, length, extruded = np.concatenate(self._moves, axis=1).astype(float)
        ends = begins + seconds
        edges = np.linspace(0.0, float(ends.max()) + _TINY, _BINS + 1)
        first, last = (np.clip(np.searchsorted(edges, each, "right") - 1, 0, _BINS - 1) for each in (begins, ends))
        # a long move counts in each bin that it spans, by its share of the time
        parts = np.maximum(last - first, 0) + 1
        move = np.repeat(np.arange(len(parts)), parts)
        bins = first[move] + np.arange(len(move)) - np.repeat(np.cumsum(parts) - parts, parts)
        inside = np.minimum(ends[move], edges[bins + 1]) - np.maximum(begins[move], edges[bins])
        share = np.clip(inside / np.maximum(seconds[move], _TINY), 0.0, 1.0)
        moving_s = np.bincount(bins, share * seconds[move], _BINS)
        filament = np.maximum(extruded, 0.0) * area
        # the flow of moves below 1 mm is dominated by rounding
        long_moves_s = np.where(length >= 1.0, seconds, np.inf)

        def curve(amount: Floats, each: Floats) -> Curve:
            peak = np.zeros(_BINS)
            np.maximum.at(peak, bins, (amount / np.maximum(each, _TINY))[move])
            mean = np.bincount(bins, amount[move] * share, _BINS) / np.maximum(moving_s, _TINY)
            is_still = moving_s < _TINY
            return Curve(np.where(is_still, np.nan, mean), np.where(is_still, np.nan, np.maximum(peak, mean)))

        return Curves(edges[:-1], float(edges[1]), curve(length, seconds), curve(filament, long_moves_s))

    @property
    def is_empty(self) -> bool:
        """Whether there were no moves."""
        return not self._moves


def draw(analysis: Analysis, samples: Samples, title: str, out: Path, diameter: float = 1.75) -> None:
    """Draw the plots, and write them to a file.

    Raises:
        ServiceError: matplotlib is missing, the layer is not in the file, or the picture cannot be written.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra, and slow to import
    except ImportError:
        raise ServiceError("plots need matplotlib: pip install 'nozzled[plot]'") from None
    if samples.is_empty:
        raise ServiceError("the file has no moves: there is nothing to plot")
    if analysis.layers and not 1 <= samples.layer <= len(analysis.layers):
        raise ServiceError(f"there is no layer {samples.layer}: the file has layers 1 to {len(analysis.layers)}")
    figure = Figure(figsize=(13, 8), layout="constrained")
    grid = figure.add_gridspec(3, 2, width_ratios=(5, 4), height_ratios=(3, 3, 2))
    curves = samples.curves(math.pi * diameter**2 / 4)
    _curve(figure.add_subplot(grid[0, 0]), curves, curves.speed, "speed (mm/s)", analysis, samples)
    _curve(figure.add_subplot(grid[1, 0]), curves, curves.flow, "flow (mm³/s)", analysis, samples)
    _layers(figure.add_subplot(grid[2, :]), analysis)
    _path(figure.add_subplot(grid[:2, 1]), samples)
    figure.suptitle(title)
    try:
        figure.savefig(out, dpi=100)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise ServiceError(f"{out} cannot be written: {reason or error}") from error


def _curve(axes: Any, curves: Curves, curve: Curve, label: str, analysis: Analysis, samples: Samples) -> None:
    minutes, end = curves.begins / 60, analysis.duration_s / 60
    axes.fill_between(minutes, curve.peak, color=_PALE, linewidth=0, label="peaks")
    axes.plot(minutes, curve.mean, linewidth=0.8, label=f"mean of {curves.width:.2g} s")
    for number, (begin, until) in enumerate(samples.waits):
        name = "standing still: heating, homing, waiting" if number == 0 else None
        axes.axvspan(begin / 60, until / 60, color=_HEAT, alpha=0.25, linewidth=0, label=name)
    step = max(1, math.ceil(len(analysis.layers) / _MAX_MARKS))
    for number in range(0, len(analysis.layers), step):
        begin = analysis.layers[number].start_s / 60
        axes.axvline(begin, color="0.6", linewidth=0.5, linestyle=":")
        axes.annotate(
            f"{number + 1}", (begin, 1), xycoords=("data", "axes fraction"), fontsize=6, color="0.4",
            xytext=(1, -7), textcoords="offset points",
        )  # fmt: skip
    axes.set(xlabel="time (min); dotted: layers by their numbers", ylabel=label, xlim=(0, end), ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, fontsize=7)


def _layers(axes: Any, analysis: Analysis) -> None:
    count = len(analysis.layers)
    axes.stairs([layer.duration_s for layer in analysis.layers], np.arange(count + 1) + 0.5, fill=True)  # without seams
    axes.set_axisbelow(True)
    axes.grid(alpha=0.3)
    axes.set(xlabel="layer", ylabel="time of each layer (s)", ylim=(0, None), xlim=(0.5, max(1.5, count + 0.5)))


def _path(axes: Any, samples: Samples) -> None:
    for number, (x, y, extrudes) in enumerate(samples.path):
        names = ("travel", "material") if number == 0 else (None, None)
        for chosen, colour, width, name in ((~extrudes, _TRAVEL, 0.5, names[0]), (extrudes, "tab:blue", 0.8, names[1])):
            # one line with gaps: a thousand lines take a thousand times as long, and fill the legend
            axes.plot(*(_with_gaps(each[:, chosen]) for each in (x, y)), color=colour, linewidth=width, label=name)
    _zoom_to_part(axes, samples)
    axes.set_title(f"layer {samples.layer}", loc="left")
    axes.set(xlabel="X (mm)", ylabel="Y (mm)")
    axes.set_aspect("equal")
    axes.tick_params(labelsize=8)
    if samples.path:
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, fontsize=7)


def _with_gaps(ends: Floats) -> Floats:
    """Return both ends of each move, with a gap between two moves."""
    return np.vstack((ends, np.full(ends.shape[1], np.nan))).T.ravel()


def _zoom_to_part(axes: Any, samples: Samples) -> None:
    """Show a square around the extruded material, without the travel to it and back."""
    parts = [(x[:, chosen], y[:, chosen]) for x, y, chosen in samples.path if chosen.any()]
    if not parts:
        return
    boxes = [(min(float(each[axis].min()) for each in parts), max(float(each[axis].max()) for each in parts))
             for axis in (0, 1)]  # fmt: skip
    half = max(1.0, 0.53 * max(high - low for low, high in boxes))
    for set_limits, (low, high) in zip((axes.set_xlim, axes.set_ylim), boxes, strict=True):
        set_limits((low + high) / 2 - half, (low + high) / 2 + half)
