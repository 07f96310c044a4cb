"""The process that finds where a print may go on: it reads the whole file, which no thread of the service may do.

Reads what to do from stdin, writes a proposal or `{"error": …, "kind": …}` to stdout, both JSON. The service may kill
it at any time.
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
TIMEOUT = 900.0  # s; 100 MB take a small board some minutes
MAX_ANSWER = 1024 * 1024  # bytes

Printer = dict[str, Any]
"""What a printer is like: `profile`, `settings` and `firmware`, see `Analyses.printer`."""

Find = Callable[[Path, ResumeTarget, Printer], Awaitable[Proposal]]
"""Finds a place in a file. Raises FileError."""

_ERRORS = {each.__name__: each for each in (NoSuchPlace, NotPrintable, FileError)}


async def in_process(path: Path, wanted: ResumeTarget, printer: Printer) -> Proposal:
    """Look in a process of its own; see `Find`."""
    task = {"path": os.fspath(path), "wanted": asdict(wanted), "printer": printer}
    try:
        found = await answer_of("daemon.front.resuming.worker", task, TIMEOUT, MAX_ANSWER)
    except NoAnswer as error:
        raise FileError(f"{path.name} cannot be read: {error}") from error
    if reason := found.get("error"):
        raise _ERRORS.get(str(found.get("kind")), FileError)(reason)
    return Proposal(**found)


def at_once(path: Path, wanted: ResumeTarget, printer: Printer) -> Proposal:
    """Look here and now; raises as `Find` does."""
    from daemon.front.analysis.reading import analyse, dialect_of, machine  # noqa: PLC0415 - loads NumPy

    profile, firmware = ProfileConfig(**printer["profile"]), printer["firmware"]
    layers = analyse(path, machine(profile, printer["settings"], firmware)).layers
    dialect = dialect_of(profile, firmware)
    return propose(path, wanted, layers, dialect.e_mode if dialect else None)


def main() -> int:
    """Do what stdin says; 0 with an answer."""
    task = json.load(sys.stdin)
    with suppress(OSError):  # a sandbox that allows no priorities
        os.nice(5)  # somebody waits, but a print goes first
    bound(MAX_MEMORY)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # no linear algebra here; each thread would take its memory
    answer: dict[str, Any]
    try:
        answer = at_once(Path(task["path"]), ResumeTarget(**task["wanted"]), task["printer"]).as_json()
    except MemoryError:
        answer = {"error": "the file cannot be read: it takes too much memory", "kind": FileError.__name__}
    except NozzledError as error:
        answer = {"error": str(error), "kind": type(error).__name__}
    json.dump(answer, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
