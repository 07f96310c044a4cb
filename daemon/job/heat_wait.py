"""The host's own wait for a temperature, in place of the firmware's M109: pause and cancel work meanwhile."""

import asyncio

from gcode.errors import PrinterSilent
from gcode.heating import Residency
from gcode.replies import Reading
from hal.printer import Event, Printer, TemperaturesRead


async def wait_for_heat(printer: Printer, heater: str, target: float, *, cool: bool, silence: float) -> None:
    """Wait until the heater has settled at its target, which must have been sent and acknowledged.

    A target that somebody changes meanwhile is the new goal, and one turned off ends the wait: as in Marlin.

    Args:
        printer: where the heater is.
        heater: `bed`, `chamber`, `tool0`, …, or `tool` for the active one.
        target: °C.
        cool: wait for cooling too.
        silence: seconds without a reading of this heater that are too many.

    Raises:
        PrinterSilent: no reading came for so long.
    """
    name = f"tool{printer.modes.tool or 0}" if heater == "tool" else heater
    wait = _Wait(name, Residency(target, cool))
    unsubscribe = printer.subscribe(wait.on_event)
    try:
        while not wait.over.is_set():
            wait.heard = False
            try:
                async with asyncio.timeout(silence):
                    await wait.over.wait()
            except TimeoutError:
                if not wait.heard:
                    raise PrinterSilent(
                        f"no temperature of {name} was reported for {silence:g} s, so a wait for it cannot end"
                    ) from None
    finally:
        unsubscribe()


class _Wait:
    """Follows the reports of one heater."""

    def __init__(self, name: str, residency: Residency) -> None:
        self.over = asyncio.Event()
        self.heard = False
        self._name = name
        self._residency = residency
        self._confirmed = False  # a report has shown our target: one that was under way before may not have
        self._loop = asyncio.get_running_loop()

    def on_event(self, event: Event) -> None:
        if isinstance(event, TemperaturesRead) and (reading := event.heaters.get(self._name)):
            self.heard = True
            if self._over(reading):
                self.over.set()

    def _over(self, reading: Reading) -> bool:
        target = reading.target
        if target is not None and target != self._residency.target:
            if not self._confirmed:
                return False
            if target == 0:
                return True
            self._residency = Residency(target, self._residency.cool)
        self._confirmed = True
        return self._residency.reached(reading.actual, self._loop.time())
