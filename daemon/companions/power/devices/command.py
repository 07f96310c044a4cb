"""A switch that programs control. They run without a shell, and with a time limit.

When a program has ended, its children are killed, except those of another user or in a session of their own.
"""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from contextlib import suppress

from daemon.companions.power.config import DeviceConfig
from daemon.companions.power.devices import MAX_ANSWER
from daemon.companions.power.devices.answers import excerpt, read_state
from daemon.companions.power.errors import DeviceError

CHECK_INTERVAL = 0.05  # between two looks whether a program has ended
KILL_TIMEOUT = 1.0  # for a killed program to end

_ENVIRONMENT = ("PATH", "HOME", "LANG", "XDG_RUNTIME_DIR", "DBUS_SYSTEM_BUS_ADDRESS")
"""The variables that the programs inherit. Ours also hold API keys and the path of the credentials."""


class CommandSwitch:
    """A switch that programs control."""

    def __init__(self, config: DeviceConfig) -> None:
        """Prepare."""
        self._config = config

    async def on(self) -> None:
        """Switch it on."""
        await self._run(self._config.on_command)

    async def off(self) -> None:
        """Switch it off."""
        await self._run(self._config.off_command)

    async def sense(self) -> bool | None:
        """Return the state that the program prints."""
        config = self._config
        if not config.state_command:
            return None
        output = (await self._run(config.state_command)).decode("utf-8", "replace")
        state = read_state(output, config.state_on, config.state_off)
        if state is None:
            program, states = config.state_command[0], f"{config.state_on} nor {config.state_off}"
            raise DeviceError(f"{config.name}: {program} printed neither {states}: {excerpt(output) or 'no output'}")
        return state

    async def close(self) -> None:
        """Do nothing: there are no connections."""

    async def _run(self, command: Sequence[str]) -> bytes:
        name, seconds = self._config.name, self._config.timeout_s
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                env={key: os.environ[key] for key in _ENVIRONMENT if key in os.environ},
            )
        except (OSError, ValueError) as error:
            raise DeviceError(f"{name}: cannot run {command[0]}: {error}") from error
        output = bytearray()
        try:
            async with asyncio.timeout(seconds):
                status = await _read_until_ended(process, output)
        except TimeoutError as error:
            raise DeviceError(f"{name}: {command[0]} has not ended within {seconds:g} s") from error
        finally:
            await _kill_group(process)
        if status != 0:
            raise DeviceError(
                f"{name}: {command[0]} ended with status {status}: {excerpt(bytes(output)) or 'no output'}"
            )
        return bytes(output)


async def _read_until_ended(process: Process, output: bytearray) -> int:
    """Read the output of a program until it ends; return its status.

    A child in a session of its own, such as a daemon that the program starts, may keep the pipe open. In Python
    3.11, asyncio's `wait` would also wait until that pipe is closed.
    """
    reading = asyncio.ensure_future(_read(process, output))
    try:
        while process.returncode is None:
            await asyncio.wait((reading,), timeout=CHECK_INTERVAL)
            if reading.done() and process.returncode is None:
                await asyncio.sleep(CHECK_INTERVAL)  # it has closed its output, but still runs
        await asyncio.wait((reading,), timeout=CHECK_INTERVAL)  # what is still in the pipe
        return process.returncode
    finally:
        reading.cancel()


async def _read(process: Process, output: bytearray) -> None:
    """Read everything that it prints, or it would block on a full pipe; keep the first MAX_ANSWER bytes."""
    while process.stdout is not None and (piece := await process.stdout.read(4096)):
        output += piece[: MAX_ANSWER - len(output)]


async def _kill_group(process: Process) -> None:
    """Kill its process group, with the children that it has left running, except those of another user (by sudo)."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(TimeoutError):
        async with asyncio.timeout(KILL_TIMEOUT):
            await process.wait()
    with suppress(PermissionError):
        process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 - a child could keep the pipe open
