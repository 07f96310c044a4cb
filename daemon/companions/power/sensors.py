"""Filament sensors and the stop button at this computer's GPIO, by gpiozero. Inputs only.

gpiozero calls back from a thread of its own, where nothing is done but to notify the loop.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from typing import Any

import structlog

from daemon.client import ClientError, Conflict, OctoPrintClient
from daemon.client.errors import NeverSent, RequestRefused
from daemon.companions.power.config import FilamentConfig, SensorsConfig
from daemon.companions.power.emergency import Emergency
from daemon.companions.power.errors import DeviceError
from daemon.companions.power.sensing import Debounced, Runout

FRONT_TIMEOUT = 5.0
RETRY_INTERVAL = 1.0  # after the front refused a pause
MAX_TRIES = 600
PRINTING = ("Starting", "Printing", "Printing from SD", "Resuming")
AWAY = ("Offline", "Error")  # states of a printer that is not connected, or has halted
MAX_PROGRESS = 6  # checks with progress after M600: the printer may still execute commands from before it
WATCH_S = 600.0  # for the effect of M600; a G29 before it may take minutes

log = structlog.get_logger()


class Contact:
    """A contact between an input and ground, or 3.3 V."""

    def __init__(self, pin: str, *, pull_up: bool, on_change: Callable[[bool, float], None]) -> None:
        """Configure the pin as an input.

        Args:
            pin: its name, like GPIO17.
            pull_up: the contact connects the pin to ground.
            on_change: is called on the loop with the new state, True: closed, and when it began.

        Raises:
            DeviceError: gpiozero is missing, or there is no such pin.
        """
        try:
            from gpiozero import Button  # noqa: PLC0415 - of the extra gpio, and some 4 MB
        except ImportError as error:
            raise DeviceError("[sensors] needs gpiozero: pip install 'nozzled[gpio]'") from error
        loop = asyncio.get_running_loop()
        try:
            self._button = Button(pin, pull_up=pull_up)
        except Exception as error:  # whatever the library of this board raises
            raise DeviceError(f"[sensors] cannot use {pin} as an input: {error}") from error

        def tell() -> None:
            if not loop.is_closed():
                # read the state here: a loop that stalls would read it too late, and miss a push
                loop.call_soon_threadsafe(on_change, self.closed, loop.time())

        self._button.when_pressed = self._button.when_released = tell

    @property
    def closed(self) -> bool:
        """Whether the contact is closed now."""
        return bool(self._button.is_pressed)

    def close(self) -> None:
        """Release the pin, which stays an input."""
        self._button.close()


class FilamentSensor:
    """A filament sensor, which pauses the print when the filament runs out."""

    def __init__(
        self,
        config: FilamentConfig,
        client: OctoPrintClient,
        tell: Callable[[str, Mapping[str, Any]], None],
        changed: Callable[[], None],
    ) -> None:
        """Start watching the sensor.

        Args:
            config: its pin, and what it does.
            client: of the front.
            tell: sends an event.
            changed: is called when its state has changed.
        """
        self.name = config.name
        self._config, self._client, self._tell, self._changed = config, client, tell, changed
        self._loop = asyncio.get_running_loop()
        self._contact = Contact(config.pin, pull_up=config.pull_up, on_change=self._on_contact)
        present = self._means(closed=self._contact.closed)
        self._debounced = Debounced(config.debounce_s, present)
        self._runout = Runout(present)
        self._timer: asyncio.TimerHandle | None = None
        self._pausing: asyncio.Task[None] | None = None
        self._next: tuple[str, bool] | None = None  # why to pause after `_pausing`, and whether the start was missed
        self._paused: int | None = None  # number of the print that was paused for this last

    @property
    def present(self) -> bool:
        """There is filament."""
        return self._debounced.state

    def on_event(self, name: str) -> None:
        """Handle an event of a print."""
        if name == "PrintStarted" and self._runout.begin():
            self._act("there is no filament")
        elif name == "PrintResumed":
            self.compare()  # a user may have taken the filament out in a pause for something else

    def compare(self) -> None:
        """Check the sensor at the start, after a pause, or after nozzled was away: a print may run without filament."""
        if not self.present:
            self._act("there is no filament", missed_start=True)

    def close(self) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()
        if self._pausing is not None:
            self._pausing.cancel()
        self._contact.close()

    def _means(self, *, closed: bool) -> bool:
        return closed == self._config.closed_means_filament

    def _on_contact(self, closed: bool, at: float) -> None:
        self._debounced.update(self._means(closed=closed), at)
        if self._timer is not None:
            self._timer.cancel()
        if (due := self._debounced.due()) is not None:
            self._timer = self._loop.call_at(due, self._on_stable)

    def _on_stable(self) -> None:
        now = self._loop.time()
        if not self._debounced.settle(now):
            return
        log.info("power.filament", sensor=self.name, present=self.present)
        self._tell("FilamentChanged", {"sensor": self.name, "present": self.present})
        # `_act` finds out whether something is printed
        if self._runout.change(self.present, now, printing=True):
            self._act("the filament has run out")
        self._changed()

    def _act(self, why: str, *, missed_start: bool = False) -> None:
        if self._pausing is None or self._pausing.done():
            self._pausing = self._loop.create_task(self._pause(why, missed_start=missed_start))
        elif self._next is None or not missed_start:
            # the answer that is being waited for may be from before the print
            self._next = (why, missed_start)
            self._pausing.add_done_callback(self._act_again)

    def _act_again(self, pausing: "asyncio.Task[None]") -> None:
        reason, self._next = self._next, None
        if reason is not None and not self.present and not pausing.cancelled():
            self._act(reason[0], missed_start=reason[1])

    async def _pause(self, why: str, *, missed_start: bool) -> None:
        """Pause the print, and retry until that is accepted; without a running print there is nothing to do.

        Args:
            why: the reason, for users.
            missed_start: the print's start was not observed, so a user may have resumed it after an earlier pause for
                this reason.
        """
        accepted = await self._request_until_accepted(
            why, self._config.action, unless=self._paused if missed_start else None
        )
        if accepted and self._config.action == "m600" and not await self._has_stopped():
            await self._request_until_accepted(f"{why}, and the printer continued after M600", "pause")

    async def _request_until_accepted(self, why: str, action: str, unless: int | None = None) -> bool:
        """Return whether a print accepted the action; the print with the id `unless` is left alone."""
        is_sent = False  # it may have been accepted, although no answer has come
        for _ in range(MAX_TRIES):
            try:
                async with asyncio.timeout(FRONT_TIMEOUT):
                    job = await self._client.get("/api/job")
                    number, state = job.get("print", {}).get("id"), str(job["state"])
                    if not (is_sent and state.startswith("Paus")):
                        if state not in PRINTING:
                            self._runout.note_no_print()
                            return False
                        if number is not None and number == unless:
                            return False
                        action = "pause" if is_sent else action  # M600 twice would ask for two changes of filament
                        is_sent = True
                        try:
                            await self._send(action)
                        except (RequestRefused, NeverSent):
                            is_sent = False
                            raise
                    self._paused = number
            except Conflict:
                await asyncio.sleep(RETRY_INTERVAL)  # the print cannot pause at this moment
            except (ClientError, TimeoutError, TypeError, KeyError) as error:
                log.warning("power.not_paused", sensor=self.name, reason=str(error) or "nozzled did not answer")
                await asyncio.sleep(RETRY_INTERVAL)
            else:
                log.warning("power.runout", sensor=self.name, why=why, action=action)
                self._tell("FilamentRunout", {"sensor": self.name, "why": why, "action": action})
                return True
        return False

    async def _send(self, action: str) -> None:
        if action == "m600":
            await self._client.printer.send("M600")
        else:
            await self._client.post("/api/job", {"command": "pause", "action": "pause"})

    async def _has_stopped(self) -> bool:
        """Return whether the print has stopped after M600; a firmware without M600 just continues."""
        until, last_place, checks_with_progress = self._loop.time() + WATCH_S, None, 0
        while self._loop.time() < until and not self.present:
            await asyncio.sleep(RETRY_INTERVAL)
            try:
                async with asyncio.timeout(FRONT_TIMEOUT):
                    job = await self._client.get("/api/job")
                state, place = str(job["state"]), job["progress"]["filepos"]
            except (ClientError, TimeoutError, TypeError, KeyError):
                continue  # wait for nozzled
            if state not in PRINTING:
                return True
            checks_with_progress += place is None or place != last_place
            last_place = place
            if checks_with_progress > MAX_PROGRESS:
                return False
        return True


class StopButton:
    """A stop button: a contact that opens when it is pushed, or when its wire breaks."""

    def __init__(
        self, config: SensorsConfig, client: OctoPrintClient, stop: Callable[[], None], changed: Callable[[], None]
    ) -> None:
        """Start watching the button; `stop` stops the printer."""
        self._client, self._stop, self._changed = client, stop, changed
        self._after = config.stop_debounce_s
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._opened_at = 0.0
        self._comparing: asyncio.Task[None] | None = None
        self._contact = Contact(config.stop_pin, pull_up=True, on_change=self._on_contact)
        self._on_contact(self._contact.closed, self._loop.time())

    @property
    def pushed(self) -> bool:
        """It is pushed, or its wire is broken."""
        return not self._contact.closed

    def on_event(self, name: str) -> None:
        """Stop a print or connection that starts while the button is pushed."""
        if name in ("PrintStarted", "PrintResumed", "Connected") and self.pushed:
            self._stop()

    def compare(self) -> None:
        """Stop what may have started while the button was pushed and nozzled was away."""
        if self.pushed and (self._comparing is None or self._comparing.done()):
            self._comparing = self._loop.create_task(self._stop_unless_away())

    async def _stop_unless_away(self) -> None:
        with suppress(ClientError, TimeoutError, TypeError, KeyError):  # then it is away again
            async with asyncio.timeout(FRONT_TIMEOUT):
                state = str((await self._client.get("/api/job"))["state"])
            # no stop for a printer that the same push has stopped already: it would not be confirmed
            if self.pushed and not state.startswith(AWAY):
                self._stop()

    def close(self) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()
        if self._comparing is not None:
            self._comparing.cancel()
        self._contact.close()

    def _on_contact(self, closed: bool, at: float) -> None:
        if closed and self._timer is not None:
            self._timer.cancel()
            self._timer = None
            if at - self._opened_at >= self._after:  # the loop has stalled, or the timer would have run
                self._stop()
        elif not closed and self._timer is None:
            self._opened_at = at
            self._timer = self._loop.call_at(at + self._after, self._push)
        self._changed()

    def _push(self) -> None:
        self._timer = None
        if self.pushed:
            self._stop()


class Inputs:
    """All sensors and the stop button."""

    def __init__(
        self,
        config: SensorsConfig,
        client: OctoPrintClient,
        tell: Callable[[str, Mapping[str, Any]], None],
        changed: Callable[[], None],
        emergency: Emergency,
        stack: ExitStack,
    ) -> None:
        """Configure the pins.

        Args:
            config: the section [sensors].
            client: of the front.
            tell: sends an event.
            changed: is called when the state has changed.
            emergency: stops the printer.
            stack: releases the pins.

        Raises:
            DeviceError: a pin cannot be used.
        """
        self._emergency = emergency
        self._filament: list[FilamentSensor] = []
        self._button: StopButton | None = None
        for each in config.filament:
            self._filament.append(FilamentSensor(each, client, tell, changed))
            stack.callback(self._filament[-1].close)
        if config.stop_pin:
            self._button = StopButton(config, client, emergency.stop, changed)
            stack.callback(self._button.close)
            if not emergency.direct:
                log.warning(
                    "power.stop_socket_missing", consequence="the stop button reaches the core only through the front"
                )

    def on_event(self, name: str) -> None:
        """Handle an event of a print."""
        for sensor in self._filament:
            sensor.on_event(name)
        if self._button is not None:
            self._button.on_event(name)

    def compare(self) -> None:
        """Check all inputs, as events may have been missed."""
        for sensor in self._filament:
            sensor.compare()
        if self._button is not None:
            self._button.compare()

    def as_json(self) -> dict[str, Any]:
        """Return the state for pages."""
        state: dict[str, Any] = {"filament": [{"name": each.name, "present": each.present} for each in self._filament]}
        if self._button is not None:
            stopping = self._emergency.now
            confirmed = stopping.confirmed if stopping is not None else None
            state["stop"] = {
                "pushed": self._button.pushed, "confirmed": confirmed, "direct": self._emergency.direct,
            }  # fmt: skip
        return state
