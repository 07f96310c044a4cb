"""The host's own wait for a temperature, in place of the firmware's M109, so that pause and cancel work meanwhile.

The wait ends at the target that the firmware reports, because the firmware lowers targets to its own maximum and may
report whole degrees. If the firmware does not report a heater, only the firmware itself can wait for it. Every wait
ends; if it ends because the temperature does not come nearer to the target, the user gets a message.
"""

import asyncio
from collections.abc import Callable

from daemon.errors import NoHeat
from gcode.dialect import recognise
from gcode.errors import NozzledError, PrinterSilent
from gcode.frozen import frozen
from gcode.heating import Approach, Residency, reading_name
from gcode.replies import Reading
from hal.printer import Event, Printer, TemperaturesRead

MAX_MISSING = 2
"""After this many reports without a heater, the firmware does not report it."""

SETTLING_S = 10.0
"""Seconds after which an acknowledged command has been executed; until then reports may show the old target."""

ROUNDING = 1.0
"""°C by which a reported target may differ from the one that was set, because it may be rounded."""

MIN_COOLING = (1.5, 60.0)
"""°C and seconds: a heater that cools more slowly is at room temperature (Marlin's MIN_COOLING_SLOPE_DEG and _TIME)."""

MIN_WARMING = (1.0, 900.0)
"""°C and seconds: a heater that warms more slowly will not get warmer. A chamber heated by the bed gains 1 °C in
minutes."""

NEAR_TARGET = 10.0
"""°C below the target from which the print starts even if the heater does not get warmer."""


@frozen
class Goal:
    """The target of a wait.

    Attributes:
        heater: `bed`, `chamber`, `tool0`, …, or `tool` for the active one.
        target: °C, sent and acknowledged.
        waits_for_cooling: wait for a heater that is too hot, too.
    """

    heater: str
    target: float
    waits_for_cooling: bool = False


async def wait_for_heat(printer: Printer, goal: Goal, silence: float, warn: Callable[[str], None]) -> bool:
    """Wait until the heater has settled at its target; False: this firmware does not report the heater.

    As in Marlin, the wait follows a target that is changed meanwhile, and ends if the heater is turned off.

    Args:
        printer: the printer with the heater.
        goal: the heater and its target.
        silence: seconds without a reading of this heater after which the wait fails.
        warn: called with a warning for the user, in a sentence.

    Raises:
        PrinterSilent: no reading came for `silence` seconds.
        NoHeat: the heater is off, or gets no warmer far below its target.
    """
    if not goal.target and not goal.waits_for_cooling:
        return True  # the heater is turned off, and the file does not wait for it to cool
    wait = _Wait(printer, goal, warn)
    unsubscribe = printer.subscribe(wait.on_event)
    try:
        while not wait.end.is_set():
            wait.has_reading = False
            try:
                async with asyncio.timeout(silence):
                    await wait.end.wait()
            except TimeoutError:
                if wait.has_reading:
                    continue
                if wait.name not in printer.heaters:
                    return False
                raise PrinterSilent(
                    f"no temperature of {wait.name} was reported for {silence:g} s, so the wait for it cannot end"
                ) from None
    finally:
        unsubscribe()
    if wait.trouble is not None:
        raise wait.trouble
    return not wait.is_unreported


class _Wait:
    """Follows the reports of one heater.

    Attributes:
        end: set when the wait has ended.
        has_reading: there has been a reading since this was last cleared.
        is_unreported: the wait has ended because the firmware does not report the heater.
        trouble: the error that has ended the wait.
    """

    def __init__(self, printer: Printer, goal: Goal, warn: Callable[[str], None]) -> None:
        self.end = asyncio.Event()
        self.has_reading = False
        self.is_unreported = False
        self.trouble: NozzledError | None = None
        self._printer = printer
        self._goal = goal
        self._warn = warn
        self._dialect = recognise(printer.identity.name)
        self._missing_reports = 0  # reports without this heater
        self._is_confirmed = False  # a report has shown our target; the first reports may still show the old one
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._aim_at(goal.target)

    @property
    def _tool(self) -> int | None:
        """The number of the tool whose hotend is waited for; None: the heater is not a hotend."""
        heater = self._goal.heater
        if heater == "tool":
            return self._printer.modes.tool or 0
        return int(heater.removeprefix("tool")) if heater.startswith("tool") else None

    @property
    def name(self) -> str:
        """The name of the heater in reports."""
        tool = self._tool
        return self._goal.heater if tool is None else reading_name(tool, self._printer.heaters)

    def _aim_at(self, target: float) -> None:
        cool = self._goal.waits_for_cooling or self._dialect.heat.s_waits_for_cooling
        self._residency = Residency(target, cool, self._dialect.heat.residency)
        self._cooling = Approach(*(self._dialect.heat.cooling_stall or MIN_COOLING))
        self._warming = Approach(*MIN_WARMING)

    def on_event(self, event: Event) -> None:
        if not isinstance(event, TemperaturesRead) or self.end.is_set():
            return
        if (reading := event.heaters.get(self.name)) is None:
            self._missing_reports += 1
            self.is_unreported = self._missing_reports >= MAX_MISSING
            if self.is_unreported:
                self.end.set()
            return
        if event.names and self.name not in event.names:
            return  # an older reading proves nothing: the firmware may have lost the sensor
        self.has_reading = True
        if self._take_reading(reading):
            self.end.set()

    def _take_reading(self, reading: Reading) -> bool:
        now, target = self._loop.time(), reading.target
        if target is not None and target != self._residency.target:
            if (
                not self._is_confirmed
                and abs(target - self._goal.target) > ROUNDING
                and not self._check_refusal(target, now)
            ):
                return False  # a report from before the command
            if self.is_unreported or self.trouble is not None or (self._is_confirmed and target == 0):
                return True  # refused, or turned off since
            self._aim_at(target)
        self._is_confirmed = True
        return self._residency.is_reached(reading.actual, now) or self._check_stall(reading.actual, now)

    def _check_refusal(self, target: float, now: float) -> bool:
        """Set `is_unreported` or `trouble`, or warn, if the firmware keeps another target; tell whether it does."""
        if now - self._began < SETTLING_S:
            return False
        if (
            self._tool is not None
            and f"tool{self._tool}" != self.name
            and self._tool != (self._printer.modes.tool or 0)
        ):
            self.is_unreported = True  # the report is about the active tool, and the wait is for another one
        elif target == 0:
            self.trouble = NoHeat(
                f"the firmware keeps {self.name} off: the target of {self._goal.target:g} °C may be above its limit"
            )
        else:
            targets = f"{target:g} °C instead of {self._goal.target:g} °C"
            self._warn(f"the firmware heats {self.name} to {targets}: its limit may be lower")
        return True

    def _check_stall(self, actual: float, now: float) -> bool:
        """Set `trouble` or warn if the temperature no longer approaches the target; tell whether that is so."""
        target = self._residency.target
        if actual > target:
            if not self._residency.waits_for_cooling or not self._cooling.has_stalled(actual - target, now):
                return False
            self._warn(f"{self.name} does not get colder than {actual:.1f} °C; no longer waiting for {target:g} °C")
            return True
        missing = target - actual
        if not self._warming.has_stalled(missing, now):
            return False
        if missing > NEAR_TARGET:
            self.trouble = NoHeat(f"{self.name} does not get warmer than {actual:.1f} °C; its target is {target:g} °C")
        else:
            self._warn(f"{self.name} does not get warmer than {actual:.1f} °C; no longer waiting for {target:g} °C")
        return True
