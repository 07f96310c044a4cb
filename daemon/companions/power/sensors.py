"""Filament sensors and the stop button at this computer's GPIO, by gpiozero. Inputs only.

gpiozero calls back from its own thread, which only notifies the loop.
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
from daemon.companions.power.sensing import DebouncedContact, Runout

FRONT_TIMEOUT = 5.0
RETRY_INTERVAL = 1.0  # after the front refused a pause
MAX_TRIES = 600
PRINTING_STATES = ("Starting", "Printing", "Printing from SD", "Resuming")
STOPPED_STATES = ("Offline", "Error")  # states of a printer that is not connected, or has halted
MAX_PROGRESS = 6  # checks after M600 that may find progress: the printer may still execute earlier commands
WATCH_S = 600.0  # for which the effect of M600 is awaited; a G29 before it may take minutes

log = structlog.get_logger()


class Contact:
    """A contact between an input and ground, or 3.3 V."""

    def __init__(self, pin: str, *, pull_up: bool, on_change: Callable[[bool, float], None]) -> None:
        """Configure the pin as an input.

        Args:
            pin: its name, like GPIO17.
            pull_up: the contact connects the pin to ground.
            on_change: called on the loop with the new state (True: closed), and the time at which it began.

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
                loop.call_soon_threadsafe(on_change, self.is_closed, loop.time())

        self._button.when_pressed = self._button.when_released = tell

    @property
    def is_closed(self) -> bool:
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
        send_event: Callable[[str, Mapping[str, Any]], None],
        on_change: Callable[[], None],
    ) -> None:
        """Start watching the sensor.

        Args:
            config: its pin, and what it does.
            client: of the front.
            send_event: sends an event.
            on_change: called when its state has changed.
        """
        self.name = config.name
        self._config, self._client, self._send_event, self._on_change = config, client, send_event, on_change
        self._loop = asyncio.get_running_loop()
        self._contact = Contact(config.pin, pull_up=config.pull_up, on_change=self._on_contact)
        present = self._is_filament(closed=self._contact.is_closed)
        self._debounced_contact = DebouncedContact(config.debounce_s, present)
        self._runout = Runout(present)
        self._timer: asyncio.TimerHandle | None = None
        self._pause_task: asyncio.Task[None] | None = None
        # the pause to request after `_pause_task`: its reason, and whether the start of the print was missed
        self._next_pause: tuple[str, bool] | None = None
        self._paused_print: int | None = None  # number of the last print that was paused for lack of filament

    @property
    def has_filament(self) -> bool:
        """Whether there is filament."""
        return self._debounced_contact.state

    def on_event(self, name: str) -> None:
        """Handle an event of a print."""
        if name == "PrintStarted" and self._runout.begin():
            self._pause_soon("there is no filament")
        elif name == "PrintResumed":
            self.catch_up()  # a user may have taken the filament out in a pause for something else

    def catch_up(self) -> None:
        """Check the sensor after a start, a pause, or a time without nozzled: a print may run without filament."""
        if not self.has_filament:
            self._pause_soon("there is no filament", missed_start=True)

    def close(self) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()
        if self._pause_task is not None:
            self._pause_task.cancel()
        self._contact.close()

    def _is_filament(self, *, closed: bool) -> bool:
        return closed == self._config.closed_means_filament

    def _on_contact(self, closed: bool, at: float) -> None:
        self._debounced_contact.update(self._is_filament(closed=closed), at)
        if self._timer is not None:
            self._timer.cancel()
        if (due := self._debounced_contact.due()) is not None:
            self._timer = self._loop.call_at(due, self._on_stable)

    def _on_stable(self) -> None:
        now = self._loop.time()
        if not self._debounced_contact.settle(now):
            return
        log.info("power.filament", sensor=self.name, present=self.has_filament)
        self._send_event("FilamentChanged", {"sensor": self.name, "present": self.has_filament})
        # `_pause_soon` finds out whether something is printed
        if self._runout.change(self.has_filament, now, printing=True):
            self._pause_soon("the filament has run out")
        self._on_change()

    def _pause_soon(self, why: str, *, missed_start: bool = False) -> None:
        if self._pause_task is None or self._pause_task.done():
            self._pause_task = self._loop.create_task(self._pause(why, missed_start=missed_start))
        elif self._next_pause is None or not missed_start:
            # the answer that is being waited for may be from before the print
            self._next_pause = (why, missed_start)
            self._pause_task.add_done_callback(self._pause_again)

    def _pause_again(self, pausing: "asyncio.Task[None]") -> None:
        reason, self._next_pause = self._next_pause, None
        if reason is not None and not self.has_filament and not pausing.cancelled():
            self._pause_soon(reason[0], missed_start=reason[1])

    async def _pause(self, why: str, *, missed_start: bool) -> None:
        """Pause the print, and retry until the pause is accepted. Without a running print, do nothing.

        Args:
            why: the reason, for users.
            missed_start: the print's start was not observed, so it may have been paused for this reason before, and
                resumed by a user.
        """
        accepted = await self._request_until_accepted(
            why, self._config.action, unless=self._paused_print if missed_start else None
        )
        if accepted and self._config.action == "m600" and not await self._has_stopped():
            await self._request_until_accepted(f"{why}, and the printer continued after M600", "pause")

    async def _request_until_accepted(self, why: str, action: str, unless: int | None = None) -> bool:
        """Return whether a print accepted the action; the print with the id `unless` is left alone."""
        is_sent = False  # True: it may have been accepted, although no answer has come
        for _ in range(MAX_TRIES):
            try:
                async with asyncio.timeout(FRONT_TIMEOUT):
                    job = await self._client.get("/api/job")
                    number, state = job.get("print", {}).get("id"), str(job["state"])
                    if not (is_sent and state.startswith("Paus")):
                        if state not in PRINTING_STATES:
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
                    self._paused_print = number
            except Conflict:
                await asyncio.sleep(RETRY_INTERVAL)  # the print cannot pause at this moment
            except (ClientError, TimeoutError, TypeError, KeyError) as error:
                log.warning("power.not_paused", sensor=self.name, reason=str(error) or "nozzled did not answer")
                await asyncio.sleep(RETRY_INTERVAL)
            else:
                log.warning("power.runout", sensor=self.name, why=why, action=action)
                self._send_event("FilamentRunout", {"sensor": self.name, "why": why, "action": action})
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
        while self._loop.time() < until and not self.has_filament:
            await asyncio.sleep(RETRY_INTERVAL)
            try:
                async with asyncio.timeout(FRONT_TIMEOUT):
                    job = await self._client.get("/api/job")
                state, place = str(job["state"]), job["progress"]["filepos"]
            except (ClientError, TimeoutError, TypeError, KeyError):
                continue  # wait for nozzled
            if state not in PRINTING_STATES:
                return True
            checks_with_progress += place is None or place != last_place
            last_place = place
            if checks_with_progress > MAX_PROGRESS:
                return False
        return True


