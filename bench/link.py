"""Prints on the fake printer with our daemon beside bare loops and other hosts, in one run; shows ratios.

      link                                   planner      errors
  S1  no delay                               no           none
  S2  115200 baud                            16 blocks    none
  S3  250000 baud                            16 blocks    none
  S4  no delay                               no           every 50th line a checksum error
  S5  115200 baud                            16 blocks    every 50th line a checksum error
  W1  115200 baud, lines of 40 bytes         no           none
  W2  250000 baud, lines of 40 bytes         no           none
  C1  115200 baud, lines with idle zeros     no           none
  D1  115200 baud, MeatPack, as W1           no           none
  D2  250000 baud, MeatPack, as W2           no           none
  D3  115200 baud, MeatPack, 400 lines/s     16 blocks    none

A host with an API is asked for /api/job ten times a second; if a q follows the name (S2q), only every 2 s, so that the
streaming is measured and not the API. The planner needs 256 lines/s. raw1 and raw2 are bare loops with one and two
lines in flight: the floor. Every host prints each scenario in turn, `--repeat` times; medians are shown.

  gain       lines/s, divided by the lines/s that fill the wire one way if they are sent as they are in the file
  share      the share of the wire, one way, that the job's lines take (other commands do not count)
  underruns  times that the planner ran dry in the middle of the print
  answer     from an `ok` to the next line, as the printer sees it, 99th percentile: two processes' wake-ups included
  turnaround from a readable `ok` to the next line written, 99th percentile, from nozzled's own log

The first move of a print takes 1.7 s, so with a planner lines/s and share are meaningful only at full length.
"""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import folders, hosts, prints
from bench.fakeprinter import FakePrinter, NoCompiler, build
from bench.hosts import Host, HostFailed
from bench.prints import PrintFile
from bench.processes import cpu_seconds, niceness

SUMMARY = "lines/s, CPU and planner underruns, beside bare loops, OctoPrint and printcore"
SLOW_POLL, FAST_POLL = 2.0, 0.1  # s between requests for progress
DEFAULT = ("S1", "S2q", "S3q", "S5q", "W1q", "W2q")
LONG, SHORT = 50_000, 5_000  # moves
BITS = 10  # on the wire for each byte: 8N1
NEEDED_RATE = 256.0  # lines/s that the planner takes in S2, S3 and S5


@dataclass(frozen=True, slots=True)
class LinkScenario:
    """The configuration of the fake printer, and the file to print."""

    kind: str
    moves: int
    baudrate: int | None = None
    planner: bool = False
    resend_every: int = 0
    meatpack: bool = False

    @property
    def options(self) -> list[str]:
        """Options of the fake printer."""
        found = ["--baud", str(self.baudrate)] if self.baudrate else []
        found += ["--planner"] if self.planner else []
        found += ["--meatpack"] if self.meatpack else []
        return found + (["--resend-every", str(self.resend_every)] if self.resend_every else [])


SCENARIOS = {
    "S1": LinkScenario("vase", LONG),
    "S2": LinkScenario("vase", SHORT, 115200, planner=True),
    "S3": LinkScenario("vase", SHORT, 250000, planner=True),
    "S4": LinkScenario("vase", LONG, resend_every=50),
    "S5": LinkScenario("vase", SHORT, 115200, planner=True, resend_every=50),
    "W1": LinkScenario("forties", SHORT, 115200),
    "W2": LinkScenario("forties", SHORT, 250000),
    "C1": LinkScenario("zeros", SHORT, 115200),
    "D1": LinkScenario("forties", SHORT, 115200, meatpack=True),
    "D2": LinkScenario("forties", SHORT, 250000, meatpack=True),
    "D3": LinkScenario("brisk", SHORT, 115200, planner=True, meatpack=True),
}


