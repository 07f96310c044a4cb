"""What a file's toolpath takes: bytes, and the analysis with it beside the analysis alone, each in its own process.

  moves        moves of the file; arcs count as their chords
  vertices     vertices of the toolpath
  B/move       bytes of the toolpath for each move
  of file      size of the toolpath as a share of the file's
  CPU s        CPU time of the analysis with the toolpath, and without; the best of --repeat
  more         the additional CPU time, in percent
  peak         peak memory with the toolpath in MiB, and how much more that is than without

The large file is the knob, stacked on itself until it has --size MB.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.analysis import ProcessCost, measure, write_sliced_files
from bench.hosts import scratch

SUMMARY = "bytes, CPU and memory of a file's toolpath, beside its analysis alone"
BYTES, SHARE, CPU, PEAK = 1.3, 0.05, 1.25, 10.0
"""What is wanted: bytes a move, of the file, times the CPU, and MiB more, at most."""

_CODE = """
import os, sys
from pathlib import Path
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
from daemon.config import ProfileConfig
from daemon.front.analysis.toolpath_analysis import analyse_with_toolpath
from daemon.front.analysis.file_analysis import analyse, machine
path, target = Path(sys.argv[1]), sys.argv[2]
printer = machine(ProfileConfig())
analyse_with_toolpath(path, Path(target), printer) if target else analyse(path, printer)
"""


PARTS = {"200k": (5.9, 200_000), "2M": (58.8, 2_000_000)}
"""Files of the knob: MB, and moves at least."""


@dataclass(frozen=True, slots=True)
class ToolpathCost:
    """The cost of a file's toolpath."""

    path: Path
    moves: int
    vertices: int
    bytes: int
    size: int  # of the file
    drawn: ProcessCost
    alone: ProcessCost

    def wanted(self) -> list[tuple[str, float, float]]:
        """Return the limits: name, measured value, and maximum."""
        return [
            ("bytes a move", self.bytes / self.moves, BYTES),
            ("of the file", self.bytes / self.size, SHARE),
            ("times the CPU", self.drawn.cpu / self.alone.cpu, CPU),
            ("MiB more", self.drawn.peak - self.alone.peak, PEAK),
        ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and show."""
    args = _parser().parse_args(arguments)
    with scratch() as folder:
        for index, path in enumerate(_files(Path(folder), args.size)):
            show(measure_toolpath(path, args.repeat), first=index == 0)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench toolpath", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--size", type=float, default=110.0, metavar="MB", help="of the large file (110)")
    add("--repeat", type=int, default=3, metavar="N", help="runs of each, of which the best counts (3)")
    return parser


def _files(folder: Path, size: float) -> list[Path]:
    files = write_sliced_files(folder)
    return [*files, *(part(folder, name) for name in PARTS), write_stacked(folder / "large.gcode", _knob(folder), size)]


def _knob(folder: Path) -> bytes:
    return next(path for path in write_sliced_files(folder) if path.stem == "knob").read_bytes()


def part(folder: Path, name: str) -> Path:
    """Write one of the measured files."""
    return write_stacked(folder / f"{name}.gcode", _knob(folder), PARTS[name][0])


def write_stacked(path: Path, whole: bytes, size: float) -> Path:
    """Write copies of a file on top of each other until there are `size` MB."""
    heights = [float(each) for each in re.findall(rb"^;Z:([\d.]+)", whole, re.MULTILINE)]
    with path.open("wb") as file:
        lift = 0.0
        while file.tell() < size * 1_000_000:
            file.write(
                re.sub(
                    rb"^(;Z:|G1 Z)([\d.]+)",
                    lambda found: b"%s%.3f" % (found[1], float(found[2]) + lift),  # noqa: B023 - used at once
                    whole,
                    flags=re.MULTILINE,
                )
            )
            lift += heights[-1]
    return path


def measure_toolpath(path: Path, repeat: int) -> ToolpathCost:
    """Measure a file."""
    target = path.with_suffix(".toolpath")
    runs = [(_cost(path, target), _cost(path, None)) for _ in range(repeat)]  # in turn: what else happens hits both
    best = [min((run[which] for run in runs), key=lambda each: each.cpu) for which in (0, 1)]
    head = target.read_bytes()[:32]
    vertices, moves = (int.from_bytes(head[at : at + 4], "little") for at in (24, 28))
    return ToolpathCost(path, moves, vertices, target.stat().st_size, path.stat().st_size, best[0], best[1])


def show(found: ToolpathCost, *, first: bool) -> None:
    """Print a row; before the first one, the names of the columns."""
    (_, a_move, _), (_, share, _), (_, more, _), (_, memory, _) = found.wanted()
    if first:
        print(
            "file            MB     moves  vertices     bytes  B/move  of file   CPU s  alone   more  peak MiB   more"
        )
    print(
        f"{found.path.stem:10} {found.size / 1e6:7.1f} {found.moves:9} {found.vertices:9} {found.bytes:9}"
        f" {a_move:7.2f} {share:8.1%} {found.drawn.cpu:7.2f} {found.alone.cpu:6.2f} {more - 1:6.0%}"
        f" {found.drawn.peak:9.1f} {memory:6.1f}"
    )
    for name, value, most in found.wanted():
        if value > most:
            print(f"  NOT MET {name}: {value:.3f}, wanted <= {most}")


def _cost(path: Path, target: Path | None) -> ProcessCost:
    return measure([sys.executable, "-c", _CODE, str(path), str(target or "")])
