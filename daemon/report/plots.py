"""The plots, as SVG. They are made without pyplot, which would need global state and a window."""

import io
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from daemon.simulation.outcome import Outcome
from daemon.simulation.series import Sample
from daemon.simulation.witness import MovedPath, Witness
from gcode.planner import CAPACITY

WIDTH = 10.0  # inches
SHOWN_LAYERS = 12
COLUMNS = 4
MAX_VECTOR_MARKS = 500  # underruns that are drawn as vectors; more of them are rasterized

# the same print gives the same page; text stays text
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "nozzled",
    "font.size": 9,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "path.simplify": True,
    "agg.path.chunksize": 10_000,
}
_BAD = "#c0392b"
_GOOD = "#1f77b4"
_PALE = "#b0b8c0"
_TRAVEL = "#f4a261"

_BREAK = float("nan")  # interrupts the drawn line
_ROUNDING_S = 0.01  # times of moves have single precision


def temperatures(samples: Sequence[Sample]) -> str:
    """Draw the heaters' temperatures, with dashed targets."""
    figure, (axes,) = _figure(1, height=3.0)
    names = sorted({name for sample in samples for name in sample.temperatures})
    for name in names:
        actual = [(each.time / 60, each.temperatures[name]) for each in samples if name in each.temperatures]
        [line] = axes.plot(*zip(*actual, strict=True), label=name, linewidth=1.2)
        targets = [(each.time / 60, each.targets.get(name, 0.0)) for each in samples if name in each.temperatures]
        axes.step(*zip(*targets, strict=True), where="pre", color=line.get_color(), linewidth=0.8, linestyle="--")
    axes.set(xlabel="minutes", ylabel="°C (dashed: targets)", xlim=(0, _end(samples)), ylim=(0, None))
    if names:
        axes.legend(frameon=False, ncols=len(names), loc="lower right", bbox_to_anchor=(1, 1))
    return _svg(figure)


def rate_and_fill(samples: Sequence[Sample], interval: float, outcome: Outcome) -> str:
    """Draw the rate of lines and the moves in the planner, with underruns and faults in red, pauses in grey."""
    figure, (rate, fill) = _figure(2, height=4.5)
    times = [each.time / 60 for each in samples]
    rate.step(times, [each.lines / interval for each in samples], where="pre", color=_GOOD, linewidth=0.8)
    rate.set(ylabel="lines/s", ylim=(0, None))
    fill.fill_between(times, [each.fill for each in samples], step="pre", color=_GOOD, alpha=0.35, linewidth=0)
    fill.set(
        ylabel=f"moves in the planner\n(of {CAPACITY})", xlabel="minutes", xlim=(0, _end(samples)), ylim=(0, CAPACITY)
    )
    for each in outcome.bottlenecks:
        for axes in (rate, fill):
            axes.axvspan(each.from_s / 60, each.to_s / 60, color=_BAD, alpha=0.15, linewidth=0)
    marks = [each.time_s / 60 for each in outcome.underrun_places]
    fill.vlines(marks, 0, CAPACITY, color=_BAD, linewidth=0.6, rasterized=len(marks) > MAX_VECTOR_MARKS)
    for pause in outcome.pauses:
        for axes in (rate, fill):
            axes.axvspan(pause.from_s / 60, pause.to_s / 60, color=_PALE, alpha=0.4, linewidth=0)
        fill.annotate(pause.kind, (pause.from_s / 60, CAPACITY * 0.9), fontsize=7, rotation=90, va="top")
    if outcome.faults:
        at = [each.time_s / 60 for each in outcome.faults]
        rate.plot(at, [0.0] * len(at), "v", color=_BAD, markersize=5, clip_on=False, label="faults")
        rate.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1))
    if (left_out := outcome.underruns - len(outcome.underrun_places)) > 0:
        fill.set_title(f"the last {left_out} underruns are left out", fontsize=8, loc="right")
    return _svg(figure)


