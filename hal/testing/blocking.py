"""BlockingPrinter: a printer for programs without an event loop, like labgrid's."""

import asyncio
import threading
from collections.abc import Awaitable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from gcode.host_commands import meaning
from gcode.reader import Reader
from gcode.replies import Heaters
from hal import registry
from hal.loop import WatchedLoop
from hal.printer import FirmwareIdentity, Printer
from hal.testing.clock import Clock
from hal.testing.device import Device, PortDevice
from hal.testing.lines import print_lines
from hal.testing.simulated import simulated_device

T = TypeVar("T")


class LoopRunner(Protocol):
    """Runs coroutines for a caller that blocks."""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end."""

    def close(self) -> None:
        """End the loop."""


class BackgroundLoop:
    """An event loop in a thread, which serves a real printer even while no call runs."""

    def __init__(self) -> None:
        self._loop = WatchedLoop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="printer", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end; Ctrl-C, which reaches only the caller's thread, ends it too."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """End the loop."""
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class BlockingPrinter:
    """A printer that is opened, used and closed by blocking calls; `close` turns its heaters off."""

    def __init__(self, address: str) -> None:
        """Prepare; nothing is opened.

        Raises:
            AddressError: no backend understands the address.
        """
        self._address = registry.check(address)
        self._runner: LoopRunner
        self._device: Device
        self._printer: Printer

    def open(self) -> None:
        """Connect.

        Raises:
            PortError: the port cannot be opened, or nothing answers.
        """
        simulated = self._address.scheme == "sim"
        self._runner = Clock(virtual=True) if simulated else BackgroundLoop()
        self._device = simulated_device(self._address, None) if simulated else PortDevice(self._address)
        try:
            self._printer = self._runner.run(self._device.open())
        except BaseException:
            self._runner.close()
            raise

    def close(self) -> None:
        """Turn the heaters off and disconnect.

        Raises:
            HotPrinterError: the heaters could not be turned off.
        """
        try:
            self._runner.run(self._device.end(self._printer))
            self._runner.run(self._device.turn_heaters_off())
        finally:
            self._runner.close()

    @property
    def identity(self) -> FirmwareIdentity:
        """The firmware's answer to M115."""
        return self._printer.identity

    @property
    def heaters(self) -> Heaters:
        """The last temperature report, in °C."""
        return self._printer.heaters

    def send(self, command: str, timeout: float | None = None) -> Sequence[str]:
        """Send one command; return the printer's answer, `ok` last.

        Raises:
            TimeoutError: there was no answer for `timeout` seconds.
            NozzledError: the command cannot be sent, or the connection ended.
        """
        return self._runner.run(_within(timeout, self._printer.send(command)))

    def print_lines(self, commands: Sequence[str], timeout: float | None = None) -> None:
        """Print commands as a job; return once the last one has been acknowledged. Raises what `send` does.

        After `timeout` seconds those that have not been sent are dropped; the printer carries out the others.
        """
        self._runner.run(_within(timeout, print_lines(self._printer, commands)))

    def print_file(self, path: Path, timeout: float | None = None) -> None:
        """Print a file without the lines for the host; return once the last move is done. Raises what `send` does.

        Raises:
            OSError: the file cannot be read.
        """
        self.print_lines(list(_commands(path)), timeout)
        self._runner.run(_within(timeout, self._printer.wait_for_rest()))

    def sleep(self, seconds: float) -> None:
        """Let seconds pass for the printer."""
        self._runner.run(asyncio.sleep(seconds))

    def emergency_stop(self) -> None:
        """Stop everything now; the connection ends."""
        self._runner.run(self._stop())

    async def _stop(self) -> None:
        self._printer.emergency_stop()

    def tail(self) -> list[str]:
        """Return the last lines that went over the wire, oldest first."""
        return self._printer.flight_recorder.tail()


def _commands(path: Path) -> Iterator[str]:
    reader = Reader()
    reader.feed(path.read_bytes())
    yield from _printer_commands(reader)
    reader.finish()
    yield from _printer_commands(reader)


def _printer_commands(reader: Reader) -> Iterator[str]:
    return (command.decode() for _, command in reader if meaning(command, host_waits=False) is None)


async def _within(seconds: float | None, work: Awaitable[T]) -> T:
    async with asyncio.timeout(seconds):
        return await work
