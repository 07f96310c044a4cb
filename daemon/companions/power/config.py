"""The sections [power] and [sensors]."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from daemon.config import load_sections
from daemon.config.options import option
from daemon.errors import ConfigError

TYPES = ("tasmota", "shelly", "http", "mqtt", "homeassistant", "command", "relay")

_NEEDS: dict[str, tuple[str, ...]] = {
    "tasmota": ("address",),
    "shelly": ("address",),
    "http": ("on_url", "off_url"),
    "mqtt": ("address",),
    "homeassistant": ("address", "entity", "password_file"),
    "command": ("on_command", "off_command"),
    "relay": (),
}
_ALLOWS: dict[str, tuple[str, ...]] = {
    "tasmota": ("channel", "user", "password_file"),
    "shelly": ("channel", "user", "password_file"),
    "http": (
        "method", "on_body", "off_body", "state_url", "state_on", "state_off", "state_key", "user", "password_file",
    ),
    "mqtt": (
        "topic", "channel", "command_topic", "state_topic", "query_topic", "available_topic", "payload_on",
        "payload_off", "user", "password_file",
    ),
    "homeassistant": (),
    "command": ("state_command", "state_on", "state_off"),
    "relay": ("relay",),
}  # fmt: skip
_ALWAYS = ("name", "type", "role", "timeout_s")


@dataclass(frozen=True, slots=True)
class DeviceConfig:
    """A switch."""

    name: str = option("", "What people call it.")
    type: str = option("", "What it is.", choices=TYPES)
    role: str = option(
        "",
        "printer: the printer's own power, with its rules; there may be one. Empty: printer where it is alone.",
        choices=("", "printer", "other"),
    )
    address: str = option("", "Where it is, like plug.local or http://192.168.1.20; for mqtt the broker, host:1883.")
    channel: int = option(
        0, "Which of its relays: Tasmota counts from 1 (0: the only one), Shelly from 0.", low=0, high=64
    )
    user: str = option("", "User name; empty: admin, if it asks for one.")
    password_file: str = option("", "File with its password, or with Home Assistant's token.")
    timeout_s: float = option(5.0, "Timeout for its answer, in seconds.", low=0.1, high=60)
    method: str = option("GET", "HTTP method of the URLs.", choices=("GET", "POST", "PUT"))
    on_url: str = option("", "URL that switches it on.")
    off_url: str = option("", "URL that switches it off.")
    on_body: str = option("", "Body that is sent there; JSON if it begins with a brace.")
    off_body: str = option("", "What is sent there.")
    state_url: str = option("", "URL that tells whether it is on; empty: that is not known.")
    state_key: str = option("", "Where its state is in a JSON answer, like relays.0.ison; empty: anywhere in the text.")
    state_on: str = option("on", "What the answer says when it is on.")
    state_off: str = option("off", "What it says when it is off; any other answer counts as not known.")
    topic: str = option("", "MQTT topic of a Tasmota device.")
    command_topic: str = option("", "MQTT topic that switches any other device.")
    state_topic: str = option("", "MQTT topic where that tells its state.")
    query_topic: str = option("", "MQTT topic that asks it for its state.")
    available_topic: str = option("", "MQTT topic that says online or offline.")
    payload_on: str = option("ON", "What switches it on, and what it says when it is.")
    payload_off: str = option("OFF", "The same for off.")
    entity: str = option("", "Home Assistant's name of the switch, like switch.printer.")
    on_command: tuple[str, ...] = option((), 'Program that switches it on, like ["uhubctl", "-a", "on"]; no shell.')
    off_command: tuple[str, ...] = option((), "Program that switches it off.")
    state_command: tuple[str, ...] = option((), "Program that prints whether it is on.")
    relay: str = option(
        "printer", "Instance of nozzled-relay@.service that holds the line of a relay on this computer's GPIO."
    )


@dataclass(frozen=True, slots=True)
class PowerConfig:
    """Power of the printer and what is beside it, by `nozzled power`."""

    devices: tuple[DeviceConfig, ...] = option((), "The switches.", each=DeviceConfig)
    poll_s: float = option(5.0, "Seconds between two looks at each.", low=1, high=600)
    locked_while_printing: bool = option(
        default=True, doc="The printer stays on while it prints, pauses, heats or is hot, unless it is forced."
    )
    auto_off: bool = option(default=False, doc="Switch the printer off when it is idle and cold.")
    idle_min: float = option(30.0, "Minutes without a print, a target or a command before that.", low=1, high=1440)
    cold_c: float = option(50.0, "Below this, in °C, hotends count as cold.", low=25, high=80)
    announce_s: float = option(
        60.0, "Seconds from the announcement until then; any command cancels it.", low=10, high=3600
    )
    before_off: tuple[str, ...] = option((), "Commands that are sent to the printer before that.", gcode=True)
    on_when_job_queued: bool = option(
        default=False, doc="Switch the printer on when the queue has something to print, and connect."
    )
    on_before_connect: bool = option(default=False, doc="Switch the printer on before it is connected.")
    connect_after_on: bool = option(default=True, doc="Connect the printer when somebody has switched it on.")
    port_wait_s: float = option(30.0, "Seconds that its port may take to appear.", low=1, high=600)
    cut_unconfirmed_stop: bool = option(
        default=False,
        doc="Switch the printer off when it did not confirm an emergency stop. A hotend that is hot loses its fan, and "
        "may clog.",
    )
    cut_heater_fault: bool = option(
        default=False, doc="Switch the printer off when its firmware has halted because of a heater. As above."
    )
    cut_after_s: float = option(
        5.0, "Seconds that a stop by the button may take to be confirmed before that.", low=1, high=60
    )

    def switches(self) -> tuple[DeviceConfig, ...]:
        """Return the devices with their roles: one alone is the printer's power, unless it says other."""
        if len(self.devices) == 1 and not self.devices[0].role:
            return (replace(self.devices[0], role="printer"),)
        return self.devices

    def check(self) -> None:
        """Refuse what does not fit together.

        Raises:
            ConfigError: says what.
        """
        for number, device in enumerate(self.devices, 1):
            _check(device, f"power.devices[{number}]")
        if sum(device.role == "printer" for device in self.devices) > 1:
            raise ConfigError('power.devices: only one may have role = "printer"')


