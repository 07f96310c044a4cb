"""What a process and its children cost, from outside: CPU, memory, threads."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
MIB = 1024  # KiB
_CPU_CLOCK = 2  # CPUCLOCK_SCHED: the clock id of a process holds its number and this


def tree(pid: int) -> list[int]:
    """Return the process and its living descendants."""
    pids = [pid]
    for each in pids:  # grows while it is walked
        with suppress(OSError):
            for task in Path(f"/proc/{each}/task").iterdir():
                pids += map(int, (task / "children").read_text().split())
    return pids


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of the tree, and of those children that have ended and were waited for."""
    total = 0.0
    for each in tree(pid):
        with suppress(OSError):
            total += time.clock_gettime((~each << 3) | _CPU_CLOCK)  # to the nanosecond; /proc has ticks of 10 ms
            total += sum(map(int, Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()[13:15])) / TICK
    return total


def own_cpu_seconds(pid: int) -> float:
    """Return the CPU time of this process alone."""
    return time.clock_gettime((~pid << 3) | _CPU_CLOCK)


def memory(pid: int, *, alone: bool = False) -> tuple[float, float]:
    """Return RSS and PSS of the tree in MiB, or of this process alone."""
    found = {"Rss": 0, "Pss": 0}
    for each in [pid] if alone else tree(pid):
        with suppress(OSError):
            for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
                key = line.split(":")[0]
                if key in found:
                    found[key] += int(line.split()[1])
    return found["Rss"] / MIB, found["Pss"] / MIB


def peak_memory(pid: int) -> float:
    """Return the largest resident size so far in MiB, summed over the tree."""
    total = 0
    for each in tree(pid):
        with suppress(OSError):
            lines = Path(f"/proc/{each}/status").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return total / MIB


def threads(pid: int) -> int:
    """Return the number of threads in the tree."""
    return sum(len(list(Path(f"/proc/{each}/task").iterdir())) for each in tree(pid))


def stop(process: "subprocess.Popen[bytes]", patience: float = 20.0) -> None:
    """End a process: SIGTERM, and SIGKILL when that does not help."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


@contextmanager
def niceness(value: int) -> Iterator[None]:
    """Run the block, and processes started in it, at this niceness; print a note if that is not allowed."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    _renice(value or before)
    try:
        yield
    finally:
        _renice(before)


def _renice(value: int) -> None:
    try:
        os.setpriority(os.PRIO_PROCESS, 0, value)
    except PermissionError:
        sys.stderr.write(f"niceness {value} needs root: measuring without it, expect noise\n")


def environment(**extra: str) -> dict[str, str]:
    """Return an environment for a host: without the caller's settings, with cached byte code."""
    drop = ("NOZZLED_", "PYTHONDONTWRITEBYTECODE", "PYTHONASYNCIODEBUG")
    return {name: value for name, value in os.environ.items() if not name.startswith(drop)} | extra
