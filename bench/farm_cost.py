"""What a printer of a farm costs its computer: with and without the agent, mqtt, and /metrics read every 15 s."""

import http.client
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from bench.folders import ROOT
from bench.processes import memory, own_cpu_seconds, tree

SCRAPE = 15.0  # s
LOOK = 0.5  # s
SETTLE = 10.0  # s


def main(seconds: float) -> int:
    """Measure and show, so many seconds for each row."""
    sys.path.insert(0, str(ROOT / "tests"))
    from support.fleet import Fleet  # noqa: PLC0415 - the tests' own, found where they are
    from support.mqtt import Mosquitto  # noqa: PLC0415 - as above

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nozzled-cost-")))
        broker = Mosquitto(folder).start()
        stack.callback(broker.end)
        fleet = Fleet(folder / "farm", 1, speed=1.0, broker=broker.port)
        stack.callback(fleet.close)
        fleet.start()
        printer = fleet.printers[0]
        sys.stdout.write("                          CPU % of a core                 RSS / PSS MiB\n")
        sys.stdout.write("                     core  front  agent   mqtt     core      front     agent     mqtt\n")
        time.sleep(SETTLE)
        row("idle", printer, seconds)
        row("idle, read", printer, seconds, scraped=True)
        fleet.submit(1, 1, moves=int(seconds * 4 * 10 + 3000))
        while not fleet.printing():
            fleet.clear_beds()
            time.sleep(LOOK)
        time.sleep(SETTLE)
        row("printing", printer, seconds)
        row("printing, read", printer, seconds, scraped=True)
        printer.mqtt.end()
        row("… without mqtt", printer, seconds)
        printer.agent.end()
        row("… nor agent", printer, seconds)
    return 0


def row(what: str, printer: Any, seconds: float, *, scraped: bool = False) -> None:
    """Measure and write a row."""
    core, front = tree(printer.service.pid)[:2]
    pids = [core, front, *(child.pid for child in (printer.agent, printer.mqtt) if child.running)]
    before, began, read = [own_cpu_seconds(pid) for pid in pids], time.monotonic(), time.monotonic() - SCRAPE
    while time.monotonic() - began < seconds:
        if scraped and time.monotonic() - read >= SCRAPE:
            scrape(printer.port)
            read = time.monotonic()
        time.sleep(LOOK)
    took = time.monotonic() - began
    used = [100 * (own_cpu_seconds(pid) - start) / took for pid, start in zip(pids, before, strict=True)]
    sizes = [memory(pid, alone=True) for pid in pids]
    shares = " ".join(f"{each:6.2f}" for each in used)
    held = "  ".join(f"{rss:.1f}/{pss:.1f}" for rss, pss in sizes)
    sys.stdout.write(f"{what:18} {shares:28}  {held}\n")
    sys.stdout.flush()


def scrape(port: int) -> None:
    """Read the figures, as Prometheus does."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
        connection.getresponse().read()
