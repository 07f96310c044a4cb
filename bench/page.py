"""The page in a real browser beside OctoPrint's, both in the middle of a print on the fake printer, in one run.

view: both pages

  requests, KB   requests and bytes of the first view with an empty cache, headers and sockets included: what begins
                 within 3 s, or until the page is usable
  toolpath KB    the additional bytes for the picture of this print; they grow with the print
  useful         seconds until state and temperatures of the printer are shown; "at 4x": with a processor four times
                 slower, the best of three
  work           the CPU time of the page's main thread for that
  main thread    share of the page's main thread that is busy while it shows the print, at 4x
  heap           memory of scripts after a garbage collection, and how much it grew meanwhile
  server         share of a core that an open page costs the server (for nozzled: the front)

load: nozzled prints once more while pages are open, a file is uploaded and toolpaths are fetched; the planner must not
run dry

toolpath: the toolpath of a file of 200,000 moves and of one of 2,000,000, in the view Files

  first          seconds from the click on the file to the picture of its middle layer
  step           ms from the slider to the picture of the next layer: median, 95th percentile, maximum
  work           ms that the main thread takes for such a step, drawing included
  all in 3D      seconds from the click until all moves are on the screen
  longest        the longest time in ms for which the main thread did not react meanwhile
  heap           memory of scripts, arrays and elements included, in the larger of both views

export: the time for the toolpaths of these files in addition to their analysis, as in `python -m bench toolpath`

OctoPrint is measured if bench/peers.sh has installed it in `--peers-dir`.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Error

from bench import folders, hosts, page_load, page_toolpath, prints, toolpath
from bench.browser import VisitedPage, chromium, open_nozzled, open_octoprint
from bench.fakeprinter import FakePrinter, NoCompiler, build
from bench.hosts import HostFailed, ServerHost
from bench.processes import niceness, own_cpu_seconds, tree

SUMMARY = "the page beside OctoPrint's in Chromium: bytes, time, main thread, heap, toolpaths, the server; underruns"
PARTS = ("view", "load", "toolpath", "export")
BAUDRATE = 250000
MOVES_PER_S = 256  # that the print needs
LOADED_MOVES = 5_000
SETTLE = 3.0  # s after the first view, for what comes later
FIRST_VIEW = 3.0  # s from the first request, after which the page loads its other views
TRIES = 3  # of which the best time counts: other work disturbed the others
OPTIONS = ["--baud", str(BAUDRATE), "--planner"]
FIRST, STEP, WHOLE, HEAP = 0.5, 0.016, 3.0, 60.0
"""What is wanted of a toolpath: s, s, s, and MB, at most."""

Wanted = tuple[str, float, float]
"""Its name, what was measured, and what it may be at most."""


@dataclass(slots=True)
class PageFigures:
    """What was measured of one page."""

    name: str
    requests: int = 0
    kilobytes: float = 0.0
    toolpath: float = 0.0
    useful: float = 0.0
    slow: float = 0.0
    work: float = 0.0
    main: float = 0.0
    heap: float = 0.0
    grown: float = 0.0
    server: float = 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and show the figures; return 1 if a limit is exceeded."""
    args = _parser().parse_args(arguments)
    try:
        found = measure(args)
    except (HostFailed, NoCompiler, Error) as error:
        sys.stderr.write(f"bench page: {error}\n")
        return 2
    print()
    for name, value, most in found:
        print(f"{'met    ' if value <= most else 'NOT MET'} {name}: {value:.3g}, wanted at most {most:g}")
    return int(any(value > most for _, value, most in found))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench page", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=f"of {', '.join(PARTS)} (all)")
    add("--peers-dir", type=Path, metavar="DIR", help="where bench/peers.sh has installed OctoPrint")
    add("--seconds", type=float, default=20.0, metavar="S", help="that a page is watched (20; 3600 shows a leak)")
    add("--megabytes", type=int, default=100, metavar="N", help="size of the upload beside the last print (100)")
    add(
        "--nice", type=int, default=0, metavar="N", help="niceness of the hosts; -15, as root, as nozzled's unit has it"
    )
    add("--patience", type=float, default=300.0, metavar="S", help="seconds that the last print may take (300)")
    return parser


