"""Sensors: filament sensors and the stop button at this computer's GPIO, by gpiozero. Inputs only.

gpiozero tells of a contact from a thread of its own; all that is done there is to tell the loop.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import structlog

from daemon.client import ClientError, Conflict, OctoPrintClient
from daemon.companions.power.config import FilamentConfig, SensorsConfig
from daemon.companions.power.emergency import Emergency
from daemon.companions.power.errors import DeviceError
from daemon.companions.power.sensing import Debounced, Runout

PATIENCE = 5.0  # s that the front may take
AGAIN = 1.0  # s until a pause that it did not take is tried again
TRIES = 600
GOING = ("Starting", "Printing", "Printing from SD", "Resuming")
GOES_ON = 6  # looks at which a print has come further after M600: what the printer had before is taken by then
WATCHED = 600.0  # s that this is looked at; a G29 before it may take minutes

log = structlog.get_logger()


class Contact:
    """An input with a contact to ground, or to 3.3 V."""

    def __init__(self, pin: str, *, pull_up: bool, on_change: Callable[[bool], None]) -> None:
        """Take the pin as an input; `on_change` is called on the loop with whether it is closed.

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
            raise DeviceError(f"[sensors] {pin} cannot be an input: {error}") from error

        def tell() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(lambda: on_change(self.closed))

        self._button.when_pressed = self._button.when_released = tell

    @property
    def closed(self) -> bool:
        """Whether the contact is closed now."""
        return bool(self._button.is_pressed)

    def close(self) -> None:
        """Let go of the pin, which stays an input."""
        self._button.close()


