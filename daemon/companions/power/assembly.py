"""Builds the companion as it is configured: its switches, its sensors, and their passwords."""

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from daemon.client import OctoPrintClient
from daemon.companions.power.config import DeviceConfig, PowerConfig, SensorsConfig, read
from daemon.companions.power.devices import make
from daemon.companions.power.emergency import Emergency
from daemon.companions.power.power import Power
from daemon.companions.power.switch import Switch
from daemon.config import path_of
from daemon.config.home import expand_home
from daemon.errors import ConfigError

MAX_SECRET = 4096  # characters


def password(device: DeviceConfig, folder: Path | None = None) -> str:
    """Return the password of a device. A relative `password_file` is a credential, or is beside the configuration file.

    Raises:
        ConfigError: it cannot be read.
    """
    if not device.password_file:
        return ""
    path = expand_home(device.password_file)
    credentials = os.environ.get("CREDENTIALS_DIRECTORY", "")
    candidates = [Path(credentials) / path] if credentials and not path.is_absolute() else []
    candidates.append((folder or Path()) / path)
    for candidate in candidates[:-1]:
        with suppress(OSError, UnicodeDecodeError):
            return candidate.read_text("utf-8")[:MAX_SECRET].strip()
    try:
        return candidates[-1].read_text("utf-8")[:MAX_SECRET].strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"power.devices, {device.name}: password_file {candidates[-1]}: {reason}") from error


def build(
    client: OctoPrintClient,
    folder: Path,
    power: PowerConfig,
    secrets: Mapping[str, str],
    wall: Callable[[], float],
    socket: Path | None,
) -> Power:
    """Return the companion; it switches nothing yet.

    Raises:
        DeviceError: the configuration of a device cannot be used.
    """
    switches = [Switch(each, make(each, secrets.get(each.name, ""))) for each in power.switches()]
    cut_after = power.cut_after_s if power.cut_unconfirmed_stop else None
    emergency = Emergency(client, socket, cut_after)
    companion = Power(client, folder, power, switches, wall, emergency)
    emergency.cut, emergency.on_change = companion.cut, companion.report_changes
    return companion


def watch_inputs(companion: Power, config: SensorsConfig, stack: ExitStack) -> None:
    """Configure the pins of the inputs, if there are any; `stack` releases the pins.

    Raises:
        DeviceError: a pin cannot be used.
    """
    if config == SensorsConfig():
        return
    from daemon.companions.power.sensors import Inputs  # noqa: PLC0415 - only if there are sensors

    stack.callback(companion.emergency.end)
    companion.inputs = Inputs(
        config, companion.client, companion.send_event, companion.report_changes, companion.emergency, stack
    )


def assemble(
    client: OctoPrintClient,
    folder: Path,
    path: Path | None,
    environ: Mapping[str, str],
    wall: Callable[[], float],
    socket: Path | None,
    stack: ExitStack,
) -> Power:
    """Return the companion as the configuration file describes it; `stack` releases its pins.

    Raises:
        ConfigError: the configuration cannot be used.
        DeviceError: a device or a pin cannot be used.
    """
    power, sensors = read(path, environ)
    file = path_of(path, environ)
    secrets = {each.name: password(each, file.parent if file is not None else None) for each in power.devices}
    companion = build(client, folder, power, secrets, wall, socket)
    watch_inputs(companion, sensors, stack)
    return companion
