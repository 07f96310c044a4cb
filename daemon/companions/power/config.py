"""The sections [power] and [sensors] of the configuration file."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from daemon.config import load_sections
from daemon.config.options import option
from daemon.errors import ConfigError

TYPES = ("tasmota", "shelly", "http", "mqtt", "homeassistant", "command", "relay")

_REQUIRED_KEYS: dict[str, tuple[str, ...]] = {
    "tasmota": ("address",),
    "shelly": ("address",),
    "http": ("on_url", "off_url"),
    "mqtt": ("address",),
    "homeassistant": ("address", "entity", "password_file"),
    "command": ("on_command", "off_command"),
    "relay": (),
}
_OPTIONAL_KEYS: dict[str, tuple[str, ...]] = {
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
_COMMON_KEYS = ("name", "type", "role", "timeout_s")


@dataclass(frozen=True, slots=True)
class DeviceConfig:
    """A switch."""

    name: str = option("", "Its name, for users.")
    type: str = option("", "Kind of switch.", choices=TYPES)
    role: str = option(
        "",
        "printer: the printer's own power, with its rules; at most one. Empty: printer, if it is the only switch.",
        choices=("", "printer", "other"),
    )
    address: str = option("", "Its address, like plug.local or http://192.168.1.20; for mqtt the broker's, host:1883.")
    channel: int = option(
        0, "Number of the relay: Tasmota counts from 1 (0: the only one), Shelly from 0.", low=0, high=64
    )
    user: str = option("", "User name; empty: admin for tasmota and shelly, else none.")
    password_file: str = option("", "File with its password, or with Home Assistant's token.")
    timeout_s: float = option(5.0, "Timeout for its answer, in seconds.", low=0.1, high=60)
    method: str = option("GET", "HTTP method of the URLs.", choices=("GET", "POST", "PUT"))
    on_url: str = option("", "URL that switches it on.")
    off_url: str = option("", "URL that switches it off.")
    on_body: str = option("", "Body of the request to on_url; JSON if it begins with a brace.")
    off_body: str = option("", "Body of the request to off_url.")
    state_url: str = option("", "URL that returns its state; empty: the state is unknown.")
    state_key: str = option("", "Path of the state in a JSON answer, like relays.0.ison; empty: anywhere in the text.")
    state_on: str = option("on", "Text of the answer when it is on.")
    state_off: str = option("off", "Text of the answer when it is off; after any other answer the state is unknown.")
    topic: str = option("", "MQTT topic of a Tasmota device.")
    command_topic: str = option("", "MQTT topic that switches any other device.")
    state_topic: str = option("", "MQTT topic with its state.")
    query_topic: str = option("", "MQTT topic that asks for its state.")
    available_topic: str = option("", "MQTT topic with online or offline.")
    payload_on: str = option("ON", "Payload that switches it on, and its state when it is on.")
    payload_off: str = option("OFF", "Payload that switches it off, and its state when it is off.")
    entity: str = option("", "Home Assistant's name of the switch, like switch.printer.")
    on_command: tuple[str, ...] = option((), 'Program that switches it on, like ["/usr/local/bin/plug", "on"].')
    off_command: tuple[str, ...] = option((), "Program that switches it off.")
    state_command: tuple[str, ...] = option((), "Program that prints its state.")
    relay: str = option("printer", "Instance of nozzled-relay@.service that controls a relay at this computer's GPIO.")


@dataclass(frozen=True, slots=True)
class PowerConfig:
    """Power of the printer and other devices; `nozzled power serve` switches it."""

    devices: tuple[DeviceConfig, ...] = option((), "The switches.", table_type=DeviceConfig)
    poll_s: float = option(5.0, "Seconds between queries of a switch's state.", low=1, high=600)
    locked_while_printing: bool = option(
        default=True, doc="Refuse to switch the printer off while it prints, is paused, heats or is hot, unless forced."
    )
    auto_off: bool = option(default=False, doc="Switch the printer off when it is idle and cold.")
    idle_min: float = option(
        30.0, "Minutes without a print, a target or a command before the printer is switched off.", low=1, high=1440
    )
    cold_c: float = option(50.0, "Temperature in °C below which hotends count as cold.", low=25, high=80)
    announce_s: float = option(
        60.0,
        "Seconds between the announcement of an automatic switch-off and the switch-off itself, which any command "
        "cancels.",
        low=10,
        high=3600,
    )
    before_off: tuple[str, ...] = option((), "Commands for the printer before it is switched off.", gcode=True)
    on_when_job_queued: bool = option(
        default=False, doc="Switch the printer on and connect it when a file is added to the queue."
    )
    on_before_connect: bool = option(default=False, doc="Switch the printer on before it is connected.")
    connect_after_on: bool = option(default=True, doc="Connect the printer after it was switched on.")
    port_wait_s: float = option(
        30.0, "Seconds to wait for the printer's port, after it was switched on.", low=1, high=600
    )
    cut_unconfirmed_stop: bool = option(
        default=False,
        doc="Switch the printer off when it does not confirm an emergency stop. A hot hotend then has no fan and may "
        "clog.",
    )
    cut_heater_fault: bool = option(
        default=False,
        doc="Switch the printer off when its firmware has halted because of a heater. A hot hotend may clog.",
    )
    cut_after_s: float = option(5.0, "Seconds to wait for the confirmation of a stop by the button.", low=1, high=60)

    def switches(self) -> tuple[DeviceConfig, ...]:
        """Return the devices with their roles: a single one is the printer's power, unless its role is other."""
        if len(self.devices) == 1 and not self.devices[0].role:
            return (replace(self.devices[0], role="printer"),)
        return self.devices

    def check(self) -> None:
        """Check keys that depend on each other.

        Raises:
            ConfigError: they contradict each other.
        """
        for number, device in enumerate(self.devices, 1):
            _check(device, f"power.devices[{number}]")
        if sum(device.role == "printer" for device in self.devices) > 1:
            raise ConfigError('power.devices: only one may have role = "printer"')


