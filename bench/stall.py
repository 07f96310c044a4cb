"""Whether anything stalls the wire: a job at 250000 baud, first alone, then while a large upload, its analysis and
many clients load the daemon; the printer's view of both.

  answer     from an `ok` to the next line, as the printer sees it; wake-ups of two processes included
  turnaround from an `ok` that can be read to the next line written, as the daemon sees it; 99th percentile
  underruns  times that the planner ran dry in the middle of the print
  loop       longest stall of the daemon's loop, from its log at the end of the job

The load comes from this process, at ordinary niceness; the daemon gets `--nice`.

With `--attack`, attackers and careless clients (`attacks.py`) replace upload and clients: how long the planner was
idle without and under each attack, and the ratio.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import folders, hosts, prints
from bench.attacks import ATTACKS
from bench.fakeprinter import FakePrinter, NoCompiler, build
from bench.hosts import HostFailed, ServerHost
from bench.load import Load, LoadResult
from bench.prints import PrintFile
from bench.processes import memory, niceness

SUMMARY = "underruns and late answers during a 300 MB upload and 50 polling clients"
BAUDRATE = 250000
MOVES = 5_000  # 20 s
POLL = 0.5
TURNAROUND = 1.0  # ms, 99th percentile
ON_TIME = 0.999  # share of answers that are wanted within 5 ms


@dataclass(frozen=True, slots=True)
class StreamedJob:
    """One job as the printer saw it, and what was done to its host meanwhile."""

    name: str
    stats: dict[str, Any]
    intact: bool
    log_entry: dict[str, Any]  # what the daemon's log says of the job
    load: LoadResult = field(default_factory=LoadResult)
    rss: float = 0.0  # MiB
    outcome: str = ""  # of the attack

    @property
    def on_time(self) -> float:
        """The share of answers within 5 ms."""
        answers = self.stats["answer_us"]["n"]
        return 1 - self.stats["answers_over_5ms"] / answers if answers else 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and show; 1 when a print was not intact."""
    args = _parser().parse_args(arguments)
    try:
        runs = under_attack(args) if args.attack else measure(args)
    except (HostFailed, NoCompiler) as error:
        sys.stderr.write(f"bench stall: {error}\n")
        return 2
    if args.attack:
        show_idle(runs)
    else:
        show(runs)
    return 0 if all(run.intact for run in runs) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench stall", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--megabytes", type=int, default=300, metavar="N", help="size of the upload (300)")
    add("--clients", type=int, default=50, metavar="N", help="that ask for /api/job at 2 Hz (50)")
    add(
        "--attack",
        nargs="+",
        choices=[*ATTACKS],
        metavar="NAME",
        help=f"replace upload and clients: {', '.join(ATTACKS)}",
    )
    add("--baudrate", type=int, default=BAUDRATE, metavar="N", help=f"of the connection ({BAUDRATE})")
    add("--moves", type=int, default=MOVES, metavar="N", help=f"length of the print ({MOVES}: 20 s)")
    add("--nice", type=int, default=0, metavar="N", help="niceness of the daemon; -15, as root, as its unit has it")
    add("--patience", type=float, default=180.0, metavar="S", help="seconds that one print may take (180)")
    return parser


