"""The simulated printer as a transport: no wire, no process, on whatever clock the loop has."""

import asyncio
from collections.abc import Callable

from hal.errors import PortError, PortLost
from hal.simulated.firmware import Firmware


class SimulatedTransport:
    """Connects a host to a simulated firmware in the same process; a `hal.transport.Transport`.

    Args:
        firmware: may have been connected before; its time stood still since.
        address: what `address` returns.
        speed: seconds on the device for each second on the loop's clock.
        reset_on_open: whether opening resets the board, as DTR does on most.
    """

    def __init__(
        self, firmware: Firmware, address: str = "sim", speed: float = 1.0, *, reset_on_open: bool = True
    ) -> None:
        self._firmware = firmware
        self._address = address
        self._speed = speed
        self._reset_on_open = reset_on_open
        self._on_data: Callable[[bytes], None] = _ignore
        self._on_lost: Callable[[PortError], None] = _ignore
        self._loop: asyncio.AbstractEventLoop | None = None  # None: not open
        self._began = 0.0  # on the loop's clock, when the device's showed _device_began
        self._device_began = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._soon = False  # a run is to come in this turn of the loop

    @property
    def address(self) -> str:
        """The printer's address."""
        return self._address

    @property
    def baudrate(self) -> int | None:
        """The speed that the firmware simulates."""
        return self._firmware.config.baudrate

    @property
    def now(self) -> float:
        """The device's time in seconds."""
        if self._loop is None:
            return self._firmware.now
        return self._device_began + (self._loop.time() - self._began) * self._speed

    async def open(self, on_data: Callable[[bytes], None], on_lost: Callable[[PortError], None]) -> None:
        """Connect; resets the board unless told otherwise."""
        self._loop = asyncio.get_running_loop()
        self._on_data, self._on_lost = on_data, on_lost
        self._began, self._device_began = self._loop.time(), self._firmware.now
        if self._reset_on_open:
            self._firmware.reset(self.now)
        self._run_soon()

    def write(self, data: bytes) -> None:
        """Put bytes on the wire; nothing happens when the line is closed."""
        if self._loop is not None:
            self._firmware.receive(data, self.now)
            self._run_soon()

    def reset(self) -> None:
        """Reset the board as a pulse of DTR does."""
        if self._loop is not None:
            self._firmware.reset(self.now)
            self._run_soon()

    def unplug(self) -> None:
        """Pull the cable, for tests."""
        if self._loop is not None:
            self._loop.call_soon(self._lose)

    def start_panel_print(self, name: str, size: int) -> None:
        """Start a print from the board's SD card at its panel, for tests."""
        self._run()  # up to now
        self._firmware.start_panel_print(name, size)
        self._run_soon()

    def _lose(self) -> None:
        if self._loop is not None:
            on_lost = self._on_lost
            self.close()
            on_lost(PortLost(f"{self._address} was unplugged"))

    def close(self) -> None:
        """Disconnect."""
        self._loop = None
        self._on_data = self._on_lost = _ignore
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run_soon(self) -> None:
        if self._loop is not None and not self._soon:
            self._soon = True
            self._loop.call_soon(self._run)

    def _run_timer(self, due: float) -> None:
        self._timer = None
        self._run(due)

    def _run(self, due: float = 0.0) -> None:
        """Let the firmware do what is due, hand over what it says, and come back when it has more."""
        self._soon = False
        if self._loop is None:
            return
        # The loop calls a timer up to a nanosecond early: what it was set for is due all the same.
        data = self._firmware.advance(max(self.now, due))
        if data:
            self._on_data(data)
        self._schedule()

    def _schedule(self) -> None:
        due = self._firmware.next_event()
        if due is None or self._loop is None or self._soon:
            return
        when = self._began + (due - self._device_began) / self._speed
        if self._timer is not None:
            if self._timer.when() <= when:
                return  # it comes early enough, and will be set again then
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._run_timer, due)


def _ignore(_value: object) -> None:
    """Take the place of a callback while the line is closed."""
