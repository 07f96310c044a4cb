"""Drivers of power switches, one module for each kind: switch on, switch off, and read back the state."""

from typing import Protocol

from daemon.companions.power.config import DeviceConfig
from daemon.companions.power.errors import DeviceError

MAX_ANSWER = 64 * 1024  # bytes of an answer that are read


class PowerDevice(Protocol):
    """A power switch. Each call ends, whatever the device does: each of its requests has a time limit.

    Each method raises DeviceError if the device does not answer, or if its answer makes no sense.
    """

    async def on(self) -> None:
        """Switch it on."""

    async def off(self) -> None:
        """Switch it off."""

    async def sense(self) -> bool | None:
        """Return whether it is on, as the device reports; None: it cannot report its state."""

    async def close(self) -> None:
        """Close its connections; the switch itself stays as it is."""


def make(config: DeviceConfig, password: str = "") -> PowerDevice:
    """Return the driver of a configured device; nothing is sent to the device yet.

    The messages of its errors contain no password, token or query of a URL, unless it is very short (`MIN_SECRET`).

    Raises:
        DeviceError: the configuration cannot be used.
    """
    from daemon.companions.power.devices.masking import Mask, MaskedDevice  # noqa: PLC0415 - imports this module

    mask = Mask(config, password)
    try:
        return MaskedDevice(_make(config, password), mask)
    except DeviceError as error:
        raise DeviceError(mask.hide(str(error))) from None


def _make(config: DeviceConfig, password: str) -> PowerDevice:
    match config.type:  # only the modules of the configured kinds are imported
        case "tasmota":
            from daemon.companions.power.devices.tasmota import Tasmota  # noqa: PLC0415 - see above

            return Tasmota(config, password)
        case "shelly":
            from daemon.companions.power.devices.shelly import Shelly  # noqa: PLC0415 - see above

            return Shelly(config, password)
        case "http":
            from daemon.companions.power.devices.by_url import UrlSwitch  # noqa: PLC0415 - see above

            return UrlSwitch(config, password)
        case "mqtt":
            from daemon.companions.power.devices.mqtt import MqttSwitch  # noqa: PLC0415 - see above

            return MqttSwitch(config, password)
        case "homeassistant":
            from daemon.companions.power.devices.homeassistant import HomeAssistant  # noqa: PLC0415 - see above

            return HomeAssistant(config, password)
        case "command":
            from daemon.companions.power.devices.command import CommandSwitch  # noqa: PLC0415 - see above

            return CommandSwitch(config)
        case _:
            from daemon.companions.power.devices.relay import RelaySwitch  # noqa: PLC0415 - see above

            return RelaySwitch(config)
