"""The page in a real browser beside OctoPrint's, both in the middle of a print on the fake printer, in one run.

  requests, KB   of the first view with an empty cache, headers and sockets included
  toolpath KB    what the picture of this print took besides: it grows with the print
  useful         seconds until state and temperatures of the printer are seen; at 4x with the processor of the page
                 made four times slower
  main thread    share of the page's main thread that is busy while it shows the print, at 4x
  heap           of scripts, behind a collection of garbage, and how much it grew meanwhile
  server         share of a core that an open page costs what serves it: of nozzled the front

Then nozzled prints once more while pages are open, a file is uploaded and toolpaths are fetched; the planner must not
run dry. OctoPrint is measured where `--peers-dir` says that bench/peers.sh has installed it.
"""

import argparse
import json
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, CDPSession, Error, Page, sync_playwright
from tornado.websocket import websocket_connect

from bench import hosts, place, prints
from bench.api import Sockets
from bench.client import Client
from bench.fakeprinter import FakePrinter, NoCompiler, build
from bench.hosts import KEY, HostFailed, Served
from bench.load import Load
from bench.processes import niceness, own_cpu_seconds, tree

SUMMARY = "the page beside OctoPrint's in Chromium: bytes, time, main thread, heap, what it costs the server; underruns"
BAUDRATE = 250000
MOVES_PER_S = 256  # that the print wants
LOADED_MOVES = 5_000
SLOWER = 4
SETTLE = 3.0  # s behind the first view, for what comes later
PAGES, FETCHERS = 10, 4
WANTED = {"requests": 14, "kilobytes": 60.0, "slow": 1.5, "main": 0.10, "server": 0.005, "heap": 2.0}


@dataclass(slots=True)
class Seen:
    """What was measured of one page."""

    name: str
    requests: int = 0
    kilobytes: float = 0.0
    toolpath: float = 0.0
    useful: float = 0.0
    slow: float = 0.0
    main: float = 0.0
    heap: float = 0.0
    grown: float = 0.0
    server: float = 0.0


