"""What `sim` means as a printer address: `sim?speed=20&seed=1&baudrate=115200`."""

import weakref
from pathlib import Path

from hal.errors import AddressError
from hal.registry import Address, natural_int, positive_float, positive_int
from hal.simulated.config import FirmwareConfig
from hal.simulated.firmware import Firmware
from hal.simulated.memory import SimulatedTransport
from hal.simulated.oracle import Oracle


def create_transport(address: Address) -> SimulatedTransport:
    """Return the transport to a simulated printer of its own, not switched on yet.

    Options: `speed`, how many times faster than real; `seed` of its random numbers; `baudrate` of its wire,
    whose bytes take no time by default; `oracle`, a file that takes each accepted command as a line of JSON.

    Raises:
        AddressError: there is a target, or an option is unknown or wrong.
    """
    address.allow("speed", "seed", "baudrate", "oracle")
    if address.target:
        raise AddressError(f"{address}: the simulated printer has no port, so nothing follows {address.scheme!r}")
    speed = address.option("speed", positive_float, "a number above 0, like 20 or 0.5")
    seed = address.option("seed", natural_int, "a whole number, 0 or more")
    baudrate = address.option("baudrate", positive_int, "a whole number like 115200 or 250000")
    firmware = Firmware(FirmwareConfig(seed=seed or 0, baudrate=baudrate), _oracle(address))
    return SimulatedTransport(firmware, address=str(address), speed=speed or 1.0)


def _oracle(address: Address) -> Oracle | None:
    path = address.option("oracle", str, "the name of a file")
    if path is None:
        return None
    try:
        file = Path(path).open("w", encoding="utf-8", buffering=1)  # noqa: SIM115 - lives as long as the oracle
    except OSError as error:
        raise AddressError(f"{address}: cannot write {path}: {error.strerror}") from error
    oracle = Oracle(file)
    weakref.finalize(oracle, file.close)
    return oracle
