"""The worker process that unpacks an upload, which would take too much of the front's processor time.

It reads a task from stdin and writes `{}` or `{"error": …, "kind": …}` to stdout, both as JSON. The service may kill it
at any time.
"""

import json
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from daemon.errors import FileError, NotPrintable, StorageFull
from daemon.front.bounded_process import bound
from daemon.front.one_answer import NoAnswer, answer_of
from gcode.errors import NozzledError

MAX_MEMORY = 1024 * 1024 * 1024  # bytes of address space
TIMEOUT = 1800.0  # s; a small board writes some MB/s
MAX_ANSWER = 64 * 1024

Unpack = Callable[[Path, Path, int, int | None], Awaitable[None]]
"""Unpacks a file into another: source, target, largest size in bytes, plate. Raises FileError."""

_ERRORS = {each.__name__: each for each in (NotPrintable, StorageFull, FileError)}


async def in_process(source: Path, target: Path, limit: int, plate: int | None) -> None:
    """Unpack in a process of its own; see `Unpack`."""
    task = {"source": os.fspath(source), "target": os.fspath(target), "limit": limit, "plate": plate}
    try:
        answer = await answer_of("daemon.front.uploads.unpacker", task, TIMEOUT, MAX_ANSWER)
    except NoAnswer as error:
        raise FileError(f"the file cannot be unpacked: {error}") from error
    if reason := answer.get("error"):
        raise _ERRORS.get(str(answer.get("kind")), FileError)(reason)


async def in_this_process(source: Path, target: Path, limit: int, plate: int | None) -> None:
    """Unpack in this process; see `Unpack`. For tests, and for programs that do nothing else meanwhile."""
    from daemon.packing.unpacking import unpack  # noqa: PLC0415 - the service itself does not need it

    unpack(source, target, limit, plate)


def main() -> int:
    """Carry out the task from stdin; return 0 with an answer."""
    task = json.load(sys.stdin)
    with suppress(OSError):  # a sandbox may forbid priorities
        os.nice(5)  # a user waits, but a print goes first
    bound(MAX_MEMORY)
    from daemon.packing.unpacking import unpack  # noqa: PLC0415 - as above

    answer = {}
    try:
        unpack(Path(task["source"]), Path(task["target"]), task["limit"], task["plate"])
    except MemoryError:
        answer = {"error": "the file cannot be unpacked: it takes too much memory", "kind": FileError.__name__}
    except NozzledError as error:
        answer = {"error": str(error), "kind": type(error).__name__}
    json.dump(answer, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
