"""A relay at this computer's GPIO. A process of its own holds the line (`nozzled-relay@.service`): ours may restart.

Its socket takes a line with get, on or off, and answers with a line: on, off, or error and why.
"""

import asyncio
import re
from contextlib import suppress
from pathlib import Path

from daemon.companions.power.config import DeviceConfig
from daemon.companions.power.devices.words import excerpt
from daemon.companions.power.errors import DeviceError

FOLDER = Path("/run/nozzled-relay")
_STATES = {b"on": True, b"off": False}
_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}", re.ASCII)
_LONGEST = 400  # bytes of an answer


class HeldRelay:
    """A relay that another process holds."""

    def __init__(self, config: DeviceConfig, folder: Path = FOLDER) -> None:
        """Prepare.

        Raises:
            DeviceError: the instance has no name that could be one.
        """
        if not _NAME.fullmatch(config.relay):
            raise DeviceError(f"{config.name}: {excerpt(config.relay)!r} is not the name of a relay, like printer")
        self._name, self._seconds = config.name, config.timeout_s
        self._unit = f"nozzled-relay@{config.relay}"
        self._path = folder / f"{config.relay}.sock"

    async def on(self) -> None:
        """Switch it on."""
        await self._ask(b"on")

    async def off(self) -> None:
        """Switch it off."""
        await self._ask(b"off")

    async def sense(self) -> bool | None:
        """Return the level of the line."""
        return await self._ask(b"get")

    async def close(self) -> None:
        """Nothing is held here."""

    async def _ask(self, word: bytes) -> bool:
        try:
            async with asyncio.timeout(self._seconds):
                said = await self._exchange(word)
        except TimeoutError as error:
            raise DeviceError(f"{self._name}: {self._unit} has not answered within {self._seconds:g} s") from error
        except OSError as error:
            how = f"sudo systemctl enable --now {self._unit}"
            raise DeviceError(f"{self._name}: {self._path}: {error.strerror or error}; is it there? {how}") from error
        state = _STATES.get(said)
        if state is None:
            raise DeviceError(f"{self._name}: {self._unit} says {excerpt(said) or 'nothing'}")
        return state

    async def _exchange(self, word: bytes) -> bytes:
        reader, writer = await asyncio.open_unix_connection(self._path, limit=_LONGEST)
        try:
            writer.write(word + b"\n")
            with suppress(ValueError):  # a line that does not end
                return (await reader.readline()).strip()
            return b"too much"
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