@contextmanager
def _served(args: argparse.Namespace) -> Iterator[tuple[ServerHost, Path, PrintFile]]:
    """Run a daemon in a new folder, with a file to print."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(hosts.scratch()))
        job = prints.write(folder, "vase", args.moves)
        with niceness(args.nice):
            host = hosts.nozzled(folder / "ports", folder)
        stack.callback(host.stop)
        yield host, folder, job


def measure(args: argparse.Namespace) -> list[StreamedJob]:
    """Print alone, then under load.

    Raises:
        HostFailed: the daemon fails.
        NoCompiler: there is no compiler for the fake printer.
    """
    binary = build(folders.cache())
    with _served(args) as (host, folder, job):
        quiet = _stream(host, binary, folder, job, None, args)
        load = Load(host.client.netloc, host.client.headers, args.megabytes, args.clients)
        return [quiet, _stream(host, binary, folder, job, load, args)]


def under_attack(args: argparse.Namespace) -> list[StreamedJob]:
    """Print alone, then under each attack, each time with a new daemon.

    Raises:
        HostFailed: the daemon fails.
        NoCompiler: there is no compiler for the fake printer.
    """
    binary = build(folders.cache())
    runs = []
    for name in (None, *args.attack):
        with _served(args) as (host, folder, job):
            runs.append(_attacked(host, binary, folder, job, name, args))
    return runs


def _attacked(
    host: ServerHost, binary: Path, folder: Path, job: PrintFile, name: str | None, args: argparse.Namespace
) -> StreamedJob:
    printer = FakePrinter(binary, folder / "ports/printer", ["--baud", str(args.baudrate), "--planner"])
    attack = ATTACKS[name](host, folder / "state") if name is not None else None
    outcome = ""
    try:
        if attack is not None:
            attack.prepare()
        host.connect(printer.link, args.baudrate, job)
        host.client.start()
        if attack is not None:
            attack.start()
        _until_over(host, args.patience)
        outcome = attack.stop() if attack is not None else ""
        log_entry, rss = host.last_job(), memory(host.pid)[0]
    finally:
        stats = printer.stop()
    return StreamedJob(name or "alone", stats, stats["sha256_job"] == job.sha256, log_entry, rss=rss, outcome=outcome)


def _until_over(host: ServerHost, patience: float) -> None:
    """Wait for the log to say that the print has ended: a front under attack may be slow, or away."""
    end = time.monotonic() + patience
    while not host.events("job.ended"):
        if time.monotonic() > end:
            raise HostFailed(f"{host.name} did not finish within {patience:g} s")
        time.sleep(POLL)


def show_idle(runs: list[StreamedJob]) -> None:
    """Print each job in a row."""
    alone = runs[0].stats["planner_idle_s"]
    print("attack        planner idle s  ratio  underruns  <5 ms %  turnaround p99 ms  intact  outcome")
    for run in runs:
        idle = run.stats["planner_idle_s"]
        ratio = f"{idle / alone:6.2f}" if alone else f"{'-':>6}"
        print(
            f"{run.name:12} {idle:15.2f} {ratio} {run.stats['underruns']:10} {100 * run.on_time:8.2f}"
            f" {run.log_entry['turnaround_p99_ms']:18.2f}  {'yes' if run.intact else 'NO':>6}  {run.outcome}"
        )


def _stream(
    host: ServerHost, binary: Path, folder: Path, job: PrintFile, load: Load | None, args: argparse.Namespace
) -> StreamedJob:
    printer = FakePrinter(binary, folder / "ports/printer", ["--baud", str(args.baudrate), "--planner"])
    try:
        host.connect(printer.link, args.baudrate, job)
        if load is not None:
            load.start()
        host.print_file(POLL, args.patience)
        loaded = load.stop() if load is not None else LoadResult()
        rss = memory(host.pid)[0]
        host.disconnect()
    finally:
        stats = printer.stop()
    name = "under load" if load is not None else "alone"
    return StreamedJob(name, stats, stats["sha256_job"] == job.sha256, host.last_job(), loaded, rss)


def show(runs: list[StreamedJob]) -> None:
    """Print a row for each job, then the limits."""
    print(
        "job         lines/s  underruns  answer ms: p50    p99  p99.9    max  <5 ms %  turnaround ms  loop ms"
        "  RSS MiB  uploaded MB  requests (p99 ms)  failed  intact"
    )
    for run in runs:
        answer = [run.stats["answer_us"][key] / 1000 for key in ("p50", "p99", "p999", "max")]
        turnaround, loop = run.log_entry["turnaround_p99_ms"], run.log_entry["longest_stall_ms"]
        print(
            f"{run.name:10} {run.stats['lines_per_s']:8.0f} {run.stats['underruns']:10} {answer[0]:15.2f}"
            f" {answer[1]:6.2f} {answer[2]:6.2f} {answer[3]:6.2f} {100 * run.on_time:8.2f} {turnaround:14.2f}"
            f" {loop:8.1f} {run.rss:8.1f}"
            f" {run.load.megabytes:12.0f} {run.load.requests:9} ({run.load.p99_ms:5.0f}) {run.load.failed:7}"
            f"  {'yes' if run.intact else 'NO':>6}"
        )
    alone, loaded = runs[0].log_entry["turnaround_p99_ms"], runs[-1]
    print(f"\nwanted\n  {_met(alone < TURNAROUND)} turnaround alone, p99: {alone} ms, wanted < {TURNAROUND} ms")
    print("wanted under load")
    print(f"  {_met(loaded.on_time >= ON_TIME)} answers under 5 ms: {loaded.on_time:.2%}, wanted >= {ON_TIME:.1%}")
    print(f"  {_met(loaded.stats['underruns'] == 0)} underruns: {loaded.stats['underruns']}, wanted 0")


def _met(met: bool) -> str:
    return "met    " if met else "NOT MET"