def measure(args: argparse.Namespace) -> list[Wanted]:
    """Run the chosen measurements and show them; return their limits.

    Raises:
        HostFailed: a host fails.
        NoCompiler: there is no compiler for the fake printer.
        Error: the browser does not find an expected element.
    """
    found: list[Wanted] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(hosts.scratch()))
        if "export" in args.only:
            found += _export(folder)
        if set(args.only) == {"export"}:
            return found
        binary = build(folders.cache())
        browser = stack.enter_context(chromium())
        job = prints.write(folder, "vase", int((4 * args.seconds + 90) * MOVES_PER_S))
        seen = []
        for start, ports, visit in _hosts(args, folder):
            with niceness(args.nice):
                host = start()
            try:
                printer = ports / "printer"
                if "view" in args.only:
                    seen.append(_seen(host, FakePrinter(binary, printer, OPTIONS), job, browser, visit, args.seconds))
                if "load" in args.only and host.name == "nozzled":
                    found += _load(host, FakePrinter(binary, printer, OPTIONS), folder, args)
                if "toolpath" in args.only and host.name == "nozzled":
                    found += _toolpath(host, folder, browser)
            finally:
                host.stop()
    return (_view(seen) if seen else []) + found


def _export(folder: Path) -> list[Wanted]:
    found: list[Wanted] = []
    for index, name in enumerate(toolpath.PARTS):
        drawn = toolpath.measure_toolpath(toolpath.part(folder, name), 3)
        toolpath.show(drawn, first=index == 0)
        found += [(f"{name}: {what}", value, most) for what, value, most in drawn.wanted()]
    return found


def _load(host: ServerHost, printer: FakePrinter, folder: Path, args: argparse.Namespace) -> list[Wanted]:
    job = prints.write(folder, "vase", LOADED_MOVES)
    loaded = page_load.print_under_load(host, printer, BAUDRATE, job, args.megabytes, args.patience)
    page_load.show(loaded)
    return [("underruns", loaded.underruns, 0), ("prints that are not intact", not loaded.intact, 0)]


def _toolpath(host: ServerHost, folder: Path, browser: Browser) -> list[Wanted]:
    drawn = list(page_toolpath.measure(host, folder, browser))
    page_toolpath.show(drawn)
    found: list[Wanted] = []
    for each in drawn:
        found += [
            (f"{each.name}: s to the first picture", each.first, FIRST),
            (f"{each.name}: s to the next layer, 95th percentile", each.late, STEP),
            (f"{each.name}: s of the main thread for a layer", each.work, STEP),
            (f"{each.name}: s until all of it is there in 3D", each.whole, WHOLE),
            (f"{each.name}: MB of heap", each.heap, HEAP),
        ]
    return found


Visit = Callable[[BrowserContext, str], VisitedPage]


def _hosts(args: argparse.Namespace, folder: Path) -> Iterator[tuple[Callable[[], ServerHost], Path, Visit]]:
    yield lambda: hosts.nozzled(folder / "ports", folder), folder / "ports", open_nozzled
    if args.peers_dir is not None and "view" in args.only:
        peers = args.peers_dir.resolve()
        yield lambda: hosts.octoprint(peers, folder), peers / "ports", open_octoprint


def _seen(
    host: ServerHost, printer: FakePrinter, job: prints.PrintFile, browser: Browser, visit: Visit, seconds: float
) -> PageFigures:
    """Look at the page of a host that prints."""
    seen = PageFigures(host.name)
    url = f"http://{host.client.netloc}"
    try:
        host.connect(printer.link, BAUDRATE, job)
        host.client.start()
        _first_view(seen, browser, visit, url)
        time.sleep(SETTLE)
        alone = _cpu_of_server(host, seconds)
        seen.slow, seen.work = min(_slow(browser, visit, url) for _ in range(TRIES - 1))
        with browser.new_context() as context:
            there = visit(context, url)
            there.slow_down()
            seen.slow, seen.work = min((seen.slow, seen.work), (there.open(), there.metric("TaskDuration")))
            time.sleep(SETTLE)
            busy, heap, began = there.metric("TaskDuration"), there.heap(), time.monotonic()
            seen.server = _cpu_of_server(host, seconds, there.page.wait_for_timeout) - alone
            seen.main = (there.metric("TaskDuration") - busy) / (time.monotonic() - began)
            seen.heap = there.heap()
            seen.grown = seen.heap - heap
        host.client.call("POST", "/api/job", {"command": "cancel"})
        host.client.until_connection(("Operational",))
        host.disconnect()
    finally:
        printer.stop()
    return seen


