"""The worker process that finds where a print can be resumed: it reads the whole file, which would slow the front.

It reads a task from stdin and writes a proposal or `{"error": …, "kind": …}` to stdout, both as JSON. The service may
kill it at any time.
"""

import json
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from daemon.config import ProfileConfig
from daemon.errors import FileError, NoSuchPlace, NotPrintable
from daemon.front.bounded_process import bound
from daemon.front.one_answer import NoAnswer, answer_of
from daemon.front.resuming.proposal import Proposal, ResumeTarget, propose
from gcode.errors import NozzledError

MAX_MEMORY = 1024 * 1024 * 1024  # bytes of address space
TIMEOUT = 900.0  # s; a small board takes some minutes for 100 MB
MAX_ANSWER = 1024 * 1024  # bytes

Printer = dict[str, Any]
"""A printer's `profile`, `settings` and `firmware`, see `Analyses.printer`."""

Find = Callable[[Path, ResumeTarget, Printer], Awaitable[Proposal]]
"""Finds a place in a file. Raises FileError."""

_ERRORS = {each.__name__: each for each in (NoSuchPlace, NotPrintable, FileError)}


async def in_process(path: Path, wanted: ResumeTarget, printer: Printer) -> Proposal:
    """Find the place in a process of its own; see `Find`."""
    task = {"path": os.fspath(path), "wanted": asdict(wanted), "printer": printer}
    try:
        answer = await answer_of("daemon.front.resuming.worker", task, TIMEOUT, MAX_ANSWER)
    except NoAnswer as error:
        raise FileError(f"{path.name} cannot be read: {error}") from error
    if reason := answer.get("error"):
        raise _ERRORS.get(str(answer.get("kind")), FileError)(reason)
    return Proposal(**answer)


def find_place(path: Path, wanted: ResumeTarget, printer: Printer) -> Proposal:
    """Find the place in this process; raises like `Find`."""
    from daemon.front.analysis.reading import analyse, dialect_of, machine  # noqa: PLC0415 - loads NumPy

    profile, firmware = ProfileConfig(**printer["profile"]), printer["firmware"]
    layers = analyse(path, machine(profile, printer["settings"], firmware)).layers
    dialect = dialect_of(profile, firmware)
    return propose(path, wanted, layers, dialect.e_mode if dialect else None)


def main() -> int:
    """Carry out the task from stdin; return 0 with an answer."""
    task = json.load(sys.stdin)
    with suppress(OSError):  # a sandbox may forbid priorities
        os.nice(5)  # a user waits, but a print goes first
    bound(MAX_MEMORY)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # no linear algebra here, but each thread costs memory
    answer: dict[str, Any]
    try:
        answer = find_place(Path(task["path"]), ResumeTarget(**task["wanted"]), task["printer"]).as_json()
    except MemoryError:
        answer = {"error": "the file cannot be read: it takes too much memory", "kind": FileError.__name__}
    except NozzledError as error:
        answer = {"error": str(error), "kind": type(error).__name__}
    json.dump(answer, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
