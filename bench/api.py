"""The API under load while a job is printed: many clients that poll /api/job, sockets, and an upload; the daemon's
answers beside OctoPrint's in the same run, and whether the planner ran dry meanwhile.

  p50, p99    percentiles of the time for an answer to GET /api/job, in ms
  messages    messages that the sockets received
  RSS         memory of the host without its children (one may analyse the upload), before and after the load

The load comes from this process. OctoPrint is measured if bench/peers.sh has installed it in `--peers-dir`.
"""

import argparse
import asyncio
import json
import statistics
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tornado.websocket import websocket_connect

from bench import folders, hosts, prints
from bench.client import Client
from bench.fakeprinter import FakePrinter, NoCompiler, build
from bench.hosts import HostFailed, ServerHost
from bench.load import Load, LoadResult
from bench.processes import MIB

SUMMARY = "200 polling clients, 20 sockets and an upload beside a print: latency, underruns, memory"
BAUDRATE = 115200
MOVES = 6_000
PERIOD = 1.0  # s between two requests of a client
POLL = 1.0
MAX_RATIO = 0.5  # at most this share of OctoPrint's 99th percentile is wanted
MAX_GROWTH = 8.0  # MiB that the load may leave behind


@dataclass(frozen=True, slots=True)
class HostFigures:
    """One host under load."""

    name: str
    load: LoadResult
    messages: int
    underruns: int
    intact: bool
    rss: tuple[float, float]  # MiB, before and after the load

    def percentile(self, percent: int) -> float:
        """Return how long an answer took, in ms."""
        return 1000 * statistics.quantiles(self.load.seconds, n=100)[percent - 1] if self.load.requests > 1 else 0.0


class Sockets:
    """Clients of the push messages, in their own thread, that count received messages."""

    def __init__(self, client: Client, count: int) -> None:
        """Take whom to listen to; each client logs in for itself."""
        self.messages = 0
        self._url = f"ws://{client.netloc}/sockjs/websocket"
        self._logins = [_login(client) for _ in range(count)]
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="sockets")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> int:
        """End; return how many messages came."""
        self._stopped.set()
        self._thread.join()
        return self.messages

    async def _run(self) -> None:
        tasks = [asyncio.create_task(self._listen(login)) for login in self._logins]
        await asyncio.to_thread(self._stopped.wait)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self, login: str) -> None:
        socket = await websocket_connect(self._url)
        try:
            await socket.write_message(login)
            while await socket.read_message() is not None:
                self.messages += 1
        finally:
            socket.close()


def _login(client: Client) -> str:
    user = client.call("POST", "/api/login", {"passive": True})
    return json.dumps({"auth": f"{user['name']}:{user['session']}"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and show; 1 when a print was not intact."""
    args = _parser().parse_args(arguments)
    try:
        measured = list(measure(args))
    except (HostFailed, NoCompiler) as error:
        sys.stderr.write(f"bench api: {error}\n")
        return 2
    show(measured)
    return 0 if all(each.intact for each in measured) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench api", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--clients", type=int, default=200, metavar="N", help="that ask for /api/job each second (200)")
    add("--sockets", type=int, default=20, metavar="N", help="that listen to push messages (20)")
    add("--megabytes", type=int, default=100, metavar="N", help="size of the upload (100)")
    add("--moves", type=int, default=MOVES, metavar="N", help=f"length of the print ({MOVES})")
    add("--peers-dir", type=Path, metavar="DIR", help="where bench/peers.sh has installed OctoPrint")
    add("--patience", type=float, default=300.0, metavar="S", help="seconds that one print may take (300)")
    return parser


def measure(args: argparse.Namespace) -> Iterator[HostFigures]:
    """Measure the daemon, then OctoPrint if it is installed.

    Raises:
        HostFailed: a host fails.
        NoCompiler: there is no compiler for the fake printer.
    """
    binary = build(folders.cache())
    with ExitStack() as stack:
        folder = Path(stack.enter_context(hosts.scratch()))
        job = prints.write(folder, "vase", args.moves)
        for start, ports in _hosts(args, folder):
            host = start()
            try:
                yield _measure(host, FakePrinter(binary, ports / "printer", _OPTIONS), job, args)
            finally:
                host.stop()


_OPTIONS = ["--baud", str(BAUDRATE), "--planner"]


def _hosts(args: argparse.Namespace, folder: Path) -> Iterator[tuple[Callable[[], ServerHost], Path]]:
    yield lambda: hosts.nozzled(folder / "ports", folder), folder / "ports"
    if args.peers_dir is not None:
        peers = args.peers_dir.resolve()
        yield lambda: hosts.octoprint(peers, folder), peers / "ports"


def _measure(host: ServerHost, printer: FakePrinter, job: prints.PrintFile, args: argparse.Namespace) -> HostFigures:
    """Print one job under load."""
    try:
        host.connect(printer.link, BAUDRATE, job)
        sockets = Sockets(host.client, args.sockets)
        load = Load(host.client.netloc, host.client.headers, args.megabytes, args.clients, PERIOD)
        before = _resident(host.pid)
        sockets.start()
        load.start()
        try:
            host.print_file(POLL, args.patience)
        finally:
            loaded, messages = load.stop(), sockets.stop()
        after = _resident(host.pid)
        host.disconnect()
    finally:
        stats: dict[str, Any] = printer.stop()
    intact = stats["sha256_job"] == job.sha256
    return HostFigures(host.name, loaded, messages, stats["underruns"], intact, (before, after))


def _resident(pid: int) -> float:
    """Return the resident memory of one process, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / MIB


def show(measured: Sequence[HostFigures]) -> None:
    """Print a row for each host, then the limits."""
    print(
        "host       requests  p50 ms  p99 ms  failed  messages  uploaded MB  underruns  RSS MiB before   after  intact"
    )
    for each in measured:
        print(
            f"{each.name:10} {each.load.requests:8} {each.percentile(50):7.1f} {each.percentile(99):7.1f}"
            f" {each.load.failed:7} {each.messages:9} {each.load.megabytes:12.0f} {each.underruns:10}"
            f" {each.rss[0]:15.1f} {each.rss[1]:7.1f}  {'yes' if each.intact else 'NO':>6}"
        )
    ours = measured[0]
    print("\nwanted")
    print(f"  {_met(ours.underruns == 0)} underruns: {ours.underruns}, wanted 0")
    growth = ours.rss[1] - ours.rss[0]
    print(
        f"  {_met(growth <= MAX_GROWTH)} memory that the load leaves behind: {growth:.1f} MiB, wanted <= {MAX_GROWTH:g}"
    )
    if len(measured) > 1:
        ratio = ours.percentile(99) / measured[1].percentile(99)
        print(f"  {_met(ratio <= MAX_RATIO)} p99 divided by OctoPrint's: {ratio:.2f}, wanted <= {MAX_RATIO:g}")


def _met(met: bool) -> str:
    return "met    " if met else "NOT MET"
