"""The worker process that finds where a print can be resumed: it reads the whole file, which would slow the front.

Its answer is a proposal. The service may kill it at any time.
"""

import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from daemon.config import ProfileConfig
from daemon.errors import FileError, NoSuchPlace, NotPrintable
from daemon.front.one_answer import NoAnswer, answer_of, answer_task, raise_error
from daemon.front.resuming.proposal import Proposal, ResumeTarget, propose

MAX_MEMORY = 1024 * 1024 * 1024  # bytes of address space
TIMEOUT = 900.0  # s; a small board takes some minutes for 100 MB
MAX_ANSWER = 1024 * 1024  # bytes

Printer = dict[str, Any]
"""A printer's `profile`, `settings` and `firmware`, see `Analyses.printer`."""

Find = Callable[[Path, ResumeTarget, Printer], Awaitable[Proposal]]
"""Finds a place in a file. Raises FileError."""


async def find_in_child(path: Path, target: ResumeTarget, printer: Printer) -> Proposal:
    """Find the place in a process of its own; see `Find`."""
    task = {"path": os.fspath(path), "target": asdict(target), "printer": printer}
    try:
        answer = await answer_of("daemon.front.resuming.worker", task, TIMEOUT, MAX_ANSWER)
    except NoAnswer as error:
        raise FileError(f"{path.name} cannot be read: {error}") from error
    raise_error(answer, (NoSuchPlace, NotPrintable))
    return Proposal(**answer)


def find_place(path: Path, target: ResumeTarget, printer: Printer) -> Proposal:
    """Find the place in this process; raises like `Find`."""
    from daemon.front.analysis.file_analysis import analyse, dialect_of, machine  # noqa: PLC0415 - loads NumPy

    profile, firmware = ProfileConfig(**printer["profile"]), printer["firmware"]
    layers = analyse(path, machine(profile, printer["settings"], firmware)).layers
    dialect = dialect_of(profile, firmware)
    return propose(path, target, layers, dialect.e_mode if dialect else None)


def _find(task: dict[str, Any]) -> dict[str, Any]:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # no linear algebra here, but each thread costs memory
    return find_place(Path(task["path"]), ResumeTarget(**task["target"]), task["printer"]).as_json()


def main() -> int:
    """Carry out the task from stdin; return the exit code."""
    return answer_task(_find, MAX_MEMORY, "the file cannot be read: it takes too much memory")


if __name__ == "__main__":
    sys.exit(main())
