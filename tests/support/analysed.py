"""The analysis of whole files, and the sliced files that tests share."""

import gzip
from pathlib import Path

from gcode.analysis import settings
from gcode.analysis.analyser import Analyser
from gcode.analysis.machine import Machine
from gcode.analysis.result import Analysis
from gcode.planner import MotionLimits

ROOT = Path(__file__).parents[2]

# the slicer's own estimates, in s, of motion only
SLICED = {"cube20": 19 * 60 + 11, "knob": 11 * 60 + 42, "vase": 40 * 60 + 16}


def sliced(name: str) -> bytes:
    """Return a sliced file."""
    if name == "cube20":
        return (ROOT / "examples/cube20.gcode").read_bytes()
    return gzip.decompress((ROOT / f"tests/data/gcode/{name}.gcode.gz").read_bytes())


def limits_of(data: bytes) -> MotionLimits:
    """Return the limits that the slicer of this file assumed."""
    limits = settings.limits_from_part(data[-settings.PART_SIZE :], MotionLimits())
    assert limits is not None
    return limits


def analyse(data: bytes | str, machine: Machine | None = None, cuts: tuple[int, ...] = ()) -> Analysis:
    """Return the analysis of a file, read in pieces that end at `cuts`."""
    if isinstance(data, str):
        data = data.encode()
    analyser = Analyser(machine or Machine())
    for begin, end in zip((0, *cuts), (*cuts, len(data)), strict=True):
        analyser.feed(data[begin:end])
    return analyser.finish()
