"""A relay at this computer's GPIO, switched by a process of its own (`nozzled-relay@.service`).

That process holds the GPIO line, so the relay keeps its level when the companion restarts. Its socket takes one of the
words get, on and off, and answers with on, off, or error and the reason.
"""

import asyncio
import re
from contextlib import suppress
from pathlib import Path

from daemon.companions.power.config import DeviceConfig
from daemon.companions.power.devices.answers import excerpt
from daemon.companions.power.errors import DeviceError

FOLDER = Path("/run/nozzled-relay")
_STATES = {b"on": True, b"off": False}
_INSTANCE = re.compile(r"[A-Za-z0-9_-]{1,40}", re.ASCII)
_MAX_LINE = 400  # bytes of an answer


class RelaySwitch:
    """A relay whose GPIO line nozzled-relay@.service holds."""

    def __init__(self, config: DeviceConfig, folder: Path = FOLDER) -> None:
        """Prepare; `folder` holds the sockets.

        Raises:
            DeviceError: `relay` cannot be the name of an instance.
        """
        if not _INSTANCE.fullmatch(config.relay):
            raise DeviceError(f"{config.name}: {excerpt(config.relay)!r} is not a relay's name such as printer")
        self._name, self._timeout_s = config.name, config.timeout_s
        self._unit = f"nozzled-relay@{config.relay}"
        self._socket = folder / f"{config.relay}.sock"

    async def on(self) -> None:
        """Switch it on."""
        await self._ask(b"on")

    async def off(self) -> None:
        """Switch it off."""
        await self._ask(b"off")

    async def sense(self) -> bool | None:
        """Return whether the relay is on, by the level of its GPIO line."""
        return await self._ask(b"get")

    async def close(self) -> None:
        """Do nothing: each call opens and closes its own connection."""

    async def _ask(self, command: bytes) -> bool:
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._exchange(command)
        except TimeoutError as error:
            raise DeviceError(f"{self._name}: {self._unit} has not answered within {self._timeout_s:g} s") from error
        except OSError as error:
            fix = f"start it with: sudo systemctl enable --now {self._unit}"
            raise DeviceError(f"{self._name}: cannot reach {self._socket}: {error.strerror or error}; {fix}") from error
        state = _STATES.get(answer)
        if state is None:
            raise DeviceError(f"{self._name}: {self._unit} answered {excerpt(answer) or 'nothing'}")
        return state

    async def _exchange(self, command: bytes) -> bytes:
        reader, writer = await asyncio.open_unix_connection(self._socket, limit=_MAX_LINE)
        try:
            writer.write(command + b"\n")
            with suppress(ValueError):  # the answer is longer than the limit
                return (await reader.readline()).strip()
            return b"too much"
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
