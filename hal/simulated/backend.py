"""The backend for addresses of the scheme `sim`: `sim?firmware=prusa&scenario=/tmp/bad-cable.toml&seed=1&speed=20`."""

import asyncio
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TextIO, cast

from hal.errors import AddressError, PortError, ScenarioError
from hal.registry import Address, natural_int, positive_float, positive_int
from hal.simulated.config import FirmwareConfig
from hal.simulated.firmware import Firmware
from hal.simulated.memory import DeviceClock, SimulatedTransport
from hal.simulated.options import OPTIONS, apply_options
from hal.simulated.oracle import Oracle
from hal.simulated.personalities import FIRMWARES
from hal.simulated.scenario import Scenario, load

_PoweredPrinter = tuple[Firmware, DeviceClock]
_printers: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _PoweredPrinter]]" = (
    weakref.WeakKeyDictionary()
)


def create_transport(address: Address) -> SimulatedTransport:
    """Return the transport to a simulated printer, which is off until it is opened.

    Options of the address: `firmware`, one of `FIRMWARES`; `scenario`, a file with its faults; `speed`, how many times
    faster it is than a real printer; `seed`, of its random numbers; `baudrate`, of its wire (by default bytes take no
    time); `oracle`, a file to which each accepted command is written as a line of JSON; and `OPTIONS`. Each connection
    empties the oracle's file first; with a scenario, only the first connection does.

    Each transport has its own printer. With a scenario, however, all transports of an address share one printer while
    the loop runs, so that past faults do not happen again when the host reattaches.

    Raises:
        AddressError: the address has a target, an option is unknown or invalid, or the oracle's file cannot be written.
    """
    address.allow("firmware", "scenario", "speed", "seed", "baudrate", "oracle", *OPTIONS)
    if address.target:
        raise AddressError(f"{address}: the simulated printer has no port: leave out {address.target!r}")
    config = config_of(address)
    speed = address.option("speed", positive_float, "a number above 0, like 20 or 0.5") or 1.0
    if path := address.option("oracle", str, "the name of a file"):
        _open_record(address, path, "a").close()  # not emptied: a printer may be writing to it
    return _AddressedTransport(address, Firmware(config), speed)


def config_of(address: Address) -> FirmwareConfig:
    """Return the printer's configuration from its address; raises AddressError."""
    config = address.option("firmware", _firmware, ", ".join(FIRMWARES)) or FirmwareConfig()
    seed = address.option("seed", natural_int, "a whole number, 0 or more")
    baudrate = address.option("baudrate", positive_int, "a whole number like 115200 or 250000")
    config = replace(config, seed=seed or 0, baudrate=baudrate, scenario=_scenario(address))
    return apply_options(
        config, {name: address.option(name, each.read, each.allowed) for name, each in OPTIONS.items()}
    )


def _firmware(name: str) -> FirmwareConfig:
    if name not in FIRMWARES:
        raise ValueError(name)
    return FIRMWARES[name]


def _scenario(address: Address) -> Scenario:
    path = address.option("scenario", Path, "the name of a file")
    try:
        return Scenario() if path is None else load(path)
    except ScenarioError as error:
        raise AddressError(f"{address}: {error}") from error


def _oracle(address: Address) -> Oracle | None:
    path = address.option("oracle", str, "the name of a file")
    if path is None:
        return None
    file = _open_record(address, path, "w")
    oracle = Oracle(file)
    weakref.finalize(oracle, file.close)
    return oracle


def _open_record(address: Address, path: str, mode: str) -> TextIO:
    """Open the file for accepted commands, to be emptied (`w`) or kept (`a`)."""
    try:
        return cast("TextIO", Path(path).open(mode, encoding="utf-8", buffering=1))
    except OSError as error:
        raise AddressError(f"{address}: cannot write {path}: {error.strerror}") from error


class _AddressedTransport(SimulatedTransport):
    """A transport to the printer of an address; with a scenario, all of them share it while the loop runs."""

    def __init__(self, address: Address, firmware: Firmware, speed: float) -> None:
        super().__init__(firmware, str(address), speed)
        self._parsed_address = address

    def _connect(self, on_data: Callable[[bytes], None], on_lost: Callable[[PortError], None]) -> None:
        printers = _printers.setdefault(asyncio.get_running_loop(), {})
        if self._address not in printers:
            self._firmware.oracle = _oracle(self._parsed_address) or self._firmware.oracle
            if self._firmware.config.scenario:
                printers[self._address] = self._firmware, self._clock
        else:
            self._firmware, self._clock = printers[self._address]
        super()._connect(on_data, on_lost)