def _slow(browser: Browser, visit: Visit, url: str) -> tuple[float, float]:
    """Return how long an empty and slow browser takes, and its main thread for that."""
    with browser.new_context() as context:
        there = visit(context, url)
        there.slow_down()
        return there.open(), there.metric("TaskDuration")


def _first_view(seen: PageFigures, browser: Browser, visit: Visit, url: str) -> None:
    """Count the requests of a browser without a cache in FIRST_VIEW s, longer if the page is not usable by then."""
    began: dict[str, float] = {}
    sizes: dict[str, float] = {}
    toolpaths: set[str] = set()

    def begun(event: dict[str, Any]) -> None:
        began.setdefault(event["requestId"], event.get("timestamp", 0.0))
        url = event.get("request", event)["url"]
        if "/api/" in url and "/toolpath" in url:
            toolpaths.add(event["requestId"])

    with browser.new_context() as context:
        there = visit(context, url)
        there.tools.send("Network.enable")
        there.tools.on("Network.requestWillBeSent", begun)
        there.tools.on("Network.webSocketCreated", begun)
        there.tools.on(
            "Network.loadingFinished", lambda event: sizes.update({event["requestId"]: event["encodedDataLength"]})
        )
        seen.useful = there.open()
        there.page.wait_for_timeout(1000 * FIRST_VIEW)
    end = min(filter(None, began.values())) + max(FIRST_VIEW, seen.useful)
    first = {each for each, at in began.items() if at < end}
    seen.requests = len(first - toolpaths)
    seen.kilobytes = sum(sizes.get(each, 0.0) for each in first - toolpaths) / 1024
    seen.toolpath = sum(sizes.get(each, 0.0) for each in toolpaths) / 1024


def _cpu_of_server(host: ServerHost, seconds: float, wait: Callable[[float], None] | None = None) -> float:
    """Return the share of a processor that the server of the page takes meanwhile: the front, if it is a process."""
    pid = tree(host.pid)[1] if host.name == "nozzled" else host.pid
    before, began = own_cpu_seconds(pid), time.monotonic()
    if wait is None:
        time.sleep(seconds)
    else:
        wait(1000 * seconds)
    return (own_cpu_seconds(pid) - before) / (time.monotonic() - began)


def _view(seen: list[PageFigures]) -> list[Wanted]:
    """Print each page in a row, and ratios to ours."""
    print(
        "page        requests     KB  toolpath KB  useful s  at 4x s  work s  main thread %  heap MB (grown)  server %"
    )
    for each in seen:
        print(
            f"{each.name:11} {each.requests:8} {each.kilobytes:6.0f} {each.toolpath:12.0f} {each.useful:9.2f}"
            f" {each.slow:8.2f} {each.work:7.2f} {100 * each.main:14.1f} {each.heap:8.1f} ({each.grown:+5.2f})"
            f" {100 * each.server:9.2f}"
        )
    ours = seen[0]
    for other in seen[1:]:
        print(
            f"{other.name} / {ours.name}: requests {other.requests / ours.requests:.1f}, bytes"
            f" {other.kilobytes / ours.kilobytes:.0f}, at 4x {other.slow / ours.slow:.1f}, main thread"
            f" {other.main / max(ours.main, 1e-9):.1f}, heap {other.heap / ours.heap:.1f}"
        )
    return [
        ("requests of the first view", ours.requests, 14),
        ("KB of the first view", ours.kilobytes, 60),
        ("s until it is usable at 4x", ours.slow, 1.5),
        ("% of its main thread at 4x", 100 * ours.main, 10),
        ("MB that its heap has grown", abs(ours.grown), 2),
        ("% of a core that it costs the front", 100 * ours.server, 0.5),
    ]
