"""Whether anything stalls the wire: a job at 250000 baud, first alone, then while a large upload, its analysis and
many clients load the daemon; the printer's view of both.

  answer     from an `ok` to the next line, as the printer sees it; wake-ups of two processes included
  turnaround the same as the daemon sees it: from an `ok` that can be read to the next line written; p99
  underruns  the planner ran dry in the middle of the print
  loop       longest stall of the daemon's loop, as the log tells it when the job ends

The load comes from this process, at ordinary niceness; the daemon gets `--nice`.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import hosts, place, prints
from bench.fakeprinter import FakePrinter, NoCompiler, build
from bench.hosts import HostFailed, Served
from bench.load import Load, Loaded
from bench.prints import Print
from bench.processes import memory, niceness

SUMMARY = "underruns and late answers during a 300 MB upload and 50 polling clients"
BAUDRATE = 250000
MOVES = 5_000  # 20 s
POLL = 0.5
TURNAROUND = 1.0  # ms, 99th percentile
ON_TIME = 0.999  # share of answers that are wanted within 5 ms


@dataclass(frozen=True, slots=True)
class Streamed:
    """One job as the printer saw it, and what was done to its host meanwhile."""

    name: str
    stats: dict[str, Any]
    intact: bool
    ended: dict[str, Any]  # what the daemon's log says of the job
    load: Loaded
    rss: float  # MiB

    @property
    def on_time(self) -> float:
        """The share of answers within 5 ms."""
        answers = self.stats["answer_us"]["n"]
        return 1 - self.stats["answers_over_5ms"] / answers if answers else 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and show; 1 when a print was not intact."""
    args = _parser().parse_args(arguments)
    try:
        runs = measure(args)
    except (HostFailed, NoCompiler) as error:
        sys.stderr.write(f"bench stall: {error}\n")
        return 2
    show(runs)
    return 0 if all(run.intact for run in runs) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench stall", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--megabytes", type=int, default=300, metavar="N", help="size of the upload (300)")
    add("--clients", type=int, default=50, metavar="N", help="that ask for /api/job at 2 Hz (50)")
    add("--moves", type=int, default=MOVES, metavar="N", help=f"length of the print ({MOVES}: 20 s)")
    add("--nice", type=int, default=0, metavar="N", help="niceness of the daemon; -15, as root, as its unit has it")
    add("--patience", type=float, default=180.0, metavar="S", help="seconds that one print may take (180)")
    return parser


def measure(args: argparse.Namespace) -> list[Streamed]:
    """Print alone, then under load.

    Raises:
        HostFailed: the daemon fails.
        NoCompiler: there is nothing to build the fake printer with.
    """
    binary = build(place.cache())
    with ExitStack() as stack:
        folder = Path(stack.enter_context(hosts.scratch()))
        job = prints.write(folder, "vase", args.moves)
        with niceness(args.nice):
            host = hosts.nozzled(folder / "ports", folder)
        stack.callback(host.stop)
        quiet = _stream(host, binary, folder, job, None, args.patience)
        load = Load(host.client.netloc, host.client.headers, args.megabytes, args.clients)
        return [quiet, _stream(host, binary, folder, job, load, args.patience)]


def _stream(host: Served, binary: Path, folder: Path, job: Print, load: Load | None, patience: float) -> Streamed:
    printer = FakePrinter(binary, folder / "ports/printer", ["--baud", str(BAUDRATE), "--planner"])
    try:
        host.connect(printer.link, BAUDRATE, job)
        if load is not None:
            load.start()
        host.print_file(POLL, patience)
        loaded = load.stop() if load is not None else Loaded()
        rss = memory(host.pid)[0]
        host.disconnect()
    finally:
        stats = printer.stop()
    name = "under load" if load is not None else "alone"
    return Streamed(name, stats, stats["sha256_job"] == job.sha256, host.last_job(), loaded, rss)


def show(runs: list[Streamed]) -> None:
    """Print each job in a row, then what is wanted."""
    print(
        "job         lines/s  underruns  answer ms: p50    p99  p99.9    max  <5 ms %  turnaround ms  loop ms"
        "  RSS MiB  uploaded MB  requests (p99 ms)  failed  intact"
    )
    for run in runs:
        answer = [run.stats["answer_us"][key] / 1000 for key in ("p50", "p99", "p999", "max")]
        turnaround, loop = run.ended["turnaround_p99_ms"], run.ended["longest_stall_ms"]
        print(
            f"{run.name:10} {run.stats['lines_per_s']:8.0f} {run.stats['underruns']:10} {answer[0]:15.2f}"
            f" {answer[1]:6.2f} {answer[2]:6.2f} {answer[3]:6.2f} {100 * run.on_time:8.2f} {turnaround:14.2f}"
            f" {loop:8.1f} {run.rss:8.1f}"
            f" {run.load.megabytes:12.0f} {run.load.requests:9} ({run.load.p99_ms:5.0f}) {run.load.failed:7}"
            f"  {'yes' if run.intact else 'NO':>6}"
        )
    alone, loaded = runs[0].ended["turnaround_p99_ms"], runs[-1]
    print(f"\nwanted\n  {_met(alone < TURNAROUND)} turnaround alone, p99: {alone} ms, wanted < {TURNAROUND} ms")
    print("wanted under load")
    print(f"  {_met(loaded.on_time >= ON_TIME)} answers under 5 ms: {loaded.on_time:.2%}, wanted >= {ON_TIME:.1%}")
    print(f"  {_met(loaded.stats['underruns'] == 0)} underruns: {loaded.stats['underruns']}, wanted 0")


def _met(met: bool) -> str:
    return "met    " if met else "NOT MET"