class FilamentSensor:
    """One sensor, and what is done when the filament ends."""

    def __init__(
        self,
        config: FilamentConfig,
        client: OctoPrintClient,
        tell: Callable[[str, Mapping[str, Any]], None],
        changed: Callable[[], None],
    ) -> None:
        """Begin to look at it.

        Args:
            config: where it is, and what it does.
            client: the front.
            tell: tells of an event.
            changed: is called when there is something else to tell.
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
        self._paused: int | None = None  # number of the print that was paused for this last

    @property
    def present(self) -> bool:
        """There is filament."""
        return self._debounced.state

    def on_event(self, name: str) -> None:
        """Take what happens to prints."""
        if name == "PrintStarted" and self._runout.begin():
            self._act("there is no filament")

    def compare(self) -> None:
        """Look at it anew: the process begins, or nozzled was away, and a print may go on without filament."""
        if not self.present:
            self._act("there is no filament", unheard=True)

    def close(self) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()
        if self._pausing is not None:
            self._pausing.cancel()
        self._contact.close()

    def _means(self, *, closed: bool) -> bool:
        return closed == self._config.closed_means_filament

    def _on_contact(self, closed: bool) -> None:
        self._debounced.say(self._means(closed=closed), self._loop.time())
        if self._timer is not None:
            self._timer.cancel()
        if (due := self._debounced.due()) is not None:
            self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        if not self._debounced.look(now):
            return
        log.info("power.filament", sensor=self.name, present=self.present)
        self._tell("FilamentChanged", {"sensor": self.name, "present": self.present})
        # whether something is printed is found out as it is acted upon
        if self._runout.change(self.present, now, printing=True):
            self._act("the filament has run out")
        self._changed()

    def _act(self, why: str, *, unheard: bool = False) -> None:
        if self._pausing is None or self._pausing.done():
            self._pausing = self._loop.create_task(self._pause(why, unheard=unheard))

    async def _pause(self, why: str, *, unheard: bool) -> None:
        """Have the print pause, until that is taken; one that does not go on has nothing to be paused.

        Args:
            why: for people.
            unheard: nobody has told that it began: it may be one that was paused for this, and resumed by somebody.
        """
        taken = await self._until_taken(why, self._config.action, unless=self._paused if unheard else None)
        if taken and self._config.action == "m600" and not await self._stands():
            await self._until_taken(f"{why}, and the printer goes on after M600", "pause")

    async def _until_taken(self, why: str, action: str, unless: int | None = None) -> bool:
        """Tell whether there was a print, which now knows; not the one with the number `unless`."""
        for _ in range(TRIES):
            try:
                async with asyncio.timeout(PATIENCE):
                    job = await self._client.get("/api/job")
                    number = job.get("print", {}).get("id")
                    if str(job["state"]) not in GOING:
                        self._runout.nothing()
                        return False
                    if number is not None and number == unless:
                        return False
                    await self._send(action)
                    self._paused = number
            except Conflict:
                await asyncio.sleep(AGAIN)  # it does not fit this moment; the next look tells whether it will
            except (ClientError, TimeoutError, TypeError, KeyError) as error:
                log.warning("power.not_paused", sensor=self.name, reason=str(error) or "nozzled did not answer")
                await asyncio.sleep(AGAIN)
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

    async def _stands(self) -> bool:
        """Tell whether the print stands still for M600: a firmware that does not know it says so to nobody here."""
        until, at, further = self._loop.time() + WATCHED, None, 0
        while self._loop.time() < until and not self.present:
            await asyncio.sleep(AGAIN)
            try:
                async with asyncio.timeout(PATIENCE):
                    job = await self._client.get("/api/job")
                state, place = str(job["state"]), job["progress"]["filepos"]
            except (ClientError, TimeoutError, TypeError, KeyError):
                continue  # nozzled is waited for
            if state not in GOING:
                return True
            further += place is None or place != at
            at = place
            if further > GOES_ON:
                return False
        return True


class StopButton:
    """A contact that is closed until somebody pushes the button, or its wire breaks."""

    def __init__(self, config: SensorsConfig, stop: Callable[[], None], changed: Callable[[], None]) -> None:
        """Begin to look at it; `stop` stops the printer."""
        self._stop, self._changed = stop, changed
        self._after = config.stop_debounce_s
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._contact = Contact(config.stop_pin, pull_up=True, on_change=self._on_contact)
        self._on_contact(self._contact.closed)

    @property
    def pushed(self) -> bool:
        """It is pushed, or its wire is broken."""
        return not self._contact.closed

    def on_event(self, name: str) -> None:
        """Stop whatever is begun while it is pushed."""
        if name in ("PrintStarted", "PrintResumed", "Connected") and self.pushed:
            self._stop()

    def close(self) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()
        self._contact.close()

    def _on_contact(self, closed: bool) -> None:
        if closed:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        elif self._timer is None:
            self._timer = self._loop.call_later(self._after, self._push)
        self._changed()

    def _push(self) -> None:
        self._timer = None
        if self.pushed:
            self._stop()


class Inputs:
    """All of them."""

    def __init__(
        self,
        config: SensorsConfig,
        client: OctoPrintClient,
        tell: Callable[[str, Mapping[str, Any]], None],
        changed: Callable[[], None],
        emergency: Emergency,
        stack: ExitStack,
    ) -> None:
        """Take the pins.

        Args:
            config: [sensors].
            client: the front.
            tell: tells of an event.
            changed: is called when there is something else to tell.
            emergency: stops the printer.
            stack: lets go of the pins.

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
            self._button = StopButton(config, emergency.stop, changed)
            stack.callback(self._button.close)
            if not emergency.direct:
                log.warning("power.stop_socket_missing", consequence="the stop button goes through the front alone")

    def on_event(self, name: str) -> None:
        """Take what happens to prints."""
        for sensor in self._filament:
            sensor.on_event(name)
        if self._button is not None:
            self._button.on_event(name)

    def compare(self) -> None:
        """Compare what sensors say with what is printed: what has happened before was not heard."""
        for sensor in self._filament:
            sensor.compare()

    def as_json(self) -> dict[str, Any]:
        """Return what pages are told."""
        state: dict[str, Any] = {"filament": [{"name": each.name, "present": each.present} for each in self._filament]}
        if self._button is not None:
            stopping = self._emergency.now
            confirmed = stopping.confirmed if stopping is not None else None
            state["stop"] = {
                "pushed": self._button.pushed, "confirmed": confirmed, "direct": self._emergency.direct,
            }  # fmt: skip
        return state
