"""A farm of many printers: real NATS, the real server, and agents in one process, each with a printer in memory.

  claims/s   copies begun, from the start of the agents to the end of the last copy, or to --limit
  ready ms   from the moment a printer is ready to the start of its print: median, 99 %
  twice      starts of copies that had been started before, as the printers report; has to be 0
  orphans    copies that are offered, claimed or printing in the list at the end

A share of the agents is killed at any step of their lives, the server twice, NATS twice. Prints last some seconds. The
list is on the disk of --folder, the agents' notes are in memory: in a real farm each agent has a disk of its own.
"""

import argparse
import hashlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import farm_cost
from bench.folders import ROOT
from bench.processes import cpu_seconds, memory, stop

SUMMARY = "claims, memory and waits of a farm of many agents, of which some are killed"
FILE = b"G28\nG1 X10 F3000\n" * 100
BATCH = 500
LOOK = 2.0  # s
HEAD = "agents   jobs   claims/s  ready ms p50 p99   twice  orphans  killed  MiB: server NATS agents  CPU s\n"
IN_MEMORY = Path("/dev/shm")
KILLS = (0.2, 0.4, 0.6, 0.8)  # of all copies: server, NATS, server, NATS


@dataclass(frozen=True, slots=True)
class FarmRun:
    """What one run has shown; CPU in s, memory in MiB."""

    agents: int
    jobs: int
    seconds: float
    counts: dict[str, int]
    seen: dict[str, Any]
    server: tuple[float, float]
    nats: tuple[float, float]
    unmatched: int

    @property
    def rate(self) -> float:
        """Copies a second."""
        return self.seen["begun"] / self.seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and show."""
    parser = argparse.ArgumentParser(
        prog="python -m bench farm", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--agents", type=int, nargs="+", default=[2000], metavar="N", help="how many (2000); several: one run each")
    add("--jobs", type=int, nargs="+", default=[20000], metavar="N", help="how many (20000), one for each --agents")
    add("--print", dest="lasts", type=float, default=20.0, metavar="S", help="how long a print lasts (20)")
    add("--killed", type=float, default=0.02, metavar="X", help="share of agents that are killed (0.02)")
    add("--limit", type=float, default=1800.0, metavar="S", help="give up after so long (1800)")
    add("--cost", type=float, metavar="S", help="instead: what one printer's processes cost, S seconds for each row")
    add("--folder", type=Path, metavar="DIR", help="a folder on the disk (the temporary one)")
    args = parser.parse_args(arguments)
    if len(args.agents) != len(args.jobs):
        parser.error("--agents and --jobs need the same number of values")
    if args.cost is not None:
        return farm_cost.main(args.cost)
    bad = 0
    sys.stdout.write(HEAD)
    for agents, jobs in zip(args.agents, args.jobs, strict=True):
        run = measure(agents, jobs, args)
        show(run)
        bad += run.seen["twice"] + run.unmatched
    return 1 if bad else 0


def show(run: FarmRun) -> None:
    """Write a row."""
    seen, counts = run.seen, run.counts
    orphans = sum(counts.get(state, 0) for state in ("offered", "claimed", "printing"))
    figures = (
        f"{run.agents:6} {run.jobs:6} {run.rate:10.1f} {seen['p50'] * 1000:12.0f} {seen['p99'] * 1000:7.0f}",
        f"{seen['twice']:10} {orphans:8} {seen['killed']:7} {run.server[1]:12.0f} {run.nats[1]:4.0f}",
        f"{seen['rss']:6.0f}  {run.server[0]:.0f} {run.nats[0]:.0f} {seen['cpu']:.0f}   {run.seconds:.0f} s, {counts},",
        f"refused starts {seen['refused']}, done and never begun {run.unmatched}",
    )
    sys.stdout.write(" ".join(figures) + "\n")
    sys.stdout.flush()


def measure(agents: int, jobs: int, args: argparse.Namespace) -> FarmRun:
    """Run a farm until all is printed."""
    sys.path.insert(0, str(ROOT / "tests"))
    from support.nats import FarmServerProcess, NatsProcess  # noqa: PLC0415 - the tests' own, found where they are

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=args.folder, prefix="nozzled-farm-")))
        notes = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=IN_MEMORY, prefix="nozzled-farm-")))
        nats = NatsProcess(folder)
        stack.callback(nats.stop)
        server = FarmServerProcess(folder / "server", nats.url)
        ended = [server]
        stack.callback(lambda: [each.end() for each in ended])
        server.upload("part.gcode", FILE, copies=1)
        fill(folder / "server/state", jobs - 1)
        command = [sys.executable, "-m", "bench.farm_agents", nats.url, str(agents), str(args.lasts), str(args.killed)]
        began = time.monotonic()
        log = stack.enter_context((folder / "agents.log").open("wb"))
        crowd = subprocess.Popen([*command, notes / "agents"], cwd=ROOT, stdout=subprocess.PIPE, stderr=log)
        stack.callback(stop, crowd)
        kills, spent, largest = [*KILLS], [0.0, 0.0], [0.0, 0.0]
        while True:
            time.sleep(LOOK)
            if crowd.poll() is not None or time.monotonic() - began > args.limit:
                break
            counts = count(server)
            for which, pid in enumerate((server.pid, nats.process.pid)):
                largest[which] = max(largest[which], memory(pid, alone=True)[0])
            over = sum(counts.get(state, 0) for state in ("done", "failed", "cancelled"))
            if counts and over >= jobs:
                break
            if kills and over >= kills[0] * jobs:
                if len(kills) % 2 == 0:
                    spent[0] += cpu_seconds(server.pid)
                    server.end()
                    server = FarmServerProcess(folder / "server", nats.url)
                    ended.append(server)
                else:
                    spent[1] += cpu_seconds(nats.process.pid)
                    nats.stop()
                    nats.start()
                kills.pop(0)
        seconds = time.monotonic() - began
        spent = [spent[0] + cpu_seconds(server.pid), spent[1] + cpu_seconds(nats.process.pid)]
        counts, done = count(server), done_copies(folder / "server/state")
        if not server.running:
            sys.stderr.write("".join(server.output().splitlines(keepends=True)[-20:]))
        crowd.send_signal(signal.SIGTERM)
        out = crowd.communicate(timeout=120)[0]
        if not out:
            sys.stderr.write((folder / "agents.log").read_text()[-2000:])
        result = json.loads(out)
        unmatched = len(done - set(result.pop("copies")))
        return FarmRun(
            agents, jobs, seconds, counts, result, (spent[0], largest[0]), (spent[1], largest[1]), unmatched
        )  # fmt: skip


def fill(state: Path, jobs: int) -> None:
    """Put jobs into the list while the server uses it."""
    from daemon.farm.list.job_list import JobList  # noqa: PLC0415 - imported only to run a farm
    from daemon.farm.list.values import JobRequest  # noqa: PLC0415 - as above

    sha256 = hashlib.sha256(FILE).hexdigest()
    with closing(JobList(f"sqlite:///{state / 'farm.db'}", time.time)) as listed:
        for number in range(jobs):
            listed.add(JobRequest(sha256=sha256, name=f"part {number}", priority=number % 3))


def count(server: Any) -> dict[str, int]:
    """Return how many copies are in each state; nothing while the server does not answer."""
    with suppress(OSError, ValueError, AssertionError):
        status, told = server.ask("GET", "")
        if status == 200:
            return {state: number for state, number in told["copies"].items() if number}
    return {}


def done_copies(state: Path) -> set[str]:
    """Return the copies that the list calls done."""
    import sqlite3  # noqa: PLC0415 - imported only to run a farm

    with closing(sqlite3.connect(f"file:{state / 'farm.db'}?mode=ro", uri=True)) as db:
        return {row[0] for row in db.execute("SELECT id FROM farm_copies WHERE state = 'done'")}
