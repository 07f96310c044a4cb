"""A printer in a labgrid environment: a resource with its address, and a driver for it.

    targets:
      main:
        resources:
          PrinterAddress:
            address: serial:/dev/ttyACM0
        drivers:
          PrinterDriver: {}
    imports:
      - hal.testing.labgrid

In place of `PrinterAddress` a serial port of labgrid's own will do (`RawSerialPort`, `USBSerialPort`), or a
`NetworkSerialPort` with the protocol `raw`. Needs the extra `nozzled[labgrid]`; see `docs/hil.md`.
"""

from collections.abc import Sequence
from pathlib import Path

import attr
from labgrid import step, target_factory
from labgrid.driver import Driver
from labgrid.resource import NetworkSerialPort, Resource

from gcode.replies import Heaters
from hal.errors import AddressError
from hal.printer import FirmwareIdentity
from hal.registry import Address
from hal.testing.blocking import BlockingPrinter


@target_factory.reg_resource
@attr.s(eq=False)
class PrinterAddress(Resource):
    """A printer by its nozzled address: `sim`, `serial:/dev/ttyACM0?baudrate=250000`, `tcp:lab:3333`."""

    address = attr.ib(validator=attr.validators.instance_of(str))


@target_factory.reg_driver
@attr.s(eq=False)
class PrinterDriver(Driver):
    """A printer, connected while the driver is active; its heaters are off afterwards."""

    bindings = {"port": {"PrinterAddress", "SerialPort", "NetworkSerialPort"}}  # noqa: RUF012 - labgrid's way

    def on_activate(self) -> None:
        """Connect."""
        printer = BlockingPrinter(_address(self.port))
        printer.open()
        self._printer = printer

    def on_deactivate(self) -> None:
        """Turn the heaters off and disconnect."""
        self._printer.close()

    @property
    @Driver.check_active
    def identity(self) -> FirmwareIdentity:
        """The firmware's answer to M115."""
        return self._printer.identity

    @property
    @Driver.check_active
    def heaters(self) -> Heaters:
        """The last temperature report, in °C."""
        return self._printer.heaters

    @Driver.check_active
    @step(args=["command"], result=True)
    def send(self, command: str, timeout: float | None = None) -> Sequence[str]:
        """Send one command; return the printer's answer, `ok` last."""
        return self._printer.send(command, timeout)

    @Driver.check_active
    @step()
    def print_lines(self, commands: Sequence[str], timeout: float | None = None) -> None:
        """Print commands as a job; return when the last one has been acknowledged."""
        self._printer.print_lines(commands, timeout)

    @Driver.check_active
    @step(args=["path"])
    def print_file(self, path: str, timeout: float | None = None) -> None:
        """Print a file; return when its last move is done."""
        self._printer.print_file(Path(path), timeout)

    @Driver.check_active
    @step(args=["seconds"])
    def sleep(self, seconds: float) -> None:
        """Let seconds pass for the printer; a simulated one stands still otherwise."""
        self._printer.sleep(seconds)

    @Driver.check_active
    @step()
    def emergency_stop(self) -> None:
        """Stop everything now; the connection ends until the next activation."""
        self._printer.emergency_stop()


def _address(port: Resource) -> str:
    """Return the nozzled address of the resource to which the driver is bound.

    Raises:
        AddressError: a network port has another protocol than `raw`.
    """
    if isinstance(port, PrinterAddress):
        return str(port.address)
    if isinstance(port, NetworkSerialPort):
        if port.protocol != "raw":
            raise AddressError(f"{port.host}:{port.port}: protocol is {port.protocol!r}; allowed: raw")
        return str(Address("tcp", f"{port.host}:{port.port}"))
    return str(Address("serial", port.port, {"baudrate": str(port.speed)}))
