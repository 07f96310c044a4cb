"""Switch: a device with its last word. What it is told is looked at afterwards: state is sensed, never assumed."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from daemon.companions.power.config import DeviceConfig
from daemon.companions.power.devices import PowerDevice
from daemon.companions.power.errors import DeviceError

SETTLE = 4.0  # s in which it has to say that it does as it was told
LOOK = 0.5  # s between two looks meanwhile
SLOW = 1.0  # s after which a device that is still being switched is asked about again

Still = Callable[[], Awaitable[str | None]]  # returns what speaks against it by now, None: nothing

log = structlog.get_logger()


class Withdrawn(Exception):
    """It was not switched, as something speaks against it by now: `reason`; `sent`: it had been told already."""

    def __init__(self, reason: str, *, sent: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent


class Switch:
    """One device.

    Attributes:
        state: it is on, by its own word; None: it has said nothing that could be relied on.
        error: why not.
        doubtful: it was told to go off and has not said that it is: it may still do so.
    """

    def __init__(self, config: DeviceConfig, device: PowerDevice, changed: Callable[[], None] = lambda: None) -> None:
        """Prepare; `changed` is called when there is something else to tell."""
        self.name = config.name
        self.is_printer = config.role == "printer"
        self.device = device
        self.state: bool | None = None
        self.error: str | None = None
        self.doubtful = False
        self._changed = changed
        self._lock = asyncio.Lock()

    async def look(self) -> None:
        """Ask it for its state; what goes wrong is kept in `error`."""
        async with self._lock:
            await self._look()

    async def turn(self, *, on: bool, still: Still | None = None) -> None:
        """Switch it, and see that it is.

        Args:
            on: on or off.
            still: is asked once nothing is waited for any more, and again as long as the device takes its time.

        Raises:
            DeviceError: it does not answer, or is not as it was told to be.
            Withdrawn: `still` speaks against it.
        """
        word = "on" if on else "off"
        async with self._lock:
            if still is not None and (reason := await still()) is not None:
                raise Withdrawn(reason)
            log.info("power.switched", switch=self.name, to=word)
            self.doubtful = not on
            try:
                await self._send(on=on, still=still)
                await self._settle(on=on)
                if self.error is not None:
                    raise DeviceError(self.error)  # noqa: TRY301 - as what the device raises
                if self.state is (not on):
                    raise DeviceError(f"{self.name} was switched {word}, but says that it is not")  # noqa: TRY301 - as above
                self.doubtful = False
            except Withdrawn:
                await self._turn_back()
                raise
            except DeviceError as error:
                self._set(self.state, str(error))
                raise

    async def stay_on(self) -> None:
        """Take an off back that it was told, and may not have done yet."""
        async with self._lock:
            if self.doubtful:
                await self._turn_back()

    async def cut(self) -> None:
        """Switch it off at once, whatever else goes on with it. Raises DeviceError."""
        await self.device.off()

    async def _send(self, *, on: bool, still: Still | None) -> None:
        sending = asyncio.ensure_future(self.device.on() if on else self.device.off())
        try:
            while not (await asyncio.wait((sending,), timeout=SLOW if still is not None else None))[0]:
                reason = await still() if still is not None else None
                if reason is not None and not sending.done():
                    raise Withdrawn(reason, sent=True)
            sending.result()
        finally:
            sending.cancel()

    async def _turn_back(self) -> None:
        """Tell it to be on: who hangs up does not take back what was heard."""
        log.warning("power.switched", switch=self.name, to="on", why="it was told to go off, and is wanted")
        try:
            await self.device.on()
            self.doubtful = False
        except DeviceError as error:
            log.warning("power.no_word", switch=self.name, reason=str(error))
        await self._look()

    async def _settle(self, *, on: bool) -> None:
        """Look until it is as it was told to be; one that has no word of its own is not waited for."""
        loop = asyncio.get_running_loop()
        until = loop.time() + SETTLE
        while await self._look() is not on and loop.time() < until:
            if self.state is None and self.error is None:
                return
            await asyncio.sleep(LOOK)

    async def _look(self) -> bool | None:
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
