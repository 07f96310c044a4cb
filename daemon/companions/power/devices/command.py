"""A switch that programs control: run without a shell, with a time limit; no child of theirs outlives the call."""

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
        """Do nothing: no program outlives its call."""

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
        try:
            async with asyncio.timeout(seconds):
                output = await _read(process)
                status = await process.wait()
        except TimeoutError as error:
            raise DeviceError(f"{name}: {command[0]} has not ended within {seconds:g} s") from error
        finally:
            await _kill_group(process)
        if status != 0:
            raise DeviceError(f"{name}: {command[0]} ended with status {status}: {excerpt(output) or 'no output'}")
        return output


async def _read(process: Process) -> bytes:
    """Read all that it prints, or it would block on a full pipe; return the first MAX_ANSWER bytes."""
    if process.stdout is None:
        return b""
    output = b""
    while piece := await process.stdout.read(4096):
        output = (output + piece)[:MAX_ANSWER]
    return output


async def _kill_group(process: Process) -> None:
    """Kill its process group, with children that it left running."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
