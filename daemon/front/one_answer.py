"""The protocol of worker processes: each gets one task and gives one answer, both as JSON through pipes.

An answer `{"error": …, "kind": …}` is a NozzledError: its text, and the name of its class.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from daemon.errors import FileError, ServiceError
from daemon.front.access.keys import environment_of_children
from daemon.front.bounded_process import bound
from gcode.errors import NozzledError

KILL_TIMEOUT = 1.0  # s until a killed process has ended; a stop of the service may take 5


class NoAnswer(ServiceError):
    """The process could not be started, took too long, died, or gave no valid answer."""


async def answer_of(module: str, task: Mapping[str, Any], seconds: float, max_bytes: int) -> dict[str, Any]:
    """Return a module's answer to a task. Its process is killed on timeout and cancellation.

    Args:
        module: run with `-m`; reads the task from stdin, and writes the answer to stdout.
        task: the task.
        seconds: the time limit.
        max_bytes: limit on the size of the answer.

    Raises:
        NoAnswer: there was no valid answer in time.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # never import from the current directory
            "-m",
            module,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment_of_children(),
        )
    except OSError as error:
        raise NoAnswer(f"the process cannot be started: {error.strerror}") from error
    try:
        async with asyncio.timeout(seconds):
            return await _talk(process, json.dumps(task).encode(), max_bytes)
    except TimeoutError:
        raise NoAnswer(f"it took more than {seconds:g} s") from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
        await _await_end(process)


async def _await_end(process: asyncio.subprocess.Process) -> None:
    """Wait for the end of a killed process, but at most KILL_TIMEOUT, as a hanging disk may prevent it.

    A cancellation during the wait takes effect after it.
    """
    loop = asyncio.get_running_loop()
    ending = asyncio.ensure_future(process.wait())
    cancellation: asyncio.CancelledError | None = None
    give_up_at = loop.time() + KILL_TIMEOUT
    while not ending.done() and (left := give_up_at - loop.time()) > 0:
        try:
            await asyncio.wait([ending], timeout=left)
        except asyncio.CancelledError as error:
            cancellation = error
    ending.cancel()
    if cancellation is not None:
        raise cancellation


async def _talk(process: asyncio.subprocess.Process, task: bytes, max_bytes: int) -> dict[str, Any]:
    if process.stdin is None or process.stdout is None:
        raise NoAnswer("the process has no pipes")
    with suppress(ConnectionError):
        process.stdin.write(task)
        await process.stdin.drain()
    process.stdin.close()
    answer = bytearray()
    while piece := await process.stdout.read(65536):
        answer += piece
        if len(answer) > max_bytes:
            raise NoAnswer("its answer is too long")
    code = await process.wait()
    try:
        decoded = json.loads(answer)
    except ValueError:
        raise NoAnswer(f"the process ended with code {code} and no result") from None
    if not isinstance(decoded, dict):
        raise NoAnswer("its answer is not an object")
    return decoded


def raise_error(answer: Mapping[str, Any], kinds: Iterable[type[FileError]]) -> None:
    """If a worker has answered with an error, raise it: as one of these kinds, else as a FileError."""
    if reason := answer.get("error"):
        by_name = {each.__name__: each for each in kinds}
        raise by_name.get(str(answer.get("kind")), FileError)(reason)


def answer_task(work: Callable[[dict[str, Any]], dict[str, Any]], max_memory: int, out_of_memory: str) -> int:
    """Answer the task from stdin on stdout: the main function of a worker for which a user waits.

    Args:
        work: returns the answer; it may raise NozzledError.
        max_memory: bytes of address space.
        out_of_memory: the answer's error if `work` needs more.

    Returns:
        The exit code.
    """
    task = json.load(sys.stdin)
    with suppress(OSError):  # a sandbox may forbid priorities
        os.nice(5)  # a user waits, but a print goes first
    bound(max_memory)
    try:
        answer = work(task)
    except MemoryError:
        answer = {"error": out_of_memory, "kind": FileError.__name__}
    except NozzledError as error:
        answer = {"error": str(error), "kind": type(error).__name__}
    json.dump(answer, sys.stdout)
    return 0