@dataclass(frozen=True, slots=True)
class FilamentConfig:
    """A filament sensor."""

    name: str = option("filament", "Its name, for users.")
    pin: str = option("", "Its input, like GPIO17.")
    pull_up: bool = option(default=True, doc="true: the contact connects the pin to ground; false: to 3.3 V.")
    closed_means_filament: bool = option(default=True, doc="The contact is closed while there is filament.")
    debounce_s: float = option(1.0, "Seconds for which the contact must be stable.", low=0.5, high=2)
    action: str = option(
        "pause",
        "On runout: pause pauses the print; m600 starts the printer's own filament change.",
        choices=("pause", "m600"),
    )


@dataclass(frozen=True, slots=True)
class SensorsConfig:
    """Inputs at this computer's GPIO; `nozzled power serve` reads them."""

    filament: tuple[FilamentConfig, ...] = option((), "Filament sensors.", table_type=FilamentConfig)
    stop_pin: str = option("", "Input of a stop button, like GPIO27: a contact to ground that opens when it is pushed.")
    stop_debounce_s: float = option(0.02, "Seconds for which the contact must be open.", low=0, high=0.5)

    def check(self) -> None:
        """Check keys that depend on each other.

        Raises:
            ConfigError: they contradict each other.
        """
        pins = [sensor.pin for sensor in self.filament] + ([self.stop_pin] if self.stop_pin else [])
        if "" in pins:
            raise ConfigError("sensors.filament: pin is missing: name one, such as GPIO17")
        if twice := next((pin for pin in pins if pins.count(pin) > 1), ""):
            raise ConfigError(f"sensors: {twice} is used twice")


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
        raise ConfigError(f"{key}: name is missing")
    if not device.type:
        raise ConfigError(f"{key}: type is missing; must be one of {', '.join(TYPES)}")
    for name in _REQUIRED_KEYS[device.type]:
        if not getattr(device, name):
            raise ConfigError(f"{key}, {device.name}: type {device.type} needs {name}")
    allowed = (*_COMMON_KEYS, *_REQUIRED_KEYS[device.type], *_OPTIONAL_KEYS[device.type])
    for field in fields(device):
        if field.name not in allowed and getattr(device, field.name) != field.default:
            raise ConfigError(f"{key}, {device.name}: type {device.type} does not use {field.name}")
    if device.type == "mqtt" and bool(device.topic) == bool(device.command_topic):
        raise ConfigError(f"{key}, {device.name}: set either topic (of a Tasmota device) or command_topic")
    if device.state_on.casefold() == device.state_off.casefold() or not device.state_on or not device.state_off:
        raise ConfigError(f"{key}, {device.name}: state_on and state_off must differ and must not be empty")
