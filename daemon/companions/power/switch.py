"""A switch: a device and its state. The state is always read back from the device, never assumed."""

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
command to switch on, which may take `timeout_s` (up to 60 s) to arrive, and a moment to take effect."""

CUT_PAUSES_S = (0.5, 1.0, 2.0, 5.0)
"""Seconds between attempts to cut, and between checks that the switch has stayed off; the last value repeats."""

CUT_PATIENCE_S = 10.0  # after which a user is told that the switch is not off yet; attempts continue until CUT_S

Objection = Callable[[], Awaitable[str | None]]  # returns a reason against switching now; None: there is none

log = structlog.get_logger()


class SwitchingWithdrawn(Exception):
    """The device is not switched, because of `reason`. `is_sent`: the command had been sent already."""

    def __init__(self, reason: str, *, is_sent: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_sent = is_sent


class Switch:
    """A device and its state.

    Attributes:
        state: whether the device reports that it is on; None: unknown.
        error: why the state is unknown, or is not the one that was requested.
        may_still_go_off: a command to switch off was sent, and the device has not reported that it is off.
        is_cut: it was switched off in an emergency, and no request has switched it on since.
    """

    def __init__(self, config: DeviceConfig, device: PowerDevice, on_change: Callable[[], None] = lambda: None) -> None:
        """Prepare; `on_change` is called when state or error have changed."""
        self.name = config.name
        self.is_printer = config.role == "printer"
        self.device = device
        self.state: bool | None = None
        self.error: str | None = None
        self.may_still_go_off = False
        self.is_cut = False
        self._on_change = on_change
        self._lock = asyncio.Lock()
        self._switch_on_task: asyncio.Future[None] | None = None  # sends a command to switch on
        self._cuts = 0  # number of emergency cuts
        self._unfinished_cuts = 0  # number of those after which the device is not known to be off yet

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
            SwitchingWithdrawn: `objection` has returned a reason.
        """
        word, cuts = "on" if on else "off", self._cuts
        if on and self._unfinished_cuts:
            raise DeviceError(self._describe_cut())
        async with self._lock:
            if objection is not None and (reason := await objection()) is not None:
                raise SwitchingWithdrawn(reason)
            if on and cuts != self._cuts:  # the request is older than the emergency
                raise DeviceError(f"{self.name} has just been switched off in an emergency; switch it on once more")
            log.info("power.switched", switch=self.name, to=word)
            if on:
                self.is_cut = False
            else:
                self.may_still_go_off = True
            try:
                await self._send(on=on, objection=objection)
                await self._settle(on=on)
                if on and self.is_cut:
                    raise DeviceError(self._describe_cut())  # noqa: TRY301 - handled like an error of the device
                if self.error is not None:
                    raise DeviceError(self.error)  # noqa: TRY301 - handled like an error of the device
                if self.state is (not on):
                    raise DeviceError(f"{self.name} was switched {word}, but reports that it is not")  # noqa: TRY301 - as above
                self.may_still_go_off = False
            except SwitchingWithdrawn:
                await self._turn_back()
                raise
            except DeviceError as error:
                self._set(self.state, str(error))
                raise

    async def stay_on(self) -> None:
        """Switch the device on again if a switch-off may still take effect."""
        async with self._lock:
            if self.may_still_go_off:
                await self._turn_back()

    async def cut(self, report: Callable[[str | None], None]) -> None:
        """Switch the device off at once, whatever is under way, and keep it off for CUT_S, or until a request comes.

        A command to switch it on that is being sent is given up. It may arrive all the same, so the state is read
        repeatedly; a device that reports no state is switched off repeatedly.

        Args:
            report: called with None as soon as the device is off; after CUT_PATIENCE_S, with the reason why it is not.
        """
        self._cuts += 1
        self.is_cut = True
        if self._switch_on_task is not None:
            self._switch_on_task.cancel()
        cut, loop = self._cuts, asyncio.get_running_loop()
        until, pauses = loop.time() + CUT_S, chain(CUT_PAUSES_S, repeat(CUT_PAUSES_S[-1]))
        self._unfinished_cuts += 1
        try:
            # without the lock, which a reading or a command may hold for as long as the device hangs
            await self._cut(report, until, pauses)
        finally:
            self._unfinished_cuts -= 1
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
        """Repeat the switch-off until the device reports that it is off, or, without a state, accepts the command."""
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
            # the device may have switched off all the same
            return str(error) if await self._read() is not False else None
        if await self._read() is True:
            return f"{self.name} was switched off, but reports that it is not"
        return self.error

    def _describe_cut(self) -> str:
        return f"{self.name} is being switched off in an emergency"

    async def _send(self, *, on: bool, objection: Objection | None) -> None:
        sending = asyncio.ensure_future(self.device.on() if on else self.device.off())
        if on:
            self._switch_on_task = sending
        try:
            while not (await asyncio.wait((sending,), timeout=CHECK_INTERVAL if objection is not None else None))[0]:
                reason = await objection() if objection is not None else None
                if reason is not None and not sending.done():
                    raise SwitchingWithdrawn(reason, is_sent=True)
            if sending.cancelled():
                raise DeviceError(self._describe_cut())
            sending.result()
        finally:
            if self._switch_on_task is sending:
                self._switch_on_task = None
            sending.cancel()

    async def _turn_back(self) -> None:
        """Switch the device on again: closing the connection does not take back a command that it has received.

        After an emergency cut it stays off.
        """
        if self.is_cut:
            await self._read()
            return
        log.warning("power.switched", switch=self.name, to="on", why="it was told to switch off, but is needed")
        try:
            await self._send(on=True, objection=None)
            self.may_still_go_off = False
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
        self.may_still_go_off = self.may_still_go_off and state is not False
        if error is not None and error != self.error:
            log.warning("power.no_word", switch=self.name, reason=error)
        if (state, error) != (self.state, self.error):
            self.state, self.error = state, error
            self._on_change()