@dataclass(frozen=True, slots=True)
class FilamentConfig:
    """A filament sensor."""

    name: str = option("filament", "What people call it.")
    pin: str = option("", "Its input, like GPIO17.")
    pull_up: bool = option(default=True, doc="The contact closes to ground.")
    closed_means_filament: bool = option(default=True, doc="The contact is closed while there is filament.")
    debounce_s: float = option(1.0, "Seconds that the contact has to stay so before it counts.", low=0.5, high=2)
    action: str = option(
        "pause",
        "pause: the print pauses as by the button; m600: the printer changes its filament by its own command.",
        choices=("pause", "m600"),
    )


@dataclass(frozen=True, slots=True)
class SensorsConfig:
    """Inputs on this computer's GPIO, by `nozzled power`."""

    filament: tuple[FilamentConfig, ...] = option((), "Filament sensors.", each=FilamentConfig)
    stop_pin: str = option(
        "", "Input of a stop button, like GPIO27: a contact to ground that is closed until somebody pushes it."
    )
    stop_debounce_s: float = option(0.02, "Seconds that it has to be open before it counts.", low=0, high=0.5)

    def check(self) -> None:
        """Refuse what does not fit together.

        Raises:
            ConfigError: says what.
        """
        pins = [sensor.pin for sensor in self.filament] + ([self.stop_pin] if self.stop_pin else [])
        if "" in pins:
            raise ConfigError("sensors.filament: each needs its pin, like GPIO17")
        if twice := next((pin for pin in pins if pins.count(pin) > 1), ""):
            raise ConfigError(f"sensors: {twice} is named twice")


def read(path: Path | None, environ: Mapping[str, str]) -> tuple[PowerConfig, SensorsConfig]:
    """Return both sections of the configuration file.

    Raises:
        ConfigError: one of them cannot be used.
    """
    defaults: dict[str, Any] = {"power": PowerConfig(), "sensors": SensorsConfig()}
    sections = load_sections(path, environ, defaults)
    power, sensors = sections["power"], sections["sensors"]
    power.check()
    sensors.check()
    return power, sensors


def _check(device: DeviceConfig, key: str) -> None:
    if not device.name.strip():
        raise ConfigError(f"{key}: a name is missing")
    if not device.type:
        raise ConfigError(f"{key}: a type is missing; there are {', '.join(TYPES)}")
    for name in _NEEDS[device.type]:
        if not getattr(device, name):
            raise ConfigError(f"{key}, {device.name}: {name} is missing, which {device.type} needs")
    allowed = (*_ALWAYS, *_NEEDS[device.type], *_ALLOWS[device.type])
    for field in fields(device):
        if field.name not in allowed and getattr(device, field.name) != field.default:
            raise ConfigError(f"{key}, {device.name}: {field.name} is not used by {device.type}")
    if device.type == "mqtt" and bool(device.topic) == bool(device.command_topic):
        raise ConfigError(f"{key}, {device.name}: either topic (of a Tasmota device) or command_topic is needed")
    if device.state_on.casefold() == device.state_off.casefold() or not device.state_on or not device.state_off:
        raise ConfigError(f"{key}, {device.name}: state_on and state_off must differ and must not be empty")
