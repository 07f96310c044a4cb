"""What the daemon costs while it does nothing: in an environment with its runtime dependencies only, connected to
the simulated printer behind a pty, asked 50 times, then left alone.

  HTTP           seconds from the start of the process to the first answer
  READY          seconds from the start until the log says that the printer is READY
  start-up CPU   CPU time until both have happened
  core CPU       CPU time of the core until the printer is READY
  RSS, PSS       memory after the requests, of core, front and both; PSS is less if other Pythons run, as they share
                 pages
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bench.folders import ROOT
from bench.hosts import KEY, HostFailed, ServerHost, scratch
from bench.processes import (
    cpu_seconds,
    environment,
    memory,
    niceness,
    own_cpu_seconds,
    peak_memory,
    stop,
    threads,
    tree,
)

SUMMARY = "start-up, memory, idle CPU and threads of the daemon, connected"
REQUESTS = 50
READY_TIMEOUT = 30.0  # s
SETTLE = 5.0  # s between the requests and the measurement
PATHS = ("/api/job", "/api/printer", "/api/connection", "/api/files")
CORE_MIB, FRONT_MIB, BOTH_PSS_MIB = 28.0, 38.0, 56.0
CPU_SHARE = 0.003
CORE_CPU = 0.25


@dataclass(slots=True)
class IdleFigures:
    """What was measured; seconds and MiB."""

    http: float = 0.0
    ready: float = 0.0
    start_cpu: float = 0.0
    core_cpu: float = 0.0
    core_rss: float = 0.0
    front_rss: float = 0.0
    pss: float = 0.0
    peak: float = 0.0
    cpu_share: float = 0.0
    threads: int = 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and show."""
    args = _parser().parse_args(arguments)
    try:
        with ExitStack() as stack, niceness(args.nice):
            folder = Path(stack.enter_context(scratch()))
            python = args.python or _install(folder / "venv")
            show([measure(python, folder / str(run), args.seconds) for run in range(args.repeat)])
    except (HostFailed, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"bench idle: {error}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench idle", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--seconds", type=float, default=30.0, metavar="S", help="how long to watch it do nothing (30)")
    add("--repeat", type=int, default=3, metavar="N", help="daemons to start, one after the other (3)")
    add("--nice", type=int, default=0, metavar="N", help="niceness of the daemon; -15, as root, on a busy machine")
    add("--python", type=Path, metavar="PYTHON", help="of an environment with nozzled, instead of a new one")
    return parser


def _install(venv: Path) -> Path:
    """Return the interpreter of a new environment, with what `pip install` gives a user."""
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    subprocess.run(
        [venv / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", ROOT], check=True
    )
    return venv / "bin/python"


def measure(python: Path, folder: Path, seconds: float) -> IdleFigures:
    """Start a separate daemon, send it requests, leave it idle; return its cost."""
    folder.mkdir()
    with ExitStack() as stack:
        link = folder / "printer"
        stack.callback(stop, _simulated_printer(link))
        # isolated: what stands in the checkout is not what is installed
        command: list[str | Path] = [
            python,
            "-I",
            "-m",
            "daemon",
            "serve",
            "--port",
            "0",
            "--state-dir",
            folder / "state",
        ]
        host = ServerHost("nozzled", [*command, "--printer", f"serial:{link}"], "", KEY, folder)
        stack.callback(host.stop)
        found = IdleFigures(ready=_until_ready(host), core_cpu=own_cpu_seconds(host.pid))
        found.http, found.start_cpu = host.started - host.began, cpu_seconds(host.pid)
        _ask(host)
        time.sleep(SETTLE)
        _leave_alone(host.pid, seconds, found)
        return found


def _simulated_printer(link: Path) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [sys.executable, "-m", "hal.simulated", "--pty", link],
        stdout=subprocess.DEVNULL,
        cwd=ROOT,
        env=environment(),
    )
    end = time.monotonic() + 30
    while not link.exists():
        if process.poll() is not None or time.monotonic() > end:
            stop(process)
            raise HostFailed("the simulated printer did not start")
        time.sleep(0.01)
    return process


def _until_ready(host: ServerHost) -> float:
    """Wait for the printer; return the seconds. It reads the log, as a request would cost the daemon CPU time."""
    end = time.monotonic() + READY_TIMEOUT
    while not (connected := host.events("printer.connected")):
        if time.monotonic() > end:
            raise HostFailed(f"the printer was not READY within {READY_TIMEOUT:g} s")
        time.sleep(0.01)
    return datetime.fromisoformat(connected[0]["timestamp"]).timestamp() - host.born


def _ask(host: ServerHost) -> None:
    for index in range(REQUESTS):
        host.client.call("GET", PATHS[index % len(PATHS)])


def _leave_alone(pid: int, seconds: float, found: IdleFigures) -> None:
    cpu, began = cpu_seconds(pid), time.monotonic()
    time.sleep(seconds)
    found.cpu_share = (cpu_seconds(pid) - cpu) / (time.monotonic() - began)
    _, found.pss = memory(pid)
    found.core_rss, found.front_rss = memory(pid, alone=True)[0], memory(_front(pid), alone=True)[0]
    found.peak = peak_memory(pid)
    found.threads = threads(pid)


def _front(pid: int) -> int:
    """Return the core's child that serves users and programs: its only one while nothing is analysed."""
    return tree(pid)[1]


def show(runs: list[IdleFigures]) -> None:
    """Print a row for each run, and the limits."""
    print("HTTP s  READY s  core CPU s  start-up CPU s  core RSS  front RSS  PSS MiB  peak MiB  idle CPU %  threads")
    for run in runs:
        print(
            f"{run.http:6.2f} {run.ready:8.2f} {run.core_cpu:11.2f} {run.start_cpu:15.2f} {run.core_rss:9.1f}"
            f" {run.front_rss:10.1f} {run.pss:8.1f} {run.peak:9.1f} {100 * run.cpu_share:11.3f} {run.threads:8}"
        )
    median = sorted(runs, key=lambda run: run.start_cpu)[len(runs) // 2]
    print("\nwanted (of the run with the median start-up CPU)")
    for what, value, limit in (
        ("core CPU s until READY", median.core_cpu, CORE_CPU),
        ("RSS MiB of the core", median.core_rss, CORE_MIB),
        ("RSS MiB of the front", median.front_rss, FRONT_MIB),
        ("PSS MiB of both", median.pss, BOTH_PSS_MIB),
        ("idle CPU %", 100 * median.cpu_share, 100 * CPU_SHARE),
        ("seconds that READY comes after HTTP", max(0.0, median.ready - median.http), 0.0),
    ):
        print(f"  {'met    ' if value <= limit else 'NOT MET'} {what}: {value:.3g}, wanted <= {limit:g}")
