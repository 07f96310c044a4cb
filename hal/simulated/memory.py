"""SimulatedTransport: connects a host to a simulated printer in the same process, on the loop's clock."""

import asyncio
import math
from collections.abc import Callable

from hal.errors import NoSuchPort, PortError, PortLost
from hal.simulated.clock import VirtualClockLoop
from hal.simulated.firmware import Firmware


class DeviceClock:
    """The device's time, by a loop's clock. It also runs without a host; between two loops it stands still."""

    def __init__(self, firmware: Firmware, speed: float = 1.0) -> None:
        self._firmware = firmware
        self._speed = speed
        self._loop: asyncio.AbstractEventLoop | None = None
        self._began = 0.0  # the loop's time at which the device's was `_device_began`
        self._device_began = 0.0
        self.keeps_messages = False  # no host is connected, and messages wait for the next one

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Use this loop's clock from now on."""
        if loop is not self._loop:
            self._loop = loop
            self._began, self._device_began = loop.time(), self._firmware.now

    @property
    def now(self) -> float:
        """The device's time in seconds."""
        if self._loop is None:
            return self._firmware.now
        return self._device_began + (self._loop.time() - self._began) * self._speed

    def when(self, device_time: float) -> float:
        """Return the loop's time at this time of the device."""
        return self._began + (device_time - self._device_began) / self._speed


class SimulatedTransport:
    """Connects a host to a simulated firmware in the same process; a `hal.transport.Transport`.

    Args:
        firmware: the printer; without `clock`, its time stands still between two transports.
        address: the printer's address.
        speed: seconds on the device for each second on the loop's clock.
        reset_on_open: whether opening resets the board, as DTR does on most.
        clock: the firmware's, if it outlives this connection; by default, a new clock with `speed`.
    """

    def __init__(
        self,
        firmware: Firmware,
        address: str = "sim",
        speed: float = 1.0,
        *,
        reset_on_open: bool = True,
        clock: DeviceClock | None = None,
    ) -> None:
        self._firmware = firmware
        self._address = address
        self._clock = clock or DeviceClock(firmware, speed)
        self._reset_on_open = reset_on_open
        self._on_data: Callable[[bytes], None] = _ignore
        self._on_lost: Callable[[PortError], None] = _ignore
        self._loop: asyncio.AbstractEventLoop | None = None  # None: not open
        self._skip_to: Callable[[float], bool] = _never
        self._timer: asyncio.TimerHandle | None = None
        self._run_is_due = False  # in this turn of the loop
        self._in_callback = False  # the host has been called, and may write at once

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
        return self._firmware.now if self._loop is None else self._clock.now

    async def open(self, on_data: Callable[[bytes], None], on_lost: Callable[[PortError], None]) -> None:
        """Connect, and pulse DTR, which resets most boards, unless `reset_on_open` is false.

        Raises:
            NoSuchPort: the scenario has pulled the cable.
        """
        self._connect(on_data, on_lost)
        if self._reset_on_open:
            self._firmware.pulse_dtr(self.now)

    async def reopen(self, on_data: Callable[[bytes], None], on_lost: Callable[[PortError], None]) -> None:
        """Connect without a reset; the messages since `abandon` are read.

        Raises:
            NoSuchPort: the scenario has pulled the cable.
        """
        self._connect(on_data, on_lost)

    def _connect(self, on_data: Callable[[bytes], None], on_lost: Callable[[PortError], None]) -> None:
        loop = asyncio.get_running_loop()
        self._clock.start(loop)
        if not self._clock.keeps_messages:
            self._firmware.advance_silently(self._clock.now)
        if self._firmware.plugged_at > self._clock.now:
            raise NoSuchPort(f"There is no printer at {self._address}: its cable is pulled.")
        self._loop = loop
        self._skip_to = loop.skip_to if isinstance(loop, VirtualClockLoop) else _never
        self._clock.keeps_messages = False
        self._on_data, self._on_lost = on_data, on_lost
        self._firmware.on_unplug = self.unplug
        self._run_soon()

    def abandon(self) -> None:
        """Leave the port open without reading, like a host that is killed while systemd holds its descriptor."""
        self.close()
        self._clock.keeps_messages = True

    def write(self, data: bytes) -> None:
        """Put bytes on the wire; nothing happens if the connection is closed."""
        if self._loop is not None:
            self._firmware.receive(data, self.now)
            self._run_soon()

    def reset(self) -> None:
        """Pulse DTR, which resets most boards."""
        if self._loop is not None:
            self._firmware.pulse_dtr(self.now)
            self._run_soon()

    def unplug(self) -> None:
        """Pull the cable; a cable that the scenario pulled is plugged in again at the firmware's `plugged_at`."""
        if self._loop is not None:
            self._loop.call_soon(self._lose)

    def start_panel_print(self, name: str, size: int) -> None:
        """Start a print from the board's SD card at its panel, for tests."""
        self._run()  # up to now
        self._firmware.start_panel_print(name, size)
        self._run_soon()

    def press_knob(self) -> None:
        """Press the knob at the printer."""
        self._run()
        self._firmware.press_knob()
        self._run_soon()

    def _lose(self) -> None:
        if self._loop is not None:
            on_lost = self._on_lost
            self.close()
            on_lost(PortLost(f"{self._address} was unplugged"))

    def close(self) -> None:
        """Disconnect."""
        if self._loop is not None:
            self._firmware.on_unplug = None
        self._loop = None
        self._on_data = self._on_lost = _ignore
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run_soon(self) -> None:
        if self._loop is not None and not self._run_is_due:
            self._run_is_due = True
            if not self._in_callback:
                self._loop.call_soon(self._run)

    def _run_timer(self, due: float) -> None:
        self._timer = None
        self._run(due)

    def _run(self, due: float = 0.0) -> None:
        """Have the firmware do what is due, pass its messages on, and run again when there is more."""
        self._run_is_due = False
        # the loop calls a timer up to a nanosecond early: the event of the timer is due nevertheless
        now = max(self.now, due)
        while self._loop is not None:
            now = self._exchange(now)
            if now == math.inf or self._loop is None or self._run_is_due:
                return
            when = self._clock.when(now)
            if not self._skip_to(when):
                self._set_timer(when, now)
                return

    def _exchange(self, now: float) -> float:
        """Do what is due now; return when there is more."""
        firmware = self._firmware
        due = firmware.proceed(now)
        if data := firmware.output():
            self._deliver(data)
            if self._run_is_due and self._loop is not None:  # the host has written: save a turn of the loop
                self._run_is_due = False
                due = firmware.proceed(now)
        return min(due, firmware.next_output)

    def _deliver(self, data: bytes) -> None:
        self._in_callback = True
        try:
            self._on_data(data)
        finally:
            self._in_callback = False

    def _set_timer(self, when: float, due: float) -> None:
        if self._timer is not None:
            if self._timer.when() <= when:
                return  # that timer is early enough, and sets the next one
            self._timer.cancel()
        if self._loop is not None:
            self._timer = self._loop.call_at(when, self._run_timer, due)


def _never(_when: float) -> bool:
    """Do not skip: only a virtual clock can."""
    return False


def _ignore(_value: object) -> None:
    """Stand in for a callback while the connection is closed."""
