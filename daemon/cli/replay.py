"""`nozzled replay`: run a recorded session again against this version of the host, or show it."""

import argparse
from pathlib import Path

from gcode.replies import decode
from hal.replay import dialogue
from hal.rerun import ReplayOutcome, rerun
from hal.session_file import RecordedSession, read
from hal.simulated import clock

EXAMPLE = "nozzled replay /var/lib/nozzled/recordings/session-20261122-101500-0.part001.jsonl.gz"

DIFFERENT = 1


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument(
        "file", type=Path, nargs="+", metavar="FILE", help="the recording; all its parts in order if it has several"
    )
    parser.add_argument("--lenient", action="store_true", help="continue after a difference")
    parser.add_argument("--show", action="store_true", help="print the dialogue instead of running it")


def run(args: argparse.Namespace) -> int:
    """Replay or show; 1 when something differs."""
    session = read(args.file)
    print(_about(session))
    if args.show:
        for line in dialogue(session.records):
            print(line)
        return 0
    return _report(clock.run(rerun(session, strict=not args.lenient)))


def _about(session: RecordedSession) -> str:
    header = session.header
    baudrate = f" at {header.baudrate} baud" if header.baudrate else ""
    cut = f"; {session.why_cut}" if session.why_cut else ""
    return decode(f"{header.address}{baudrate}, {header.date}, nozzled {header.software}{cut}".encode(errors="replace"))


def _report(outcome: ReplayOutcome) -> int:
    extent = f"{outcome.played} of {outcome.records} records ({outcome.lines} commands of users and jobs)"
    if outcome.difference is None:
        print(f"no difference in {extent}")
        return 0
    print(f"first difference at {outcome.difference}")
    print(f"replayed: {extent}")
    return DIFFERENT
