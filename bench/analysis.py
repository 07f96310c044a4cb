"""How fast files are analysed, beside `octoprint analysis gcode`, each in a process of its own, in one run.

  lines        lines of the file
  s            seconds from the start of the process to its end; the best of --repeat
  CPU s        CPU time of the process, which other work on the machine disturbs least
  klines/s     thousand lines per second of CPU, the start of the process included
  peak         the process' peak memory in MiB
  OctoPrint    klines/s of `octoprint analysis gcode`, without its start (measured with a file of one line)
  ratio        our klines/s, the start included, divided by OctoPrint's

The first file is the spiral vase, repeated until it has --size MB. OctoPrint gets only the first --octoprint-size MB
of it, as the whole would take minutes. The other files are a quarter as large, and have the same moves in unusual
forms: `G01`, lower case, two blanks, comments in parentheses, numbers and checksums. They are compared with
OctoPrint's rate for the vase, as OctoPrint ignores lines in lower case and numbered lines.
"""

import argparse
import functools
import gzip
import operator
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.folders import ROOT, cache
from bench.hosts import scratch
from bench.processes import MIB, environment

SUMMARY = "lines/s and memory of a file's analysis, beside OctoPrint's"
RATIO = 12.0
RATIO_OF_FORMS = 8.0
PEAK = 80.0  # MiB
MEGABYTE = 1_000_000
FILES = ("examples/cube20.gcode", "tests/data/gcode/knob.gcode.gz", "tests/data/gcode/vase.gcode.gz")


def _leading_zero(lines: Iterable[bytes]) -> Iterator[bytes]:
    return (re.sub(rb"^G(?=[0-3] )", b"G0", line) for line in lines)


def _lower_case(lines: Iterable[bytes]) -> Iterator[bytes]:
    return (line if line.startswith(b";") else line.lower() for line in lines)


def _two_blanks(lines: Iterable[bytes]) -> Iterator[bytes]:
    return (line if line.startswith(b";") else line.replace(b" ", b"  ") for line in lines)


def _parentheses(lines: Iterable[bytes]) -> Iterator[bytes]:
    return (line + b" (c)" if line.startswith(b"G1 ") else line for line in lines)


def _numbered(lines: Iterable[bytes]) -> Iterator[bytes]:
    number = 0
    for line in lines:
        command = line.partition(b";")[0].strip()
        if not command:
            yield line
            continue
        number += 1
        text = b"N%d %s" % (number, command)
        yield b"%s*%d" % (text, functools.reduce(operator.xor, text))


FORMS: dict[str, Callable[[Iterable[bytes]], Iterator[bytes]]] = {
    "G01": _leading_zero,
    "lower": _lower_case,
    "blanks": _two_blanks,
    "brackets": _parentheses,
    "numbers": _numbered,
}


@dataclass(frozen=True, slots=True)
class ProcessCost:
    """The cost of a process: wall and CPU time in s, peak memory in MiB."""

    wall: float
    cpu: float
    peak: float


Row = tuple[str, int, ProcessCost, float | None]
"""Name, lines, our cost, OctoPrint's lines a second."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and show."""
    args = _parser().parse_args(arguments)
    octoprint = None if args.no_octoprint else args.peers_dir / "octoprint/bin/octoprint"
    if octoprint is not None and not octoprint.exists():
        sys.stderr.write(f"bench analysis: no OctoPrint in {args.peers_dir}; bench/peers.sh installs it\n")
        return 2
    with scratch() as folder:
        files = _all_files(Path(folder), args.size)
        show(_with_rate_of_vase([_compare(each, octoprint, args) for each in files]))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench analysis", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--size", type=float, default=200.0, metavar="MB", help="of the large file (200)")
    add("--octoprint-size", type=float, default=8.0, metavar="MB", help="how much of it OctoPrint gets (8)")
    add("--repeat", type=int, default=3, metavar="N", help="runs of each, of which the best counts (3)")
    add("--peers-dir", type=Path, default=cache() / "peers", metavar="D", help="where bench/peers.sh has put OctoPrint")
    add("--no-octoprint", action="store_true", help="measure ours alone")
    return parser