@dataclass(slots=True)
class Result:
    """One print; or, in a table, the medians of several."""

    host: str
    scenario: str
    lines_per_s: float
    gain: float | None  # lines/s divided by those that fill the wire as they are in the file; None without a wire
    share: float | None  # of the wire, one way; None without a wire
    cpu: float  # s for 1000 lines
    underruns: float
    answer_ms: float
    turnaround_ms: float | None  # None: the host does not log it
    in_flight: float
    resends: float
    intact: bool
    error: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and show; 1 when a print was not intact."""
    args = _parser().parse_args(arguments)
    results: list[Result] = []
    try:
        with niceness(args.nice):
            for result in measure(args):
                results.append(result)
                _tell(result, args.out)
    except (HostFailed, NoCompiler) as error:
        sys.stderr.write(f"bench link: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("bench link: stopped; this is what was measured until then\n")
    medians = [_median(results, *key) for key in dict.fromkeys((each.scenario, each.host) for each in results)]
    show(medians)
    show_wanted({(each.scenario, each.host): each for each in medians})
    return 0 if all(each.intact for each in results if each.host == "nozzled") else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench link", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("scenario", nargs="*", type=_scenario, default=list(DEFAULT), metavar="SCENARIO", help=" ".join(DEFAULT))
    add("--repeat", type=int, default=3, metavar="N", help="prints of each; the median is shown (3)")
    add("--peers", type=_peers, default=[], metavar="P,P", help="octoprint, printcore")
    add("--peers-dir", type=Path, metavar="DIR", help="where bench/peers.sh has installed them")
    add("--only", default="", metavar="H,H", help="hosts to measure: nozzled, raw1, raw2 (all)")
    add("--moves", type=int, metavar="N", help="length of each print, for a quick look (5000, S1 and S4 50000)")
    add("--nice", type=int, default=0, metavar="N", help="niceness of hosts; -15, as root, on a busy machine")
    add("--patience", type=float, default=180.0, metavar="S", help="seconds that one print may take (180)")
    add("--out", type=Path, metavar="FILE", help="append each print to it as a line of JSON")
    return parser


def _scenario(text: str) -> str:
    if text.removesuffix("q") not in SCENARIOS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(SCENARIOS)}; each may be followed by a q")
    return text


def _peers(text: str) -> list[str]:
    found = [name for name in text.split(",") if name]
    if unknown := set(found) - {"octoprint", "printcore"}:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; there are octoprint and printcore")
    return found


# -- measuring ---------------------------------------------------------------------------------------------


def measure(args: argparse.Namespace) -> Iterator[Result]:
    """Yield the result of each print, host after host within each scenario.

    Raises:
        HostFailed: a host does not start.
        NoCompiler: there is no compiler for the fake printer.
    """
    cache = folders.cache()
    binary = build(cache)
    peers = (args.peers_dir or cache / "peers").resolve()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(hosts.scratch()))
        measured = list(_start(stack, args, peers, folder))
        for _ in range(args.repeat):
            for name in args.scenario:
                job = _job(SCENARIOS[name.removesuffix("q")], args.moves, folder)
                for host in measured:
                    yield _print(host, name, job, PrintSetup(binary, peers / "ports", args.patience))


@dataclass(frozen=True, slots=True)
class PrintSetup:
    """Where and how long to print."""

    printer: Path  # the fake printer's program
    ports: Path
    patience: float


def _start(stack: ExitStack, args: argparse.Namespace, peers: Path, folder: Path) -> Iterator[Host]:
    makers: dict[str, Callable[[], Host]] = {
        "raw1": lambda: hosts.raw(1),
        "raw2": lambda: hosts.raw(2),
        "nozzled": lambda: hosts.nozzled(peers / "ports", folder),
        "octoprint": lambda: hosts.octoprint(peers, folder),
        "printcore": lambda: hosts.printcore(peers),
    }
    chosen = [*(args.only.split(",") if args.only else ("raw1", "raw2", "nozzled")), *args.peers]
    if unknown := set(chosen) - makers.keys():
        raise HostFailed(f"unknown host: {', '.join(sorted(unknown))}")
    for name in chosen:
        host = makers[name]()
        stack.callback(host.stop)
        yield host


def _job(scenario: LinkScenario, moves: int | None, folder: Path) -> PrintFile:
    return prints.write(folder, scenario.kind, moves or scenario.moves)


def _print(host: Host, name: str, job: PrintFile, at: PrintSetup) -> Result:
    """Print once. What goes wrong is part of the result: printcore is known to hang in S5."""
    scenario = SCENARIOS[name.removesuffix("q")]
    printer = FakePrinter(at.printer, at.ports / host.name, scenario.options)
    cpu, turnaround, error = 0.0, None, ""
    try:
        host.connect(printer.link, scenario.baudrate or 115200, job)
        before = cpu_seconds(host.pid)
        host.print_file(SLOW_POLL if name.endswith("q") else FAST_POLL, at.patience)
        cpu = cpu_seconds(host.pid) - before
        turnaround = _turnaround(host)
        host.disconnect()
    except (HostFailed, RuntimeError, OSError) as failure:
        error = str(failure)
        with suppress(HostFailed, RuntimeError, OSError):
            host.disconnect()
    finally:
        stats = printer.stop()
    return _result(host.name, name, job, stats, cpu, turnaround, error)


def _turnaround(host: Host) -> float | None:
    """Return what nozzled's log says of the job that has just ended."""
    if not isinstance(host, hosts.ServerHost) or host.name != "nozzled":
        return None
    return float(host.last_job()["turnaround_p99_ms"])


