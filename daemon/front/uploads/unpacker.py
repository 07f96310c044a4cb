"""The process that unpacks an upload: it computes much, which no thread of the service may do.

Reads what to do from stdin, writes `{}` or `{"error": …, "kind": …}` to stdout, both JSON. The service may kill it at
any time.
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
"""Unpacks a file into another: source, target, bytes that it may have, plate. Raises FileError."""

_ERRORS = {each.__name__: each for each in (NotPrintable, StorageFull, FileError)}


async def in_process(source: Path, target: Path, limit: int, plate: int | None) -> None:
    """Unpack in a process of its own; see `Unpack`."""
    task = {"source": os.fspath(source), "target": os.fspath(target), "limit": limit, "plate": plate}
    try:
        found = await answer_of("daemon.front.uploads.unpacker", task, TIMEOUT, MAX_ANSWER)
    except NoAnswer as error:
        raise FileError(f"the file cannot be unpacked: {error}") from error
    if reason := found.get("error"):
        raise _ERRORS.get(str(found.get("kind")), FileError)(reason)


async def at_once(source: Path, target: Path, limit: int, plate: int | None) -> None:
    """Unpack here and now; see `Unpack`. For tests, and programs that do nothing else."""
    from daemon.packing.unpacking import unpack  # noqa: PLC0415 - the service has no use for it

    unpack(source, target, limit, plate)


def main() -> int:
    """Do what stdin says; 0 with an answer."""
    task = json.load(sys.stdin)
    with suppress(OSError):  # a sandbox that allows no priorities
        os.nice(5)  # somebody waits, but a print goes first
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
