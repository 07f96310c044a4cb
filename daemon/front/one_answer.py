"""A process of its own that gets a task, computes much, gives one answer and ends: both JSON, by its pipes."""

import asyncio
import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from daemon.errors import ServiceError
from daemon.front.access.keys import environment_of_children


class NoAnswer(ServiceError):
    """The process cannot be started, took too long, died, or said nothing that makes sense; says which."""


async def answer_of(module: str, task: Mapping[str, Any], seconds: float, most: int) -> dict[str, Any]:
    """Return what a module, run with `-m`, answers to a task. It is killed where nobody waits for it any more.

    Args:
        module: reads the task from stdin, and writes its answer to stdout.
        task: what it is to do.
        seconds: that it has.
        most: bytes of an answer.

    Raises:
        NoAnswer: there is none.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # not from the directory that the service happens to be started in
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
            return await _talk(process, json.dumps(task).encode(), most)
    except TimeoutError:
        raise NoAnswer(f"it took more than {seconds:g} s") from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
        await process.wait()


async def _talk(process: asyncio.subprocess.Process, task: bytes, most: int) -> dict[str, Any]:
    if process.stdin is None or process.stdout is None:
        raise NoAnswer("the process has no pipes")
    with suppress(ConnectionError):
        process.stdin.write(task)
        await process.stdin.drain()
    process.stdin.close()
    answer = bytearray()
    while piece := await process.stdout.read(65536):
        answer += piece
        if len(answer) > most:
            raise NoAnswer("its answer is too long")
    code = await process.wait()
    try:
        found = json.loads(answer)
    except ValueError:
        raise NoAnswer(f"the process ended with code {code} and no result") from None
    if not isinstance(found, dict):
        raise NoAnswer("its answer is no object")
    return found