def _result(
    host: str, name: str, job: PrintFile, stats: dict[str, Any], cpu: float, turnaround: float | None, error: str
) -> Result:
    baudrate, seconds = SCENARIOS[name.removesuffix("q")].baudrate, stats["job_seconds"]
    return Result(
        host=host,
        turnaround_ms=turnaround,
        scenario=name,
        lines_per_s=stats["lines_per_s"],
        gain=stats["lines_per_s"] * job.plain_bytes * BITS / baudrate if baudrate else None,
        share=stats["job_bytes"] * BITS / baudrate / seconds if baudrate and seconds else None,
        cpu=1000 * cpu / job.job_lines,
        underruns=stats["underruns"],
        answer_ms=stats["answer_us"]["p99"] / 1000,
        in_flight=stats["max_in_flight"],
        resends=stats["resends_requested"],
        intact=stats["sha256_job"] == job.sha256,
        error=error,
    )


def _median(results: list[Result], name: str, host: str) -> Result:
    runs = [each for each in results if (each.scenario, each.host) == (name, host)]
    gains = [each.gain for each in runs if each.gain is not None]
    shares = [each.share for each in runs if each.share is not None]
    turnarounds = [each.turnaround_ms for each in runs if each.turnaround_ms is not None]
    return Result(
        host=host,
        scenario=name,
        lines_per_s=statistics.median(each.lines_per_s for each in runs),
        gain=statistics.median(gains) if gains else None,
        share=statistics.median(shares) if shares else None,
        cpu=statistics.median(each.cpu for each in runs),
        underruns=statistics.median(each.underruns for each in runs),
        answer_ms=statistics.median(each.answer_ms for each in runs),
        turnaround_ms=statistics.median(turnarounds) if turnarounds else None,
        in_flight=max(each.in_flight for each in runs),
        resends=statistics.median(each.resends for each in runs),
        intact=all(each.intact for each in runs),
        error=next((each.error for each in runs if each.error), ""),
    )


# -- showing -----------------------------------------------------------------------------------------------


def _tell(result: Result, out: Path | None) -> None:
    """Show progress, and store the figures of the print."""
    state = result.error or ("intact" if result.intact else "NOT INTACT")
    sys.stderr.write(f"{result.scenario} {result.host}: {result.lines_per_s:.0f} lines/s, {state}\n")
    if out is not None:
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(result) | {"load1": os.getloadavg()[0]}) + "\n")