def write_sliced_files(folder: Path) -> list[Path]:
    """Write the sliced files of the repository."""
    found = []
    for name in FILES:
        data = (ROOT / name).read_bytes()
        path = folder / Path(name).name.removesuffix(".gz")
        path.write_bytes(gzip.decompress(data) if name.endswith(".gz") else data)
        found.append(path)
    return found


def _all_files(folder: Path, size: float) -> list[Path]:
    """Write the files to measure; the last is the large one."""
    found = write_sliced_files(folder)
    whole = found[-1].read_bytes()
    for name, form in FORMS.items():
        lines = b"\n".join(form(whole.splitlines())) + b"\n"
        found.append(_repeated(folder / f"{name}.gcode", lines, size / 4))
    return [*found, _repeated(folder / "large.gcode", whole, size)]


def _repeated(path: Path, whole: bytes, size: float) -> Path:
    with path.open("wb") as file:
        while file.tell() < size * MEGABYTE:
            file.write(whole)
    return path


def _compare(path: Path, octoprint: Path | None, args: argparse.Namespace) -> Row:
    """Return name, lines, our cost, and OctoPrint's lines a second."""
    ours = [sys.executable, "-m", "daemon", "inspect", "--json", str(path)]
    costs, theirs = [], []
    for _ in range(args.repeat):  # in turn, so that other work on the machine disturbs both
        costs.append(measure(ours))
        if octoprint is not None and path.stem not in FORMS:
            theirs.append(_octoprint_rate(octoprint, path, args.octoprint_size))
    best = min(costs, key=lambda cost: cost.cpu)
    return path.name, _lines(path), best, max(theirs, default=None)


def _with_rate_of_vase(rows: list[Row]) -> list[Row]:
    rate = next(theirs for name, _, _, theirs in rows if name == "vase.gcode")
    return [(name, lines, cost, rate if Path(name).stem in FORMS else theirs) for name, lines, cost, theirs in rows]


def _octoprint_rate(octoprint: Path, path: Path, size: float) -> float:
    """Return OctoPrint's lines a second, without its start."""
    part, nothing = path.with_name("part.gcode"), path.with_name("nothing.gcode")
    with path.open("rb") as file:
        head = file.read(int(size * MEGABYTE))
    part.write_bytes(head[: head.rfind(b"\n") + 1])
    nothing.write_bytes(b"G28\n")
    begin = [str(octoprint), "analysis", "gcode"]
    seconds = measure([*begin, str(part)]).cpu - measure([*begin, str(nothing)]).cpu
    return _lines(part) / max(seconds, 1e-3)


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(MEGABYTE), b""))


def measure(command: list[str]) -> ProcessCost:
    """Run a program to its end; its output is dropped."""
    began = time.monotonic()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT, env=environment()
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return ProcessCost(time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / MIB)


def show(rows: list[Row]) -> None:
    """Print a row for each file, and the limits of the large one."""
    print("file              lines        s    CPU s  klines/s  peak MiB   OctoPrint klines/s   ratio")
    for name, lines, cost, theirs in rows:
        rate = lines / cost.cpu
        other = f"{theirs / 1000:18.1f} {rate / theirs:7.1f}" if theirs else ""
        print(f"{name:14} {lines:8} {cost.wall:8.2f} {cost.cpu:8.2f} {rate / 1000:9.1f} {cost.peak:9.1f}   {other}")
    cost = rows[-1][2]
    print("\nwanted")
    for name, lines_, cost_, theirs_ in rows:
        wanted = RATIO if name == "large.gcode" else RATIO_OF_FORMS if Path(name).stem in FORMS else 0.0
        if theirs_ and wanted:
            ratio = lines_ / cost_.cpu / theirs_
            print(
                f"  {'met    ' if ratio >= wanted else 'NOT MET'} times OctoPrint: {ratio:.1f}, >= {wanted:g}: {name}"
            )
    print(f"  {'met    ' if cost.peak <= PEAK else 'NOT MET'} peak MiB: {cost.peak:.0f}, wanted <= {PEAK:g}")
