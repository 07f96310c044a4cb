"""How long a printer hears nothing when the core is killed in the middle of a print: a real systemd in a box, the
service as it is installed, the simulated firmware behind a pty, and repeated SIGKILLs.

  line ms     from SIGKILL to the next line of the print at the printer
  start ms    from systemd's start of the new core until it is active, which means that it has said that it is ready
  imports ms  time to import the core's modules, each time in a new process

It needs root. The print has to arrive whole, each line once.
"""

import argparse
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import prints
from tests.support import systemd_box
from tests.support.systemd_box import Box, BoxDaemon, BoxPrinter

SUMMARY = "from SIGKILL to the next line at the printer, on a real systemd"
LIMIT = 600.0  # ms
KILL_INTERVAL = 4.0  # s; systemd allows ten starts in 30 s
LINES_PER_S = 220  # of the print, roughly: it has to outlast the kills
SILENCE_TIMEOUT = 30.0  # s; a print that does not continue within this time has ended
POLL = 0.001  # s between two looks at what the printer has accepted

IMPORTS = "import daemon.cli.core, daemon.core.main, hal.driver, hal.serial_port"


class PrintEnded(Exception):
    """The print has ended with the core."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and show."""
    args = _parser().parse_args(arguments)
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nozzled-bench-")))
            box = stack.enter_context(systemd_box.booted(folder / "box"))
            systemd_box.bring_checkout(box)
            times, whole = measure(box, folder, args.kills)
    except (systemd_box.CannotRun, PrintEnded) as error:
        sys.stderr.write(f"bench restart: {error}\n")
        return 2
    return show(times, whole=whole)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench restart", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=10, metavar="N", help="how often (10)")
    return parser


def measure(box: Box, folder: Path, kills: int) -> tuple[list[tuple[float, float, float]], bool]:
    """Return the times of each kill in ms, and whether the print arrived whole."""
    systemd_box.configure(box)
    systemd_box.install(box)
    daemon, printer = BoxDaemon(box), BoxPrinter(box, speed=1)
    job = prints.write(folder, "vase", round((kills + 2) * (KILL_INTERVAL + 2) * LINES_PER_S))
    daemon.print_file("vase.gcode", job.path.read_bytes())
    box.until(lambda: len(printer.accepted()) > 100, "the print to be under way")
    times = [_kill(box, printer) for _ in range(kills)]
    box.until(lambda: daemon.state == "Operational", "the print's end", seconds=600)
    return times, prints.job_hash(printer.accepted())[1] == job.sha256


def _kill(box: Box, printer: BoxPrinter) -> tuple[float, float, float]:
    time.sleep(KILL_INTERVAL + random.random())  # anywhere in the print
    pid = box.outer_pid(box.main_pid("nozzled.service"))
    size = printer.oracle.stat().st_size
    os.kill(pid, signal.SIGKILL)
    silence = _longest_silence(printer.oracle, time.monotonic(), size)
    box.until(lambda: box.show("nozzled.service", "ActiveState") == "active", "the next core")
    begun, active = (
        int(box.show("nozzled.service", f"{name}TimestampMonotonic")) for name in ("InactiveExit", "ActiveEnter")
    )
    return silence, (active - begun) / 1000, _imports(box)


def _longest_silence(oracle: Path, killed: float, size: int) -> float:
    """Return the ms from the kill to the end of the longest silence; before it the board works its buffers off."""
    heard, longest, ended = killed, 0.0, killed
    while (now := time.monotonic()) - killed < SILENCE_TIMEOUT:
        if (there := oracle.stat().st_size) != size:
            if now - heard > longest:
                longest, ended = now - heard, now
            heard, size = now, there
        elif now - heard > SILENCE_TIMEOUT / 2:
            raise PrintEnded("no more lines came")
        if now - killed > max(3.0, 2 * (ended - killed)) and ended > killed:
            return 1000 * (ended - killed)
        time.sleep(POLL)
    raise PrintEnded("no more lines came")


def _imports(box: Box) -> float:
    code = f"import time; began = time.perf_counter(); {IMPORTS}; print(1000 * (time.perf_counter() - began))"
    return float(box.run("/opt/nozzled/current/bin/python", "-I", "-c", code))


def show(times: list[tuple[float, float, float]], *, whole: bool) -> int:
    """Print a row for each kill, then the limits."""
    print("kill  line ms  start ms  imports ms")
    for number, each in enumerate(times, 1):
        print(f"{number:4} {each[0]:8.0f} {each[1]:9.0f} {each[2]:11.0f}")
    median = statistics.median(each[0] for each in times)
    print("\nwanted")
    print(f"  {_met(median <= LIMIT)} median: {median:.0f} ms, wanted <= {LIMIT:.0f} ms")
    print(f"  {_met(whole)} the print is whole, each line once")
    return 0 if whole else 1


def _met(met: bool) -> str:
    return "met    " if met else "NOT MET"
