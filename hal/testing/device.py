"""Device: a printer under test, which takes several connections in turn, and whose heaters are off at the end."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from gcode.errors import FirmwareHalted, NozzledError
from gcode.heating import heaters_off
from hal import registry
from hal.driver import LinePrinter
from hal.printer import Event, FirmwareSaid, Printer
from hal.recorder import RecordingTransport
from hal.registry import Address
from hal.simulated import clock
from hal.simulated.firmware import Firmware
from hal.simulated.memory import DeviceClock, SimulatedTransport
from hal.testing.clock import TIMEOUT, until
from hal.testing.session import SessionKeeper
from hal.transport import Transport


class HotPrinterError(NozzledError):
    """The heaters of a printer could not be turned off."""


class Device:
    """A printer that takes several connections in turn.

    Attributes:
        speed: its seconds for each second on the loop's clock.
        heaters_are_off: they have been turned off since the last connection.
        restart_reason: why its board may have booted before a connection; empty: the board should not have booted.
        session: the traffic of its connections.
    """

    speed = 1.0
    restart_reason = ""

    def __init__(self) -> None:
        self.heaters_are_off = True
        self.session = SessionKeeper()

    def make(self) -> Printer:
        """Return a new connection to the device, not open yet."""
        raise NotImplementedError

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine on a loop that suits the device."""
        asyncio.run(work)

    def accepted(self) -> list[str] | None:
        """Return the commands that the device has accepted so far; None: the device cannot tell."""
        return None

    def printer(self) -> Printer:
        """Return a printer that is not open yet; from here on the device may be hot."""
        self.heaters_are_off = False
        printer = self.make()

        def on_event(event: Event) -> None:
            if isinstance(event, FirmwareSaid) and event.severity == "info":
                # the confirmation of an emergency stop: a halted printer does not heat
                self.heaters_are_off = self.heaters_are_off or isinstance(printer.error, FirmwareHalted)

        printer.subscribe(on_event)
        return printer

    @asynccontextmanager
    async def ready(self, listener: Callable[[Event], None] | None = None) -> AsyncIterator[Printer]:
        """Yield an open printer; at the end, even after an error, its heaters are turned off if possible."""
        printer = self.printer()
        if listener is not None:
            printer.subscribe(listener)
        try:
            await printer.open()
            yield printer
        finally:
            await self.end(printer)

    async def open(self) -> Printer:
        """Return an open printer with known temperatures; the caller has to `end` it.

        Raises:
            PortError: the port cannot be opened, or nothing answers.
        """
        printer = self.printer()
        try:
            await printer.open()
            await printer.send("M105")
        except BaseException:
            await printer.close()
            raise
        return printer

    async def end(self, printer: Printer) -> None:
        """Turn the heaters off if possible, which sets `heaters_are_off`, and close."""
        with suppress(NozzledError, TimeoutError):  # the test reports the error, and `turn_heaters_off` tries again
            async with asyncio.timeout(TIMEOUT):
                printer.feed(None)
                for command in _heaters_off(printer):
                    await printer.send(command, urgent=True)
                self.heaters_are_off = True
        await printer.close()

    async def turn_heaters_off(self) -> None:
        """Turn the heaters off over a new connection, unless they are off.

        Raises:
            HotPrinterError: they could not be turned off.
        """
        if not self.heaters_are_off:
            with suppress(NozzledError):
                async with self.ready() as printer:
                    await printer.send("M105")  # its report names every heater
        if not self.heaters_are_off:
            raise HotPrinterError("the heaters could not be turned off: CUT THE PRINTER'S POWER if it is hot")

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until `condition` returns a true value, on the loop's clock."""
        await until(condition)

    def _listen(self, transport: Transport) -> Transport:
        return RecordingTransport(transport, self.session, asyncio.get_running_loop().time)


def _heaters_off(printer: Printer) -> list[str]:
    """Return the commands that turn off every heater that the printer has reported."""
    reported = printer.heaters
    hotends = sum(name.startswith("tool") for name in reported)
    chamber = "chamber" in reported and reported["chamber"].target is not None
    return heaters_off(hotends, chamber=chamber, heaters=reported)


class SimulatedDevice(Device):
    """A simulated printer in this process, on the virtual clock; opening a connection does not reset it."""

    def __init__(self, firmware: Firmware, address: str = "sim", speed: float = 1.0) -> None:
        super().__init__()
        self.firmware = firmware
        self._address = address
        self._clock = DeviceClock(firmware, speed)
        firmware.reset(0.0)  # power on; DTR stays up from here on, so no connection resets it

    def make(self) -> Printer:
        """Return a new connection to the device, not open yet."""
        transport = SimulatedTransport(self.firmware, self._address, reset_on_open=False, clock=self._clock)
        return LinePrinter(self._listen(transport))

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine on the virtual clock."""
        clock.run(work)

    def accepted(self) -> list[str]:
        """Return the commands that the firmware has accepted."""
        return [each.command for each in self.firmware.oracle.commands]


class PortDevice(Device):
    """The printer at an address, in real time."""

    def __init__(self, address: Address) -> None:
        super().__init__()
        self.address = address
        if address.scheme != "serial":
            self.restart_reason = f"the board at {address} may have booted before each connection"
        elif str(Path(address.target).resolve()).startswith("/dev/pts/"):
            self.restart_reason = f"{address} is a pty without DTR, whose device may boot at each connection"

    def make(self) -> Printer:
        """Return a new connection to the device, not open yet."""
        return registry.create(self.address, wrap=self._listen)
