"""A switch: a device and its state, which is always read back from the device, never assumed."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from daemon.companions.power.config import DeviceConfig
from daemon.companions.power.devices import PowerDevice
from daemon.companions.power.errors import DeviceError

SETTLE_S = 4.0  # for the device to report the state that it was switched to
POLL_INTERVAL = 0.5  # between two readings of that state
CHECK_INTERVAL = 1.0  # between two checks whether a slow device may still be switched

Objection = Callable[[], Awaitable[str | None]]  # returns a reason against switching now; None: there is none

log = structlog.get_logger()


class Withdrawn(Exception):
    """The device is not switched, for `reason`. `sent`: the command had been sent before."""

    def __init__(self, reason: str, *, sent: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent


class Switch:
    """A device and its state.

    Attributes:
        state: whether the device reports that it is on; None: unknown.
        error: why the state is unknown, or is not the one that was requested.
        doubtful: an off was sent, and the device has not reported it yet, so it may still switch off.
    """

    def __init__(self, config: DeviceConfig, device: PowerDevice, changed: Callable[[], None] = lambda: None) -> None:
        """Prepare; `changed` is called when state or error have changed."""
        self.name = config.name
        self.is_printer = config.role == "printer"
        self.device = device
        self.state: bool | None = None
        self.error: str | None = None
        self.doubtful = False
        self._changed = changed
        self._lock = asyncio.Lock()
        self._cuts = 0
        self._is_cut = False  # it was switched off in an emergency, and nobody has asked to switch it on since

    async def read(self) -> None:
        """Read the device's state, or set `error`."""
        async with self._lock:
            await self._read()

    async def turn(self, *, on: bool, objection: Objection | None = None) -> None:
        """Switch the device, and verify its state.

        Args:
            on: on or off.
            objection: called right before switching, and again while the device has not answered.

        Raises:
            DeviceError: it does not answer, or reports another state.
            Withdrawn: `objection` has returned a reason.
        """
        word, cuts = "on" if on else "off", self._cuts
        async with self._lock:
            if objection is not None and (reason := await objection()) is not None:
                raise Withdrawn(reason)
            if on and self._cuts != cuts:  # the request is older than the emergency
                raise DeviceError(f"{self.name} has just been switched off in an emergency; switch it on once more")
            log.info("power.switched", switch=self.name, to=word)
            self.doubtful, self._is_cut = not on, self._is_cut and not on
            try:
                await self._send(on=on, objection=objection)
                await self._settle(on=on)
                if self.error is not None:
                    raise DeviceError(self.error)  # noqa: TRY301 - handled like an error of the device
                if self.state is (not on):
                    raise DeviceError(f"{self.name} was switched {word}, but reports that it is not")  # noqa: TRY301 - as above
                self.doubtful = False
            except Withdrawn:
                await self._turn_back()
                raise
            except DeviceError as error:
                self._set(self.state, str(error))
                raise

    async def stay_on(self) -> None:
        """Switch the device on again if an off may still take effect."""
        async with self._lock:
            if self.doubtful:
                await self._turn_back()

    async def cut(self) -> None:
        """Switch the device off at once, without waiting for other requests. Raises DeviceError."""
        self._cuts += 1
        self._is_cut = True
        await self.device.off()

    async def _send(self, *, on: bool, objection: Objection | None) -> None:
        sending = asyncio.ensure_future(self._on() if on else self.device.off())
        try:
            while not (await asyncio.wait((sending,), timeout=CHECK_INTERVAL if objection is not None else None))[0]:
                reason = await objection() if objection is not None else None
                if reason is not None and not sending.done():
                    raise Withdrawn(reason, sent=True)
            sending.result()
        finally:
            sending.cancel()

    async def _on(self) -> None:
        """Switch the device on; if it is cut meanwhile, switch it off again, as one command may overtake the other."""
        await self.device.on()
        if self._is_cut:
            await self.device.off()

    async def _turn_back(self) -> None:
        """Switch the device on again: closing the connection does not take back a command that it has received.

        After a cut it stays off, whoever needs it.
        """
        if self._is_cut:
            await self._read()
            return
        log.warning("power.switched", switch=self.name, to="on", why="it was told to switch off, but is needed")
        try:
            await self._on()
            self.doubtful = False
        except DeviceError as error:
            log.warning("power.no_word", switch=self.name, reason=str(error))
        await self._read()

    async def _settle(self, *, on: bool) -> None:
        """Read the state until it is the requested one; do not wait for a device that reports no state."""
        loop = asyncio.get_running_loop()
        until = loop.time() + SETTLE_S
        while await self._read() is not on and loop.time() < until:
            if self.state is None and self.error is None:
                return
            await asyncio.sleep(POLL_INTERVAL)

    async def _read(self) -> bool | None:
        try:
            self._set(await self.device.sense(), None)
        except DeviceError as error:
            self._set(None, str(error))
        return self.state

    def _set(self, state: bool | None, error: str | None) -> None:
        self.doubtful = self.doubtful and state is not False
        if error is not None and error != self.error:
            log.warning("power.no_word", switch=self.name, reason=error)
        if (state, error) != (self.state, self.error):
            self.state, self.error = state, error
            self._changed()
