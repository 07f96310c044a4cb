"""What a line costs in `nozzled simulate`: streamer, job, link, wire at 250000 baud, firmware, heat, motion, oracle
and a recording, each print in a process of its own.

  lines       lines of the file, sent and executed
  print       seconds that the print takes on the printer
  CPU         CPU seconds of the process, without its start
  µs a line   CPU time for a line
  times life  seconds of print simulated in each second
  memory      peak memory of the process
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.folders import ROOT
from bench.processes import peak_memory

SUMMARY = "µs a line of a simulated print, with everything on"
EXAMPLE = ROOT / "examples" / "cube20.gcode"
HOURS_10 = 32  # times the example, which takes 21 minutes
SAMPLE = 0.02  # s
WANTED = "wanted: 10 h of print in less than 60 s and 200 MB"


@dataclass(frozen=True, slots=True)
class SimulationCost:
    """What one print has cost; seconds and MB."""

    lines: int
    duration: float
    cpu: float
    memory: float
    exact: bool

    def row(self, name: str) -> str:
        """Return a line of the table."""
        each = 1e6 * self.cpu / max(1, self.lines)
        speed = self.duration / self.cpu
        verdict = "" if self.exact else "   NOT EXACT"
        return (
            f"{name:16} {self.lines:8} {self.duration:9.0f} {self.cpu:8.1f} {each:9.0f} {speed:11.0f} "
            f"{self.memory:9.0f}{verdict}"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and show."""
    args = _parser().parse_args(arguments)
    sys.stdout.write("                    lines   print/s    CPU/s µs a line  times life memory/MB\n")
    with tempfile.TemporaryDirectory(prefix="nozzled-simulate-") as folder:
        start = measure(_written(Path(folder, "empty.gcode"), b";\n"), Path(folder)).cpu
        for name, path in _files(args, Path(folder)):
            cost = measure(path, Path(folder))
            net = SimulationCost(cost.lines, cost.duration, max(0.001, cost.cpu - start), cost.memory, cost.exact)
            sys.stdout.write(net.row(name) + "\n")
            sys.stdout.flush()
    sys.stdout.write(f"\n{WANTED}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench simulate", description=__doc__, formatter_class=_Raw)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="more G-code besides the example")
    parser.add_argument("--long", action="store_true", help="print for ten hours, too")
    return parser


_Raw = argparse.RawDescriptionHelpFormatter


def _files(args: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Path]]:
    yield EXAMPLE.stem, EXAMPLE
    yield from ((path.stem, path) for path in args.files)
    if args.long:
        yield "10 h", _written(folder / "long.gcode", EXAMPLE.read_bytes() * HOURS_10)


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def measure(path: Path, folder: Path) -> SimulationCost:
    """Simulate a print in a separate process."""
    command = [sys.executable, "-m", "daemon", "simulate", str(path), "--link", "250000", "--json"]
    command += ["--record", str(folder / "session.gz")]
    peak = 0.0
    with tempfile.TemporaryFile() as output, subprocess.Popen(command, stdout=output, cwd=ROOT) as process:
        while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            peak = max(peak, peak_memory(process.pid))  # the kernel's own count begins with the parent's
            time.sleep(SAMPLE)
        process.returncode = os.waitstatus_to_exitcode(ended[1])
        used = ended[2]
        output.seek(0)
        printed = output.read()
    result = json.loads(printed)
    return SimulationCost(result["lines"], result["duration_s"], used.ru_utime + used.ru_stime, peak, result["exact"])
