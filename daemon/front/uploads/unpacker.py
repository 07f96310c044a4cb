"""The worker process that unpacks an upload, which would take too much of the front's processor time.

Its answer is `{}`. The service may kill it at any time.
"""

import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from daemon.errors import FileError, NotPrintable, StorageFull
from daemon.front.one_answer import NoAnswer, answer_of, answer_task, raise_error

MAX_MEMORY = 1024 * 1024 * 1024  # bytes of address space
TIMEOUT = 1800.0  # s; a small board writes some MB/s
MAX_ANSWER = 64 * 1024  # bytes

Unpack = Callable[[Path, Path, int, int | None], Awaitable[None]]
"""Unpacks a file into another: source, target, largest size in bytes, plate. Raises FileError."""


async def unpack_in_child(source: Path, target: Path, limit: int, plate: int | None) -> None:
    """Unpack in a process of its own; see `Unpack`."""
    task = {"source": os.fspath(source), "target": os.fspath(target), "limit": limit, "plate": plate}
    try:
        answer = await answer_of("daemon.front.uploads.unpacker", task, TIMEOUT, MAX_ANSWER)
    except NoAnswer as error:
        raise FileError(f"the file cannot be unpacked: {error}") from error
    raise_error(answer, (NotPrintable, StorageFull))


async def unpack_here(source: Path, target: Path, limit: int, plate: int | None) -> None:
    """Unpack in this process; see `Unpack`. For tests, and for programs that can wait for it."""
    from daemon.packing.unpacking import unpack  # noqa: PLC0415 - the service itself does not need it

    unpack(source, target, limit, plate)


def _unpack(task: dict[str, Any]) -> dict[str, Any]:
    from daemon.packing.unpacking import unpack  # noqa: PLC0415 - as above

    unpack(Path(task["source"]), Path(task["target"]), task["limit"], task["plate"])
    return {}


def main() -> int:
    """Carry out the task from stdin; return the exit code."""
    return answer_task(_unpack, MAX_MEMORY, "the file cannot be unpacked: it takes too much memory")


if __name__ == "__main__":
    sys.exit(main())
