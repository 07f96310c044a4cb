"""Device: a printer under test, which can be connected to again and again, and is left cold."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from gcode.errors import FirmwareHalted, NozzledError
from hal import registry
from hal.driver import LinePrinter
from hal.printer import Event, FirmwareSaid, Printer
from hal.recorder import RecordingTransport
from hal.registry import Address
from hal.simulated import clock
from hal.simulated.firmware import Firmware
from hal.simulated.memory import DeviceClock, SimulatedTransport
from hal.testing.session import SessionKeeper
from hal.transport import Transport

HEATERS_OFF = ("M104 S0", "M140 S0")
PATIENCE = 30.0  # s on the loop's clock


class HotPrinterError(NozzledError):
    """A printer could not be told to switch its heaters off."""


class Device:
    """A printer that can be connected to again and again.

    Attributes:
        speed: its seconds in each second on the loop's clock.
        cold: its heaters have been switched off since the last connection.
        restarts: why each connection may meet a board that has just booted; empty where none should.
        session: what went over its line.
    """

    speed = 1.0
    restarts = ""

    def __init__(self) -> None:
        self.cold = True
        self.session = SessionKeeper()

    def make(self) -> Printer:
        """Return a new object for the one device behind it."""
        raise NotImplementedError

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine on the kind of loop that the device wants."""
        asyncio.run(work)

    def accepted(self) -> list[str] | None:
        """Return the commands that the device has taken so far; None where it does not tell."""
        return None

    def printer(self) -> Printer:
        """Return a printer that is not open yet; the device is not known to be cold from here on."""
        self.cold = False
        printer = self.make()

        def on_event(event: Event) -> None:
            if isinstance(event, FirmwareSaid) and event.severity == "info":
                # the answer to an emergency stop: what has halted heats no more
                self.cold = self.cold or isinstance(printer.error, FirmwareHalted)

        printer.subscribe(on_event)
        return printer

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
            await self.end(printer)

    async def opened(self) -> Printer:
        """Return an open printer whose temperatures are known, for `end`; where opening fails, it is closed.

        Raises:
            PortError: the line cannot be opened, or nobody answers.
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
        """Switch the heaters off where that is possible, and close; `cold` tells."""
        with suppress(NozzledError, TimeoutError):  # what went wrong is the test's to tell, `cool` comes then
            async with asyncio.timeout(PATIENCE):
                printer.feed(None)
                for command in HEATERS_OFF:
                    await printer.send(command, urgent=True)
                self.cold = True
        await printer.close()

    async def cool(self) -> None:
        """Switch the heaters off over a connection of its own, unless that is done.

        Raises:
            HotPrinterError: they could not be.
        """
        if not self.cold:
            with suppress(NozzledError):
                async with self.ready():
                    pass
        if not self.cold:
            raise HotPrinterError("the heaters could not be switched off: CUT THE PRINTER'S POWER if it is hot")

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition."""
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110 - what is waited for knows no events
                await asyncio.sleep(0.005)

    def _listen(self, transport: Transport) -> Transport:
        return RecordingTransport(transport, self.session, asyncio.get_running_loop().time)


class SimulatedDevice(Device):
    """A simulated printer in this process, on the virtual clock; opening does not reset it."""

    def __init__(self, firmware: Firmware, address: str = "sim", speed: float = 1.0) -> None:
        super().__init__()
        self.firmware = firmware
        self._address = address
        self._clock = DeviceClock(firmware, speed)
        firmware.reset(0.0)  # power on; a port whose DTR stays up does not reset it again

    def make(self) -> Printer:
        """Return a new object for it."""
        transport = SimulatedTransport(self.firmware, self._address, reset_on_open=False, clock=self._clock)
        return LinePrinter(self._listen(transport))

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine on the virtual clock."""
        clock.run(work)

    def accepted(self) -> list[str]:
        """Return the commands that the firmware has taken."""
        return [each.command for each in self.firmware.oracle.commands]


class PortDevice(Device):
    """Whatever is at an address, in real time."""

    def __init__(self, address: Address) -> None:
        super().__init__()
        self.address = address
        if address.scheme != "serial":
            self.restarts = f"each connection to {address} may be to a board that has just booted"
        elif str(Path(address.target).resolve()).startswith("/dev/pts/"):
            self.restarts = f"{address} is a pty: it has no DTR, so what opening does is its device's own choice"

    def make(self) -> Printer:
        """Return a new object for it."""
        return registry.create(self.address, wrap=self._listen)
