"""Runs a worker process that gets one task and gives one answer, both as JSON through pipes."""

import asyncio
import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from daemon.errors import ServiceError
from daemon.front.access.keys import environment_of_children


class NoAnswer(ServiceError):
    """The process could not be started, took too long, died, or gave no valid answer."""


async def answer_of(module: str, task: Mapping[str, Any], seconds: float, max_bytes: int) -> dict[str, Any]:
    """Return a module's answer to a task. Its process is killed on timeout and cancellation.

    Args:
        module: run with `-m`; reads the task from stdin, and writes the answer to stdout.
        task: the task.
        seconds: the time limit.
        max_bytes: bytes of an answer.

    Raises:
        NoAnswer: there is no valid answer in time.
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
        await process.wait()


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
