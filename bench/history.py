"""Lists after years: how long answers about 100,000 prints and 10,000 files take, without other load.

  first    ms for the first answer
  median   ms for each of the answers after it

The record is written while the daemon is down. At the first request the history copies it, in the background.
"""

import argparse
import sqlite3
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from http import HTTPStatus
from pathlib import Path

from bench import hosts
from bench.client import Client

SUMMARY = "history, queue and lists of files with 100,000 prints and 10,000 files"
PATHS = (
    "/api/history?limit=50",
    "/api/history?limit=50&state=failed",
    "/api/history?limit=50&q=part-77",
    "/api/history/totals?by=month",
    "/api/history/totals?by=path",
    "/api/history.csv",
    "/api/queue",
    "/api/settings",
    "/api/files",
    "/api/files?recursive=true",
    "/api/files/local/folder-7",
)
FOLDERS = 100
DAY = 86_400.0
COPY_TIMEOUT = 600.0  # s that the copy may take
_JOB = """
    INSERT INTO jobs (id, path, name, size, mtime_ns, origin, printer, state, started_at, ended_at, outcome, print_time)
    VALUES (?, ?, ?, 30, 0, 'local', 'bench', ?, ?, ?, ?, 600)
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and show."""
    parser = argparse.ArgumentParser(
        prog="python -m bench history", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=100_000, metavar="N", help="prints in the record (100000)")
    parser.add_argument("--files", type=int, default=10_000, metavar="N", help="files among the uploads (10000)")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="answers after the first (5)")
    args = parser.parse_args(arguments)
    with hosts.scratch() as scratch:
        folder = Path(scratch)
        hosts.nozzled(folder / "ports", folder).stop()  # makes the database
        database = next(folder.rglob("nozzled.db"))
        paths = _files(database.parent / "uploads", args.files)
        _jobs(database, paths, args.jobs)
        host = hosts.nozzled(folder / "ports", folder)
        try:
            _measure(host.client, args.jobs, args.repeat)
        finally:
            host.stop()
    return 0


def _files(uploads: Path, count: int) -> list[str]:
    paths = [f"folder-{n % FOLDERS}/part-{n}.gcode" for n in range(count)]
    for path in paths:
        (uploads / path).parent.mkdir(parents=True, exist_ok=True)
        (uploads / path).write_bytes(b"G28\nG1 X10 Y10 E1 F1200\n")
    return paths


def _jobs(database: Path, paths: list[str], count: int) -> None:
    ended = [("COMPLETED", "FAILED")[n % 20 == 0] for n in range(count)]
    begun = time.time() - DAY * 1000
    rows = (
        (n + 1, path, path.rpartition("/")[2], end, at, at + 600, end)
        for n, end in enumerate(ended)
        for path, at in [(paths[n % len(paths)], begun + n * DAY * 1000 / count)]
    )
    with closing(sqlite3.connect(database)) as db, db:
        db.executemany(_JOB, rows)


def _measure(client: Client, jobs: int, repeat: int) -> None:
    began = time.monotonic()
    while client.call("GET", "/api/history/totals")["all"]["prints"] < jobs:
        if time.monotonic() - began > COPY_TIMEOUT:
            raise hosts.HostFailed(f"the history has not copied {jobs} prints in {COPY_TIMEOUT:g} s")
        time.sleep(0.5)
    sys.stdout.write(f"{jobs} prints are copied in {time.monotonic() - began:.1f} s\n\n{'':40}   first  median\n")
    for path in PATHS:
        first, *more = [_seconds(client, path) for _ in range(repeat + 1)]
        sys.stdout.write(f"{path:40}{1000 * first:8.1f}{1000 * statistics.median(more or [first]):8.1f}\n")
        sys.stdout.flush()


def _seconds(client: Client, path: str) -> float:
    began = time.perf_counter()
    status, _ = client.request("GET", path)
    if status != HTTPStatus.OK:
        raise hosts.HostFailed(f"GET {path}: HTTP {status}")
    return time.perf_counter() - began
