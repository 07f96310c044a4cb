"""pytest plugin: fixtures and markers for tests with a printer, simulated or real; see `docs/hil.md`.

Every pytest run in the environment loads it, even for projects without printers. So it imports only pytest until a
test uses one of its fixtures, and does not touch other tests.
"""

import inspect
import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # modules that pytest measures and rewrites must not be imported before it starts
    from hal.printer import Printer
    from hal.registry import Address
    from hal.simulated.oracle import Oracle
    from hal.simulated.scenario import Scenario
    from hal.testing.clock import Clock
    from hal.testing.device import Device

SIMULATED = "sim"
LAST_LINES = 60  # of the session, in the report of a failing test

DEVICE = pytest.StashKey["Device"]()
"""The key of a test's device, whose session is shown if the test fails."""

_CLOCK = pytest.StashKey["Clock"]()
"""The key of a test's clock; another project's fixture of the name `clock` sets none."""

_MARKERS = (
    "heats: the test heats the printer; on hardware with --allow-heat only",
    "moves: the test moves the printer; on hardware with --allow-motion only",
    "scenario(what, ...): a file beside the test, or faults, for the simulated printer; not run on hardware",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    group = parser.getgroup("nozzled", "3D printers")
    group.addoption("--printer", metavar="ADDRESS", help="the printer, e.g. serial:/dev/ttyACM0 (default: simulated)")
    group.addoption("--allow-heat", action="store_true", help="run tests that heat a real printer")
    group.addoption("--allow-motion", action="store_true", help="run tests that move a real printer")
    group.addoption("--sessions", type=Path, metavar="DIR", help="keep the recorded sessions of failing tests here")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers, and refuse to share a real printer among processes.

    Raises:
        UsageError: several processes would use one real printer.
    """
    for line in _MARKERS:
        config.addinivalue_line("markers", line)
    if not _is_simulated(_address(config)) and config.getoption("numprocesses", None):
        raise pytest.UsageError("--printer: one printer serves one test at a time; run without -n")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object:
    """Run an `async def` test that uses these fixtures on their loop."""
    clock = pyfuncitem.stash.get(_CLOCK, None)
    if clock is None or not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: value for name, value in pyfuncitem.funcargs.items() if name in names}
    clock.run(pyfuncitem.obj(**arguments))
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the last lines of the session to the report of a failed test."""
    report = yield
    device = item.stash.get(DEVICE, None)
    if report.failed and device is not None:
        report.sections.append(("session with the printer", device.session.show(LAST_LINES)))
        if folder := item.config.getoption("sessions"):
            location = _save(item, device, folder / f"{_file_name(item.nodeid)}.jsonl.gz")
            report.sections.append(("whole session", location))
    return report


@pytest.fixture(scope="session")
def printer_address(request: pytest.FixtureRequest) -> "Address":
    """The printer's address, from `--printer`."""
    from hal import registry  # noqa: PLC0415 - see the module's docstring

    return registry.check(_address(request.config))


@pytest.fixture
def clock(request: pytest.FixtureRequest, printer_address: "Address") -> "Iterator[Clock]":
    """The printer's time and loop: virtual for a simulated printer, real for any other."""
    from hal.testing.clock import Clock  # noqa: PLC0415 - see the module's docstring

    _skip_if_forbidden(request.node)
    clock = Clock(virtual=printer_address.scheme == SIMULATED)
    request.node.stash[_CLOCK] = clock
    yield clock
    clock.close()


@pytest.fixture
def scenario(request: pytest.FixtureRequest, printer_address: "Address") -> "Scenario | None":
    """The faults of the simulated printer, from the marker `scenario`; None: those of the address."""
    from hal.testing.simulated import scenario_of  # noqa: PLC0415 - see the module's docstring

    mark = request.node.get_closest_marker("scenario")
    if mark is None:
        return None
    if printer_address.scheme != SIMULATED:
        pytest.skip(f"NOT TESTED on {printer_address}: only a simulated printer has faults on demand")
    return scenario_of(mark.args, request.path.parent)


@pytest.fixture
def printer_device(
    request: pytest.FixtureRequest,
    printer_address: "Address",
    clock: "Clock",
    scenario: "Scenario | None",
) -> "Iterator[Device]":
    """The device at the address, for tests that connect themselves; a real one whose heaters stay on is an error."""
    from hal.testing.device import PortDevice  # noqa: PLC0415 - see the module's docstring
    from hal.testing.simulated import simulated_device  # noqa: PLC0415 - as above

    device: Device
    if printer_address.scheme == SIMULATED:
        device = simulated_device(printer_address, scenario)
    else:
        device = PortDevice(printer_address)
    request.node.stash[DEVICE] = device
    yield device
    if not clock.virtual:
        clock.run(device.turn_heaters_off())


@pytest.fixture
def printer(printer_device: "Device", clock: "Clock") -> "Iterator[Printer]":
    """An open printer; at the end its heaters are turned off and it is closed."""
    printer = clock.run(printer_device.open())
    yield printer
    clock.run(printer_device.end(printer))


@pytest.fixture
def oracle(printer_device: "Device", printer_address: "Address") -> "Oracle":
    """The record of what the simulated printer has received and done."""
    from hal.testing.device import SimulatedDevice  # noqa: PLC0415 - see the module's docstring

    if not isinstance(printer_device, SimulatedDevice):
        pytest.skip(f"NOT TESTED on {printer_address}: only a simulated printer has an oracle")
    return printer_device.firmware.oracle


def _address(config: pytest.Config) -> str:
    return str(config.getoption("printer") or SIMULATED)


def _is_simulated(address: str) -> bool:
    return re.match(rf"{SIMULATED}(\?|$)", address) is not None


def _skip_if_forbidden(item: pytest.Item) -> None:
    """Skip a test that is not allowed on hardware, before anything is connected."""
    address = _address(item.config)
    if _is_simulated(address):
        return
    for marker, option in (("heats", "allow_heat"), ("moves", "allow_motion")):
        if item.get_closest_marker(marker) and not item.config.getoption(option):
            pytest.skip(f"NOT TESTED on {address}: it {marker}; allow that with --{option.replace('_', '-')}")


def _file_name(nodeid: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", nodeid)[-120:]


def _save(item: pytest.Item, device: "Device", path: Path) -> str:
    """Write the whole session to a file; return the text for the report."""
    from hal.testing.session import header_of  # noqa: PLC0415 - see the module's docstring

    try:
        device.session.save(path, header_of(_address(item.config)))
    except OSError as error:
        return f"not saved: {error}"
    return f"nozzled replay --show {path}"
