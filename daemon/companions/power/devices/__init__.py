"""Switches of all kinds: `on`, `off`, and what they are by their own word."""

from typing import Protocol

from daemon.companions.power.config import DeviceConfig
from daemon.companions.power.errors import DeviceError

LONGEST = 64 * 1024  # bytes of an answer that are looked at


class PowerDevice(Protocol):
    """A switch. What it does takes no longer than its time-out, whatever the other end does.

    Each method raises DeviceError where the switch does not answer, or not as it should.
    """

    async def on(self) -> None:
        """Switch it on."""

    async def off(self) -> None:
        """Switch it off."""

    async def sense(self) -> bool | None:
        """Return whether it is on, by its own word; None: it has none."""

    async def close(self) -> None:
        """Let go of what is held; it is left as it is."""


def make(config: DeviceConfig, password: str = "") -> PowerDevice:
    """Return the switch that is configured; nothing is asked of it yet, and it is left as it is.

    No text of its errors has a password, a token or the query of an address.

    Raises:
        DeviceError: it cannot be as it is configured.
    """
    from daemon.companions.power.devices.discreet import Discreet, Mask  # noqa: PLC0415 - it needs this module

    mask = Mask(config, password)
    try:
        return Discreet(_make(config, password), mask)
    except DeviceError as error:
        raise DeviceError(mask.hide(str(error))) from None


def _make(config: DeviceConfig, password: str) -> PowerDevice:
    match config.type:  # each is loaded where there is one
        case "tasmota":
            from daemon.companions.power.devices.tasmota import Tasmota  # noqa: PLC0415 - as said

            return Tasmota(config, password)
        case "shelly":
            from daemon.companions.power.devices.shelly import Shelly  # noqa: PLC0415 - as said

            return Shelly(config, password)
        case "http":
            from daemon.companions.power.devices.by_url import ByUrl  # noqa: PLC0415 - as said

            return ByUrl(config, password)
        case "mqtt":
            from daemon.companions.power.devices.mqtt import Mqtt  # noqa: PLC0415 - as said

            return Mqtt(config, password)
        case "homeassistant":
            from daemon.companions.power.devices.homeassistant import HomeAssistant  # noqa: PLC0415 - as said

            return HomeAssistant(config, password)
        case "command":
            from daemon.companions.power.devices.by_command import ByCommand  # noqa: PLC0415 - as said

            return ByCommand(config)
        case _:
            from daemon.companions.power.devices.relay import HeldRelay  # noqa: PLC0415 - as said

            return HeldRelay(config)
