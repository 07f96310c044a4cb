"""What the suite runs on: a simulated printer in memory, one behind a pty, or with `--printer` a real one."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from gcode.errors import NozzledError
from hal import registry
from hal.driver import LinePrinter
from hal.printer import Event, Printer
from hal.simulated import clock
from hal.simulated.firmware import Firmware
from hal.simulated.memory import SimulatedTransport
from hal.simulated.oracle import Oracle

HEATERS_OFF = ("M104 S0", "M140 S0")
PATIENCE = 30.0  # s on the loop's clock
PTY_SPEED = 50.0
SIMULATED = ("memory", "pty")


class Device:
    """A printer that can be connected to again and again.

    Attributes:
        speed: its seconds in each second on the loop's clock.
        cold: its heaters have been switched off since the last connection.
        restarts: why each connection may meet a board that has just booted; empty where none should.
    """

    speed = 1.0
    restarts = ""

    def __init__(self) -> None:
        self.cold = True

    def make(self) -> Printer:
        """Return a new object for the one device behind it."""
        raise NotImplementedError

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine on the kind of loop that the tests have."""
        asyncio.run(work)

    def accepted(self) -> list[str] | None:
        """Return the commands that the device has taken so far; None where it does not tell."""
        return None

    def printer(self) -> Printer:
        """Return a printer that is not open yet; the device is not known to be cold from here on."""
        self.cold = False
        return self.make()

    @asynccontextmanager
    async def ready(self, listener: Callable[[Event], None] | None = None) -> AsyncIterator[Printer]:
        """Have an open printer, which is switched off at the end whatever happens."""
        printer = self.printer()
        if listener is not None:
            printer.subscribe(listener)
        try:
            await printer.open()
            yield printer
        finally:
            await self._end(printer)

    async def _end(self, printer: Printer) -> None:
        with suppress(NozzledError, TimeoutError):  # what went wrong is the test's to tell, the fixture cools then
            async with asyncio.timeout(PATIENCE):
                printer.feed(None)
                for command in HEATERS_OFF:
                    await printer.send(command, urgent=True)
                self.cold = True
        await printer.close()

    async def cool(self) -> None:
        """Switch the heaters off over a connection of its own."""
        with suppress(NozzledError):
            async with self.ready():
                pass
        if not self.cold:
            pytest.fail("the heaters could not be switched off: CUT THE PRINTER'S POWER if it is hot")

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition."""
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110 - what is waited for knows no events
                await asyncio.sleep(0.005)


class MemoryDevice(Device):
    """The simulated printer in this process, on the virtual clock."""

    def __init__(self) -> None:
        super().__init__()
        self._firmware = Firmware(oracle=Oracle(keep=None))
        self._firmware.reset(0.0)  # power on; opening does not reset it, as with a port whose DTR stays up

    def make(self) -> Printer:
        return LinePrinter(SimulatedTransport(self._firmware, reset_on_open=False))

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        clock.run(work)

    def accepted(self) -> list[str]:
        return [each.command for each in self._firmware.oracle.commands]


class PortDevice(Device):
    """Whatever is at an address, in real time."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = registry.parse(address)
        if self._address.scheme != "serial":
            self.restarts = f"each connection to {address} may be to a board that has just booted"
        elif str(Path(self._address.target).resolve()).startswith("/dev/pts/"):
            self.restarts = f"{address} is a pty: it has no DTR, so what opening does is its device's own choice"

    def make(self) -> Printer:
        return registry.create(self._address)


class PtyDevice(PortDevice):
    """The simulated printer in a process of its own, behind a pty; opening the port does not reset it."""

    speed = PTY_SPEED

    def __init__(self, port: Path, oracle: Path) -> None:
        super().__init__(f"serial:{port}")
        self.restarts = ""
        self._oracle = oracle

    def accepted(self) -> list[str]:
        return [json.loads(line)["command"] for line in self._oracle.read_text().splitlines()]


@contextmanager
def _pty_device(folder: Path) -> Iterator[PtyDevice]:
    port, oracle = folder / "printer", folder / "oracle.jsonl"
    program = [sys.executable, "-m", "hal.simulated", "--pty", str(port), "--oracle", str(oracle)]
    options = ["--speed", str(PTY_SPEED), "--no-reset-on-open"]
    with subprocess.Popen([*program, *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            assert "->" in line, "the simulated printer did not start"
            yield PtyDevice(port, oracle)
        finally:
            process.terminate()
    assert process.returncode == 0


@contextmanager
def _device(name: str, folder: Path) -> Iterator[Device]:
    if name == "memory":
        yield MemoryDevice()
    elif name == "pty":
        with _pty_device(folder) as device:
            yield device
    else:
        yield PortDevice(name)


@pytest.fixture
def device(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Device]:
    """The printer under test; it is cold at the end, or the test fails."""
    if request.param not in SIMULATED:
        _skip_what_is_not_allowed(request)
    with _device(request.param, tmp_path) as device:
        yield device
        if not device.cold:
            device.run(device.cool())


def _skip_what_is_not_allowed(request: pytest.FixtureRequest) -> None:
    node, config, address = request.node, request.config, request.param
    if node.get_closest_marker("heats") and not config.getoption("allow_heat"):
        pytest.skip(f"NOT TESTED on {address}: it heats; allow that by --allow-heat")
    if node.get_closest_marker("moves") and not config.getoption("allow_motion"):
        pytest.skip(f"NOT TESTED on {address}: it moves; allow that by --allow-motion")
    if node.get_closest_marker("port") and not address.startswith("serial:"):
        pytest.skip(f"NOT TESTED on {address}: it is no serial port")


def pytest_configure(config: pytest.Config) -> None:
    for line in (
        "heats: heats the printer, to 40 °C; on a real one with --allow-heat only",
        "moves: moves the printer; on a real one with --allow-motion only",
        "port: about serial ports, so not for the simulated printer in memory",
    ):
        config.addinivalue_line("markers", line)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test on both simulated printers, or on the one that was asked for."""
    if "device" not in metafunc.fixturenames:
        return
    names = [metafunc.config.getoption("printer")] if metafunc.config.getoption("printer") else list(SIMULATED)
    if metafunc.definition.get_closest_marker("port") and "memory" in names:
        names.remove("memory")
    marks = {"memory": ()}
    params = [pytest.param(name, marks=marks.get(name, pytest.mark.real_time), id=name) for name in names]
    metafunc.parametrize("device", params, indirect=True)
