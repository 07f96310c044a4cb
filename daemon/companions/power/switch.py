"""A switch: a device and its state, which is always read back from the device, never assumed."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from itertools import chain, repeat

import structlog

from daemon.companions.power.config import DeviceConfig
from daemon.companions.power.devices import PowerDevice
from daemon.companions.power.errors import DeviceError

SETTLE_S = 4.0  # for the device to report the state that it was switched to
POLL_INTERVAL = 0.5  # between two readings of that state
CHECK_INTERVAL = 1.0  # between two checks whether a slow device may still be switched
CUT_S = 65.0
"""How long a switch is kept off after an emergency cut. Closing the connection to a device does not withdraw a
command to switch on, which may need `timeout_s` (up to 60 s) to arrive, and a moment to be obeyed."""

CUT_PAUSES_S = (0.5, 1.0, 2.0, 5.0)
"""Between two attempts to cut, or two checks that the switch has stayed off; the last one repeats."""

CUT_PATIENCE_S = 10.0  # after which a user is told that the switch is not off yet; attempts go on until CUT_S

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
        is_cut: it was switched off in an emergency, and no request to switch it on has come since.
    """

    def __init__(self, config: DeviceConfig, device: PowerDevice, changed: Callable[[], None] = lambda: None) -> None:
        """Prepare; `changed` is called when state or error have changed."""
        self.name = config.name
        self.is_printer = config.role == "printer"
        self.device = device
        self.state: bool | None = None
        self.error: str | None = None
        self.doubtful = False
        self.is_cut = False
        self._changed = changed
        self._lock = asyncio.Lock()
        self._switching_on: asyncio.Future[None] | None = None  # the command that is on its way to the device
        self._cuts = 0  # number of emergency cuts
        self._cutting = 0  # of those, the ones for which the device is not known to be off yet

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
        if on and self._cutting:
            raise DeviceError(self._cut_text())
        async with self._lock:
            if objection is not None and (reason := await objection()) is not None:
                raise Withdrawn(reason)
            if on and cuts != self._cuts:  # the request is older than the emergency
                raise DeviceError(f"{self.name} has just been switched off in an emergency; switch it on once more")
            log.info("power.switched", switch=self.name, to=word)
            if on:
                self.is_cut = False
            else:
                self.doubtful = True
            try:
                await self._send(on=on, objection=objection)
                await self._settle(on=on)
                if on and self.is_cut:
                    raise DeviceError(self._cut_text())  # noqa: TRY301 - handled like an error of the device
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

    async def cut(self, report: Callable[[str | None], None]) -> None:
        """Switch the device off at once, whatever is under way, and keep it off for CUT_S, or until a request comes.

        The off has the last word: a command that is under way to switch it on is given up. As that may arrive all the
        same, the state is read again and again; a device that reports none gets the off again and again.

        Args:
            report: is called with None as soon as the device is off; after CUT_PATIENCE_S, with why it is not.
        """
        self._cuts += 1
        self.is_cut = True
        if self._switching_on is not None:
            self._switching_on.cancel()
        cut, loop = self._cuts, asyncio.get_running_loop()
        until, pauses = loop.time() + CUT_S, chain(CUT_PAUSES_S, repeat(CUT_PAUSES_S[-1]))
        self._cutting += 1
        try:
            # waits for no lock: a reading or a command may hold that for as long as the device hangs
            await self._cut(report, until, pauses)
        finally:
            self._cutting -= 1
        while loop.time() < until:
            await asyncio.sleep(next(pauses))
            async with self._lock:
                if not self.is_cut or cut != self._cuts:
                    return  # a request has come, or another cut
                if await self._read() is not False:
                    with suppress(DeviceError):
                        await self.device.off()
                    await self._read()

    async def _cut(self, report: Callable[[str | None], None], until: float, pauses: Iterator[float]) -> None:
        """Switch the device off until it reports that it is off, or has taken the command and reports no state."""
        loop = asyncio.get_running_loop()
        reason: str | None = f"{self.name} has not answered"
        impatience = loop.call_later(CUT_PATIENCE_S, lambda: report(reason))
        try:
            while (reason := await self._cut_once()) is not None and loop.time() < until:
                log.warning("power.not_cut", switch=self.name, reason=reason)
                await asyncio.sleep(next(pauses))
        finally:
            impatience.cancel()
        if reason is None:
            report(None)

    async def _cut_once(self) -> str | None:
        """Switch the device off; return why it is not off now."""
        try:
            await self.device.off()
        except DeviceError as error:
            # it may have obeyed all the same
            return str(error) if await self._read() is not False else None
        if await self._read() is True:
            return f"{self.name} was switched off, but reports that it is not"
        return self.error

    def _cut_text(self) -> str:
        return f"{self.name} is being switched off in an emergency"

    async def _send(self, *, on: bool, objection: Objection | None) -> None:
        sending = asyncio.ensure_future(self.device.on() if on else self.device.off())
        if on:
            self._switching_on = sending
        try:
            while not (await asyncio.wait((sending,), timeout=CHECK_INTERVAL if objection is not None else None))[0]:
                reason = await objection() if objection is not None else None
                if reason is not None and not sending.done():
                    raise Withdrawn(reason, sent=True)
            if sending.cancelled():
                raise DeviceError(self._cut_text())
            sending.result()
        finally:
            if self._switching_on is sending:
                self._switching_on = None
            sending.cancel()

    async def _turn_back(self) -> None:
        """Switch the device on again: closing the connection does not take back a command that it has received.

        After a cut it stays off, whoever needs it.
        """
        if self.is_cut:
            await self._read()
            return
        log.warning("power.switched", switch=self.name, to="on", why="it was told to switch off, but is needed")
        try:
            await self._send(on=True, objection=None)
            self.doubtful = False
        except DeviceError as error:
            log.warning("power.no_word", switch=self.name, reason=str(error))
        await self._read()

    async def _settle(self, *, on: bool) -> None:
        """Read the state until it is the requested one; do not wait for a device that reports no state."""
        loop = asyncio.get_running_loop()
        until = loop.time() + SETTLE_S
        while await self._read() is not on and loop.time() < until:
            if (self.state is None and self.error is None) or (on and self.is_cut):
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