def layer_times(outcome: Outcome) -> str:
    """Draw the duration of each layer."""
    figure, (axes,) = _figure(1, height=2.5)
    times = [each.duration_s for each in outcome.layer_times]
    edges = [each + 0.5 for each in range(len(times) + 1)]
    axes.stairs(times, edges, fill=True, color=_GOOD)  # bars would have gaps between them
    axes.set(xlabel="layer", ylabel="seconds", ylim=(0, None), xlim=(0.5, max(1.5, len(times) + 0.5)))
    axes.locator_params(axis="x", integer=True, min_n_ticks=1)
    return _svg(figure)


def paths(witness: Witness) -> str:
    """Draw the path in some layers from the first to the last: material blue, travel orange."""
    moves, layers = witness.moved_path, list(witness.layers)
    if moves is None or not layers:
        return ""
    indices = _choose_layers(len(layers))

    def time_of(index: int) -> tuple[float, float]:
        return layers[index].began, layers[index + 1].began if index + 1 < len(layers) else float("inf")

    rows = -(-len(indices) // COLUMNS)
    # the first layer has its own scale: a skirt around it would make the others small
    first, others = _material_square(moves, *time_of(0)), _material_square(moves, time_of(0)[1], float("inf"))
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, 2.6 * rows), layout="constrained")
        grid = figure.subplots(rows, COLUMNS, squeeze=False)
        for number, axes in enumerate(grid.flat):
            if number >= len(indices):
                axes.set_axis_off()
                continue
            index = indices[number]
            _draw_layer(axes, moves, *time_of(index))
            if part := first if index == 0 else others:
                axes.set(xlim=part[0], ylim=part[1])
            axes.set_title(f"layer {index + 1}, Z {layers[index].z:.2f}", fontsize=8)
        figure.legend(*grid[0, 0].get_legend_handles_labels(), frameon=False, ncols=2, loc="outside upper right")
    return _svg(figure)


def _material_square(
    moves: MovedPath, began: float, until: float
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Return a square around the material extruded in this time, as its X and Y limits; None: no material."""
    material = [index for index in _moves_of(moves, began, until) if moves.extruded[index] > 0]
    if not material:
        return None
    ends = {*material, *(index - 1 for index in material)}  # a move begins where the previous one ended
    x, y = ((min(positions[index] for index in ends), max(positions[index] for index in ends))
            for positions in (moves.x, moves.y))  # fmt: skip
    half = max(1.0, 0.53 * max(x[1] - x[0], y[1] - y[0]))
    (across, along) = (sum(x) / 2, sum(y) / 2)
    return (across - half, across + half), (along - half, along + half)


def _moves_of(moves: MovedPath, began: float, until: float) -> range:
    """Return the moves that begin in this time."""
    return range(max(bisect_left(moves.began, began - _ROUNDING_S), 1), bisect_left(moves.began, until - _ROUNDING_S))


def _choose_layers(count: int) -> list[int]:
    """Return the indices of the layers that are shown, the first and the last among them."""
    if count <= SHOWN_LAYERS:
        return list(range(count))
    return [round(each * (count - 1) / (SHOWN_LAYERS - 1)) for each in range(SHOWN_LAYERS)]


def _draw_layer(axes: Axes, moves: MovedPath, began: float, until: float) -> None:
    travel: tuple[list[float], list[float]] = ([], [])
    material: tuple[list[float], list[float]] = ([], [])
    for index in _moves_of(moves, began, until):
        xs, ys = material if moves.extruded[index] > 0 else travel
        if not xs or (xs[-1], ys[-1]) != (moves.x[index - 1], moves.y[index - 1]):
            xs += [_BREAK, moves.x[index - 1]]
            ys += [_BREAK, moves.y[index - 1]]
        xs.append(moves.x[index])
        ys.append(moves.y[index])
    axes.plot(*travel, color=_TRAVEL, linewidth=0.6, label="travel")
    axes.plot(*material, color=_GOOD, linewidth=0.6, label="material")
    axes.set_aspect("equal")
    axes.tick_params(labelsize=6)


def _end(samples: Sequence[Sample]) -> float | None:
    """Return the last minute of the plot."""
    return samples[-1].time / 60 if samples and samples[-1].time > 0 else None


def _figure(rows: int, height: float) -> tuple[Figure, list[Axes]]:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        return figure, list(figure.subplots(rows, 1, squeeze=False, sharex=True).flat)


def _svg(figure: Figure) -> str:
    """Return the figure as an element of a page."""
    text = io.StringIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]