@dataclass(frozen=True, slots=True)
class Loaded:
    """A print under the load of open pages."""

    underruns: int
    messages: int
    toolpaths: int
    megabytes: float
    intact: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and show; 1 where something wanted was not reached."""
    args = _parser().parse_args(arguments)
    try:
        seen, loaded = measure(args)
    except (HostFailed, NoCompiler, Error) as error:
        sys.stderr.write(f"bench page: {error}\n")
        return 2
    return show(seen, loaded)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench page", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--peers-dir", type=Path, metavar="DIR", help="where bench/peers.sh has installed OctoPrint")
    add("--seconds", type=float, default=20.0, metavar="S", help="that a page is watched (20; 3600 shows a leak)")
    add("--megabytes", type=int, default=100, metavar="N", help="size of the upload beside the last print (100)")
    add(
        "--nice", type=int, default=0, metavar="N", help="niceness of the hosts; -15, as root, as nozzled's unit has it"
    )
    add("--patience", type=float, default=300.0, metavar="S", help="seconds that the last print may take (300)")
    return parser


def measure(args: argparse.Namespace) -> tuple[list[Seen], Loaded]:
    """Measure both pages, then the print under load.

    Raises:
        HostFailed: a host fails.
        NoCompiler: there is nothing to build the fake printer with.
        Error: the browser does not find what it should.
    """
    if (chromium := shutil.which("chromium") or shutil.which("google-chrome")) is None:
        raise HostFailed("there is no Chromium")
    binary = build(place.cache())
    with ExitStack() as stack:
        folder = Path(stack.enter_context(hosts.scratch()))
        browser = stack.enter_context(sync_playwright()).chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--enable-precise-memory-info"]
        )
        stack.callback(browser.close)
        job = prints.write(folder, "vase", int((3 * args.seconds + 60) * MOVES_PER_S))
        seen = []
        for start, ports, visit in _hosts(args, folder):
            with niceness(args.nice):
                host = start()
            try:
                seen.append(
                    _seen(host, FakePrinter(binary, ports / "printer", _OPTIONS), job, browser, visit, args.seconds)
                )
                if host.name == "nozzled":
                    loaded = _loaded(host, binary, ports, prints.write(folder, "vase", LOADED_MOVES), args)
            finally:
                host.stop()
    return seen, loaded


_OPTIONS = ["--baud", str(BAUDRATE), "--planner"]
Visit = Callable[[BrowserContext, str], "Visited"]


class Visited:
    """A tab with a page in it."""

    def __init__(self, page: Page, address: str, signs: Sequence[tuple[str, str]]) -> None:
        """Take the address, and what is seen once the page is of use: where, and which word."""
        self.page = page
        self._address = address
        self._signs = signs
        self.tools: CDPSession = page.context.new_cdp_session(page)

    def open(self) -> float:
        """Open it; return how long it took to be of use."""
        began = time.monotonic()
        self.page.goto(self._address, wait_until="commit")
        for where, word in self._signs:
            self.page.locator(where, has_text=word).first.wait_for(timeout=60_000)
        return time.monotonic() - began

    def metric(self, name: str) -> float:
        """Return a figure that the browser keeps of the page."""
        found: list[dict[str, Any]] = self.tools.send("Performance.getMetrics")["metrics"]
        return float(next(each["value"] for each in found if each["name"] == name))

    def heap(self) -> float:
        """Return what scripts hold, in MB."""
        self.tools.send("HeapProfiler.collectGarbage")
        return self.metric("JSHeapUsedSize") / 1e6


def _ours(context: BrowserContext, url: str) -> Visited:
    context.add_init_script(f"localStorage.setItem('nozzled.key', {json.dumps(KEY)})")
    return Visited(context.new_page(), f"{url}/", [("h1", "Printing"), ("header dd", "°C"), ("main progress", "")])


def _theirs(context: BrowserContext, url: str) -> Visited:
    if context.browser is not None:
        with context.browser.new_context() as other:  # whose cache is not that of the one that is measured
            page = other.new_page()
            page.goto(f"{url}/")
            page.locator("#login-user").fill("bench")
            page.locator("#login-password").fill("bench")
            page.locator("#login-button").click()
            page.locator("#state_wrapper").wait_for(timeout=60_000)
            context.add_cookies([{**each} for each in other.cookies()])  # type: ignore[typeddict-item]  # they differ in name alone
    return Visited(context.new_page(), f"{url}/", [("#state_wrapper", "Printing"), ("#temp", "°C")])


def _hosts(args: argparse.Namespace, folder: Path) -> Iterator[tuple[Callable[[], Served], Path, Visit]]:
    yield lambda: hosts.nozzled(folder / "ports", folder), folder / "ports", _ours
    if args.peers_dir is not None:
        peers = args.peers_dir.resolve()
        yield lambda: hosts.octoprint(peers, folder), peers / "ports", _theirs


def _seen(
    host: Served, printer: FakePrinter, job: prints.Print, browser: Browser, visit: Visit, seconds: float
) -> Seen:
    """Look at the page of a host that prints."""
    seen = Seen(host.name)
    url = f"http://{host.client.netloc}"
    try:
        host.connect(printer.link, BAUDRATE, job)
        host.client.start()
        _first_view(seen, browser, visit, url)
        time.sleep(SETTLE)
        alone = _cpu_of_server(host, seconds)
        with browser.new_context() as context:
            there = visit(context, url)
            there.tools.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
            there.tools.send("Performance.enable", {"timeDomain": "threadTicks"})  # not what others take from it
            seen.slow = there.open()
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


def _first_view(seen: Seen, browser: Browser, visit: Visit, url: str) -> None:
    """Count what an empty browser loads."""
    sizes: dict[str, float] = {}
    toolpaths: set[str] = set()

    def begun(event: dict[str, Any]) -> None:
        sizes[event["requestId"]] = 0.0
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
        seen.requests = len(sizes.keys() - toolpaths)
        seen.kilobytes = sum(size for each, size in sizes.items() if each not in toolpaths) / 1024
        seen.toolpath = sum(sizes[each] for each in toolpaths) / 1024


def _cpu_of_server(host: Served, seconds: float, wait: Callable[[float], None] | None = None) -> float:
    """Return the share of a core that what serves the page takes meanwhile; the front, where it is a process."""
    pid = tree(host.pid)[1] if host.name == "nozzled" else host.pid
    before, began = own_cpu_seconds(pid), time.monotonic()
    if wait is None:
        time.sleep(seconds)
    else:
        wait(1000 * seconds)
    return (own_cpu_seconds(pid) - before) / (time.monotonic() - began)


class Pages(Sockets):
    """What the sockets of open pages do, console and all."""

    async def _listen(self, login: str) -> None:
        socket = await websocket_connect(self._url)
        try:
            await socket.write_message(json.dumps({"subscribe": {"state": False, "page": {"console": True}}}))
            await socket.write_message(login)
            while await socket.read_message() is not None:
                self.messages += 1
        finally:
            socket.close()


class Fetches:
    """Threads that fetch the toolpath of a file, one after the other."""

    def __init__(self, client: Client, name: str) -> None:
        self.done = 0
        self._url, self._name = f"http://{client.netloc}", name
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run, name="fetches") for _ in range(FETCHERS)]

    def start(self) -> None:
        """Begin."""
        for each in self._threads:
            each.start()

    def stop(self) -> int:
        """End; return how many came."""
        self._stopped.set()
        for each in self._threads:
            each.join()
        return self.done

    def _run(self) -> None:
        client = Client(self._url, KEY)
        while not self._stopped.wait(0.1):
            status, _ = client.request("GET", f"/api/files/local/{self._name}/toolpath")
            self.done += status in (200, 206)
        client.close()


def _loaded(host: Served, binary: Path, ports: Path, job: prints.Print, args: argparse.Namespace) -> Loaded:
    """Print while pages are open, a file comes in and toolpaths go out."""
    printer = FakePrinter(binary, ports / "printer", _OPTIONS)
    try:
        host.connect(printer.link, BAUDRATE, job)
        pages, fetches = Pages(host.client, PAGES), Fetches(host.client, job.path.name)
        load = Load(host.client.netloc, host.client.headers, args.megabytes, 0)
        for each in (pages, fetches, load):
            each.start()
        try:
            host.print_file(1.0, args.patience)
        finally:
            loaded, toolpaths, messages = load.stop(), fetches.stop(), pages.stop()
        host.disconnect()
    finally:
        stats: dict[str, Any] = printer.stop()
    return Loaded(stats["underruns"], messages, toolpaths, loaded.megabytes, stats["sha256_job"] == job.sha256)


def show(seen: list[Seen], loaded: Loaded) -> int:
    """Print each page in a row, ratios to ours, then what is wanted beside what was measured."""
    print("page        requests     KB  toolpath KB  useful s  at 4x s  main thread %  heap MB (grown)  server %")
    for each in seen:
        print(
            f"{each.name:11} {each.requests:8} {each.kilobytes:6.0f} {each.toolpath:12.0f} {each.useful:9.2f}"
            f" {each.slow:8.2f} {100 * each.main:14.1f} {each.heap:8.1f} ({each.grown:+5.2f}) {100 * each.server:9.2f}"
        )
    ours = seen[0]
    for other in seen[1:]:
        print(
            f"{other.name} / {ours.name}: requests {other.requests / ours.requests:.1f}, bytes"
            f" {other.kilobytes / ours.kilobytes:.0f}, at 4x {other.slow / ours.slow:.1f}, main thread"
            f" {other.main / max(ours.main, 1e-9):.1f}, heap {other.heap / ours.heap:.1f}"
        )
    print(
        f"{PAGES} pages, {loaded.toolpaths} toolpaths, {loaded.megabytes:.0f} MB uploaded, {loaded.messages} messages:"
        f" {loaded.underruns} underruns, {'intact' if loaded.intact else 'NOT intact'}"
    )
    found = {
        "requests": ours.requests,
        "kilobytes": ours.kilobytes,
        "slow": ours.slow,
        "main": ours.main,
        "server": ours.server,
        "heap": abs(ours.grown),
    }
    missed = [
        f"{name} {found[name]:.3g}, wanted at most {most:g}" for name, most in WANTED.items() if found[name] > most
    ]
    if loaded.underruns or not loaded.intact:
        missed.append(f"{loaded.underruns} underruns under load, wanted none")
    print("missed: " + "; ".join(missed) if missed else "all that is wanted was reached")
    return 1 if missed else 0
