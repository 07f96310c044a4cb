"""A switch behind programs: lists of arguments, no shell; what hangs is killed with all that it has begun."""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from contextlib import suppress

from daemon.companions.power.config import DeviceConfig
from daemon.companions.power.devices import LONGEST
from daemon.companions.power.devices.words import excerpt, is_on
from daemon.companions.power.errors import DeviceError

_PASSED_ON = ("PATH", "HOME", "LANG", "XDG_RUNTIME_DIR", "DBUS_SYSTEM_BUS_ADDRESS")
"""What they get of our environment: keys and credentials are nobody's business."""


class ByCommand:
    """A switch behind programs."""

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
        """Return what the program prints."""
        config = self._config
        if not config.state_command:
            return None
        said = (await self._run(config.state_command)).decode("utf-8", "replace")
        state = is_on(said, config.state_on, config.state_off)
        if state is None:
            wanted = f"{config.state_on} or {config.state_off}"
            raise DeviceError(f"{config.name}: {config.state_command[0]} does not print {wanted} but: {excerpt(said)}")
        return state

    async def close(self) -> None:
        """Nothing is held."""

    async def _run(self, command: Sequence[str]) -> bytes:
        name, seconds = self._config.name, self._config.timeout_s
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                env={key: os.environ[key] for key in _PASSED_ON if key in os.environ},
            )
        except (OSError, ValueError) as error:
            raise DeviceError(f"{name}: {command[0]} cannot be run: {error}") from error
        try:
            async with asyncio.timeout(seconds):
                said = await _read(process)
                status = await process.wait()
        except TimeoutError as error:
            raise DeviceError(f"{name}: {command[0]} has not ended within {seconds:g} s") from error
        finally:
            await _end(process)
        if status != 0:
            raise DeviceError(f"{name}: {command[0]} ended with {status}: {excerpt(said) or 'no output'}")
        return said


async def _read(process: Process) -> bytes:
    """Return the beginning of what it prints; the rest is read to no use."""
    if process.stdout is None:
        return b""
    said = b""
    while piece := await process.stdout.read(4096):
        said = (said + piece)[:LONGEST]
    return said


async def _end(process: Process) -> None:
    """Kill its whole group: a helper that it has left behind, too."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
