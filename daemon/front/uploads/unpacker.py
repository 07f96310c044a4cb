"""The process that unpacks an upload: it computes much, which no thread of the service may do.

Reads what to do from stdin, writes `{}` or `{"error": …, "kind": …}` to stdout, both JSON. The service may kill it at
any time.
"""

import asyncio
import json
import os
import resource
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from daemon.errors import FileError, NotPrintable, StorageFull
from daemon.front.access.keys import environment_of_children
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
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # not from the directory that the service happens to be started in
            "-m",
            "daemon.front.uploads.unpacker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment_of_children(),
        )
    except OSError as error:
        raise FileError(f"the file cannot be unpacked: {error.strerror}") from error
    try:
        async with asyncio.timeout(TIMEOUT):
            answer, _ = await process.communicate(json.dumps(task).encode())
    except TimeoutError:
        raise FileError(f"the file could not be unpacked in {TIMEOUT:g} s") from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    _judge(answer[:MAX_ANSWER], process.returncode)


def _judge(answer: bytes, code: int | None) -> None:
    try:
        found = json.loads(answer)
    except ValueError:
        raise FileError(f"the file could not be unpacked: the process for it ended with code {code}") from None
    if error := found.get("error"):
        raise _ERRORS.get(found.get("kind"), FileError)(error)


async def at_once(source: Path, target: Path, limit: int, plate: int | None) -> None:
    """Unpack here and now; see `Unpack`. For tests, and programs that do nothing else."""
    from daemon.packing.unpacking import unpack  # noqa: PLC0415 - the service has no use for it

    unpack(source, target, limit, plate)


def main() -> int:
    """Do what stdin says; 0 with an answer."""
    task = json.load(sys.stdin)
    os.nice(5)  # somebody waits, but a print goes first
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
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