class StopButton:
    """A stop button: a contact that opens when it is pushed, or when its wire breaks."""

    def __init__(
        self, config: SensorsConfig, client: OctoPrintClient, stop: Callable[[], None], on_change: Callable[[], None]
    ) -> None:
        """Start watching the button; `stop` stops the printer."""
        self._client, self._stop, self._on_change = client, stop, on_change
        self._after = config.stop_debounce_s
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._opened_at = 0.0
        self._check_task: asyncio.Task[None] | None = None
        self._contact = Contact(config.stop_pin, pull_up=True, on_change=self._on_contact)
        self._on_contact(self._contact.is_closed, self._loop.time())

    @property
    def is_pushed(self) -> bool:
        """Whether it is pushed, or its wire is broken."""
        return not self._contact.is_closed

    def on_event(self, name: str) -> None:
        """Stop the printer if a print or a connection begins while the button is pushed."""
        if name in ("PrintStarted", "PrintResumed", "Connected") and self.is_pushed:
            self._stop()

    def catch_up(self) -> None:
        """Stop a print that may have started while the button was pushed and nozzled was away."""
        if self.is_pushed and (self._check_task is None or self._check_task.done()):
            self._check_task = self._loop.create_task(self._stop_unless_away())

    async def _stop_unless_away(self) -> None:
        with suppress(ClientError, TimeoutError, TypeError, KeyError):  # then it is away again
            async with asyncio.timeout(FRONT_TIMEOUT):
                state = str((await self._client.get("/api/job"))["state"])
            # a printer that the same push has stopped already would not confirm another stop
            if self.is_pushed and not state.startswith(STOPPED_STATES):
                self._stop()

    def close(self) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()
        if self._check_task is not None:
            self._check_task.cancel()
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
        self._on_change()

    def _push(self) -> None:
        self._timer = None
        if self.is_pushed:
            self._stop()


class Inputs:
    """All sensors and the stop button."""

    def __init__(
        self,
        config: SensorsConfig,
        client: OctoPrintClient,
        send_event: Callable[[str, Mapping[str, Any]], None],
        on_change: Callable[[], None],
        emergency: Emergency,
        stack: ExitStack,
    ) -> None:
        """Configure the pins.

        Args:
            config: the section [sensors].
            client: of the front.
            send_event: sends an event.
            on_change: called when the state has changed.
            emergency: stops the printer.
            stack: releases the pins.

        Raises:
            DeviceError: a pin cannot be used.
        """
        self._emergency = emergency
        self._filament: list[FilamentSensor] = []
        self._button: StopButton | None = None
        for each in config.filament:
            self._filament.append(FilamentSensor(each, client, send_event, on_change))
            stack.callback(self._filament[-1].close)
        if config.stop_pin:
            self._button = StopButton(config, client, emergency.stop, on_change)
            stack.callback(self._button.close)
            if not emergency.is_direct:
                log.warning(
                    "power.stop_socket_missing", consequence="the stop button reaches the core only through the front"
                )

    def on_event(self, name: str) -> None:
        """Handle an event of a print."""
        for sensor in self._filament:
            sensor.on_event(name)
        if self._button is not None:
            self._button.on_event(name)

    def catch_up(self) -> None:
        """Check all inputs, as events may have been missed."""
        for sensor in self._filament:
            sensor.catch_up()
        if self._button is not None:
            self._button.catch_up()

    def as_json(self) -> dict[str, Any]:
        """Return the state for pages."""
        state: dict[str, Any] = {
            "filament": [{"name": each.name, "present": each.has_filament} for each in self._filament]
        }
        if self._button is not None:
            stopping = self._emergency.current_stop
            confirmed = stopping.is_confirmed if stopping is not None else None
            state["stop"] = {
                "pushed": self._button.is_pushed, "confirmed": confirmed, "direct": self._emergency.is_direct,
            }  # fmt: skip
        return state
