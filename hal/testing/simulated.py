"""The simulated printer of the pytest plugin."""

from dataclasses import replace
from pathlib import Path

from hal.errors import ScenarioError
from hal.registry import Address, positive_float
from hal.simulated.backend import config_of
from hal.simulated.firmware import Firmware
from hal.simulated.oracle import Oracle
from hal.simulated.scenario import Fault, Scenario, load
from hal.testing.device import SimulatedDevice


def simulated_device(address: Address, scenario: Scenario | None) -> SimulatedDevice:
    """Return the simulated printer of an address, switched on; its oracle keeps every command.

    Raises:
        AddressError: an option is wrong.
    """
    config = config_of(address)
    if scenario is not None:
        config = replace(config, scenario=scenario)
    speed = address.option("speed", positive_float, "a number above 0, like 20 or 0.5") or 1.0
    return SimulatedDevice(Firmware(config, Oracle(keep=None)), str(address), speed)


def scenario_of(what: tuple[object, ...], folder: Path) -> Scenario:
    """Return the scenario for the arguments of a marker.

    Raises:
        ScenarioError: the arguments are wrong, or the file cannot be used.
    """
    match what:
        case (Scenario() as scenario,):
            return scenario
        case (str() | Path() as name,):
            return load(folder / name)
        case (Fault(), *_) if all(isinstance(each, Fault) for each in what):
            return Scenario(tuple(each for each in what if isinstance(each, Fault)))
    raise ScenarioError(f"the marker scenario has {what!r}; allowed: a file, a Scenario, or Faults")
