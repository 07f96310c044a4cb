"""What is written to the disk (an SD card, for example) during a print, on a simulated printer at real speed.

  written  bytes that core and front have the kernel write to the disk in an hour (write_bytes in /proc)
  notes    notes of the place in an hour; each is synced separately

The state directory has to be on a disk: on a tmpfs nothing is written.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import prints
from bench.folders import ROOT
from bench.hosts import KEY, HostFailed, ServerHost, scratch
from bench.processes import environment, stop, tree

SUMMARY = "bytes written to the disk for each hour of print"
FIRMWARES = ("marlin", "marlin1.0")
SETTLE = 20.0  # s of print before it counts
HOUR = 3600.0
MIB = 1024 * 1024
MOVES = 200_000
WANTED = 30.0  # MiB an hour


@dataclass(frozen=True, slots=True)
class WearFigures:
    """What was written in an hour: MiB, and times that the disk was waited for."""

    firmware: str
    written: float
    notes: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and show."""
    parser = argparse.ArgumentParser(
        prog="python -m bench wear", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=180.0, metavar="S", help="how long to watch each print (180)")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="a folder on the disk (the temporary one)")
    args = parser.parse_args(arguments)
    try:
        with ExitStack() as stack:
            folder = args.folder or Path(stack.enter_context(scratch()))
            show([measure(folder / name, name, args.seconds) for name in FIRMWARES])
    except HostFailed as error:
        sys.stderr.write(f"bench wear: {error}\n")
        return 2
    return 0


def measure(folder: Path, firmware: str, seconds: float) -> WearFigures:
    """Print on a printer of this kind; return what was written."""
    folder.mkdir()
    link, state = folder / "printer", folder / "state"
    with ExitStack() as stack:
        printer = subprocess.Popen(
            [sys.executable, "-m", "hal.simulated", "--pty", link, "--firmware", firmware, "--baudrate", "115200"],
            stdout=subprocess.DEVNULL,
            cwd=ROOT,
            env=environment(),
        )
        stack.callback(stop, printer)
        while not link.exists():
            time.sleep(0.01)
        command: list[str | Path] = [sys.executable, "-m", "daemon", "serve", "--port", "0", "--state-dir", state]
        host = ServerHost("nozzled", [*command, "--printer", f"serial:{link}"], "", KEY, folder)
        stack.callback(host.stop)
        host.client.until_connection(("Operational",))
        job = prints.write(folder, "vase", MOVES)
        host.client.select(job.path)
        host.client.start()
        time.sleep(SETTLE)
        before, began, count = bytes_written(host.pid), time.monotonic(), count_notes(state / "place")
        time.sleep(seconds)
        hours = (time.monotonic() - began) / HOUR
        if host.client.finished():
            raise HostFailed("the print was over before it was measured")
        return WearFigures(
            firmware, (bytes_written(host.pid) - before) / MIB / hours, (count_notes(state / "place") - count) / hours
        )


def bytes_written(pid: int) -> int:
    """Return the bytes that the processes have had written to a disk so far."""
    found = 0
    for each in tree(pid):
        for line in Path(f"/proc/{each}/io").read_text().splitlines():
            if line.startswith("write_bytes:"):
                found += int(line.split()[1])
    return found


def count_notes(path: Path) -> int:
    """Return how often the note of the place was written."""
    from daemon.core.record.place_file import SLOT  # noqa: PLC0415 - a benchmark runs without it otherwise

    if not path.exists():
        return 0
    fd = os.open(path, os.O_RDONLY)
    try:
        return max(int.from_bytes(os.pread(fd, 8, at), "little") for at in (0, SLOT))
    finally:
        os.close(fd)


def show(runs: list[WearFigures]) -> None:
    """Print a row for each run, and the limits."""
    print("firmware     written MiB/h   notes of the place /h")
    for run in runs:
        print(f"{run.firmware:12} {run.written:13.1f} {run.notes:23.0f}")
    print("\nwanted")
    for run in runs:
        met = "met    " if run.written <= WANTED else "NOT MET"
        print(f"  {met} MiB written in an hour of print, {run.firmware}: {run.written:.1f}, wanted <= {WANTED:g}")