def show(medians: list[Result]) -> None:
    """Print one table: a row for each host in each scenario."""
    head = (
        "scenario host       lines/s   gain  share  CPU s/1000  underruns"
        "  answer ms  turnaround ms  flight  resends  intact"
    )
    print(f"\n{head}  CPU: /raw2  /raw1  /octoprint")
    found = {(each.scenario, each.host): each for each in medians}
    for each in medians:
        share = "     -" if each.share is None else f"{100 * each.share:5.1f}%"
        gain = "     -" if each.gain is None else f"{each.gain:6.2f}"
        turnaround = "-" if each.turnaround_ms is None else f"{each.turnaround_ms:.2f}"
        ratios = [_ratio(each.cpu, found.get((each.scenario, other))) for other in ("raw2", "raw1", "octoprint")]
        print(
            f"{each.scenario:8} {each.host:9} {each.lines_per_s:8.0f} {gain} {share} {each.cpu:11.4f}"
            f" {each.underruns:10.0f} {each.answer_ms:10.2f} {turnaround:>11} {each.in_flight:7.0f} {each.resends:8.0f}"
            f"  {'yes' if each.intact else 'NO':>6}  {ratios[0]:>10} {ratios[1]:>6} {ratios[2]:>11}  {each.error}"
        )


def _ratio(cpu: float, other: Result | None) -> str:
    return f"{cpu / other.cpu:.2f}" if other is not None and other.cpu and cpu else "-"


Medians = dict[tuple[str, str], Result]


def show_wanted(medians: Medians) -> None:
    """Print our daemon's limits beside the measured values, for the scenarios that ran."""
    print("\nwanted of nozzled")
    for line in _wanted(medians):
        print(f"  {line}")


def _wanted(medians: Medians) -> Iterator[str]:
    for name, host in medians:
        if host == "nozzled":
            yield from _wanted_in(name, medians)


def _wanted_in(name: str, medians: Medians) -> Iterator[str]:
    ours, base = medians[name, "nozzled"], name.removesuffix("q")
    floor, octoprint = medians.get((name, "raw2")), medians.get((name, "octoprint"))
    if base in ("W1", "W2") and ours.share is not None:
        yield _verdict(name, "share of the wire", ours.share, ">=", 0.97)
    if base in ("C1", "D1", "D2") and ours.gain is not None:
        yield _verdict(name, "lines/s by the plain limit", ours.gain, ">=", 1.25 if base == "C1" else 1.7)
    if base in ("S2", "S3", "D3"):
        yield _verdict(name, "underruns", ours.underruns, "<=", 0)
        if floor is not None:
            yield _verdict(name, "underruns of raw2, or fewer", ours.underruns, "<=", floor.underruns)
            yield _verdict(name, "CPU / raw2", ours.cpu / (floor.cpu or 1), "<=", 2.5)
    if base in ("S1", "S2", "S3") and octoprint is not None and octoprint.cpu:
        yield _verdict(name, "CPU / OctoPrint", ours.cpu / octoprint.cpu, "<=", 0.2)
    if base == "S1" and octoprint is not None and octoprint.lines_per_s:
        yield _verdict(name, "lines/s / OctoPrint", ours.lines_per_s / octoprint.lines_per_s, ">=", 5.0)
    if base == "S5":
        yield _verdict(name, "lines/s of the 256 asked for", ours.lines_per_s / NEEDED_RATE, ">=", 0.90)
    if base != "S1" and ours.turnaround_ms is not None:
        yield _verdict(name, "turnaround p99 in ms", ours.turnaround_ms, "<=", 1.0)


def _verdict(name: str, what: str, value: float, how: str, limit: float) -> str:
    met = value >= limit if how == ">=" else value <= limit
    return f"{'met    ' if met else 'NOT MET'} {name:4} {what}: {value:.3g}, wanted {how} {limit:g}"
