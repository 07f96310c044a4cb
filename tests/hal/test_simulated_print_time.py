"""Whole files against the slicer's own estimate, with the slicer's limits.

The slicer counts moves only: heating is left out here too, and homing (the slicer counts the first G28 as nothing,
the last one as a move to 0). The link has no limit. The slicer's jerk is the classic one.
"""

import re
from pathlib import Path

import pytest

from gcode.command import parse
from gcode.planner import MotionLimits, plan_blocks
from hal.simulated.oracle import Oracle
from support.printer_bench import PrinterBench, commands, text

_DATA = Path(__file__).parents[1] / "data/gcode"
_CUBE = Path(__file__).parents[2] / "examples/cube20.gcode"
_KNOB, _VASE = _DATA / "knob.gcode.gz", _DATA / "vase.gcode.gz"
_LEFT_OUT = ("M104", "M109", "M140", "M190", "G28")


def _setting(comments, name):
    """Return a setting of the slicer's, for its normal mode."""
    return float(re.search(rf"^; {name} = ([\d.]+)", comments, re.MULTILINE)[1])


def _limits(comments):
    def axes(name):
        return [_setting(comments, f"machine_max_{name}_{axis}") for axis in "xyze"]

    return MotionLimits(
        feedrates=axes("feedrate"),
        accelerations=axes("acceleration"),
        jerk=axes("jerk"),
        printing=_setting(comments, "machine_max_acceleration_extruding"),
        retract=_setting(comments, "machine_max_acceleration_retracting"),
        travel=_setting(comments, "machine_max_acceleration_travel"),
        classic_jerk=True,
    )


def _estimate(comments):
    """Return the slicer's own estimate in seconds."""
    match = re.search(r"estimated printing time \(normal mode\) = (?:(\d+)m )?(\d+)s", comments)
    return int(match[1] or 0) * 60 + int(match[2])


def _moves(lines):
    """Yield start, end and feedrate of each move, for a file in millimetres with absolute coordinates."""
    position, feedrate, shift = [0.0] * 4, 0.0, 0.0
    for command in map(parse, lines):
        if command.code == "G92":
            shift = position[3] - command.number("E", 0.0)
        if command.code != "G1":
            continue
        start = tuple(position)
        feedrate = command.number("F", feedrate * 60) / 60
        for axis, letter in enumerate("XYZE"):
            if letter in command:
                position[axis] = command.number(letter, 0.0) + (shift if letter == "E" else 0.0)
        yield start, tuple(position), feedrate


@pytest.mark.parametrize("path", [_CUBE, _KNOB, _VASE], ids=lambda path: path.name)
def test_the_planner_takes_as_long_as_the_slicer_estimates(path):
    lines, comments = commands(path), text(path)
    seconds = sum(move.seconds for move in plan_blocks(_moves(lines), _limits(comments)))
    assert seconds == pytest.approx(_estimate(comments), rel=0.01)


def _print(path, oracle):
    printer = PrinterBench(oracle=oracle, limits=_limits(text(path)))
    began = printer.now
    for line in commands(path):
        if not line.startswith(_LEFT_OUT):
            assert printer.tell(line) == []
    printer.finish()
    return printer.now - began


@pytest.mark.parametrize(
    ("path", "layers"),
    [
        (_CUBE, 99),
        pytest.param(_KNOB, 59, marks=pytest.mark.nightly),
        pytest.param(_VASE, 299, marks=pytest.mark.nightly),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_the_simulated_printer_takes_as_long_as_the_slicer_estimates(path, layers):
    oracle, comments = Oracle(keep=0), text(path)
    seconds = _print(path, oracle)
    assert seconds == pytest.approx(_estimate(comments), rel=0.01)
    assert oracle.moving_seconds == pytest.approx(seconds, abs=0.2)
    assert oracle.extruded[0] == pytest.approx(_setting(comments, r"filament used \[mm\]"), rel=1e-3)
    assert len(oracle.layers) == pytest.approx(layers, rel=0.01)
    assert sum(layer.extruded for layer in oracle.layers) == pytest.approx(oracle.extruded[0], rel=1e-3)
    assert sum(layer.seconds for layer in oracle.layers) == pytest.approx(seconds, rel=0.01)
    assert oracle.counters.underruns == 0
