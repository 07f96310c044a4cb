"""The host's own wait for a temperature, in place of the firmware's M109, so that pause and cancel work meanwhile.

The target that the firmware reports counts: the firmware lowers targets to its own maximum, and may report whole
degrees. For a heater that it does not report, the firmware itself has to wait. Every wait ends, and if it ends for
another reason than the temperature, the user is told.
"""

import asyncio
from collections.abc import Callable

from daemon.errors import NoHeat
from gcode.dialect import recognise
from gcode.errors import NozzledError, PrinterSilent
from gcode.frozen import frozen
from gcode.heating import Nearing, Residency, reading_of
from gcode.replies import Reading
from hal.printer import Event, Printer, TemperaturesRead

UNSEEN = 2
"""So many reports without a heater show that the firmware does not report it."""

SETTLED = 10.0
"""Seconds after which an acknowledged command is executed; until then reports may show the old target."""

ROUNDED = 1.0
"""°C by which a reported target may differ from the one that was set, as it may be rounded."""

COOLS = (1.5, 60.0)
"""A heater that cools by less than so many °C in so many seconds is at room temperature (Marlin's values)."""

WARMS = (1.0, 900.0)
"""A heater that warms by less than that gets no warmer: a chamber heated by the bed gains 1 °C in some minutes."""

NEAR = 10.0
"""°C below the target at which the print goes on although the heater gets no warmer."""


@frozen
class Goal:
    """The target of a wait.

    Attributes:
        heater: `bed`, `chamber`, `tool0`, …, or `tool` for the active one.
        target: °C, sent and acknowledged.
        cool: wait for cooling too.
    """

    heater: str
    target: float
    cool: bool = False


async def wait_for_heat(printer: Printer, goal: Goal, silence: float, tell: Callable[[str], None]) -> bool:
    """Wait until the heater has settled at its target; False: this firmware does not report the heater.

    As in Marlin, a target that is changed meanwhile becomes the goal, and turning the heater off ends the wait.

    Args:
        printer: where the heater is.
        goal: the heater and its target.
        silence: seconds without a reading of this heater after which the wait fails.
        tell: called with a warning for the user, in a sentence.

    Raises:
        PrinterSilent: no reading came for `silence` seconds.
        NoHeat: the heater is off, or gets no warmer far below its target.
    """
    if not goal.target and not goal.cool:
        return True  # the heater is turned off, and the file does not wait for it to cool
    wait = _Wait(printer, goal, tell)
    unsubscribe = printer.subscribe(wait.on_event)
    try:
        while not wait.over.is_set():
            wait.heard = False
            try:
                async with asyncio.timeout(silence):
                    await wait.over.wait()
            except TimeoutError:
                if wait.heard:
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
    return not wait.unseen


class _Wait:
    """Follows the reports of one heater."""

    def __init__(self, printer: Printer, goal: Goal, tell: Callable[[str], None]) -> None:
        self.over = asyncio.Event()
        self.heard = False
        self.unseen = False
        self.trouble: NozzledError | None = None
        self._printer = printer
        self._goal = goal
        self._tell = tell
        self._dialect = recognise(printer.identity.name)
        self._without = 0  # reports without this heater
        self._confirmed = False  # a report has shown our target; the first ones may still show the old one
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._aim_at(goal.target)

    @property
    def _tool(self) -> int | None:
        """The tool that is waited for, if it is one."""
        heater = self._goal.heater
        if heater == "tool":
            return self._printer.modes.tool or 0
        return int(heater.removeprefix("tool")) if heater.startswith("tool") else None

    @property
    def name(self) -> str:
        """The heater, as reports name it."""
        tool = self._tool
        return self._goal.heater if tool is None else reading_of(tool, self._printer.heaters)

    def _aim_at(self, target: float) -> None:
        cool = self._goal.cool or self._dialect.heat.by_s_cools
        self._residency = Residency(target, cool, self._dialect.heat.residency)
        self._cooling = Nearing(*(self._dialect.heat.cooling_gives_up or COOLS))
        self._warming = Nearing(*WARMS)

    def on_event(self, event: Event) -> None:
        if not isinstance(event, TemperaturesRead) or self.over.is_set():
            return
        if (reading := event.heaters.get(self.name)) is None:
            self._without += 1
            self.unseen = self._without >= UNSEEN
            if self.unseen:
                self.over.set()
            return
        if event.names and self.name not in event.names:
            return  # an older reading proves nothing: the firmware may have lost the sensor
        self.heard = True
        if self._over(reading):
            self.over.set()

    def _over(self, reading: Reading) -> bool:
        now, target = self._loop.time(), reading.target
        if target is not None and target != self._residency.target:
            if not self._confirmed and abs(target - self._goal.target) > ROUNDED and not self._refused(target, now):
                return False
            if self.unseen or self.trouble is not None or (self._confirmed and target == 0):
                return True
            self._aim_at(target)
        self._confirmed = True
        return self._residency.reached(reading.actual, now) or self._given_up(reading.actual, now)

    def _refused(self, target: float, now: float) -> bool:
        """Tell whether the firmware keeps another target; set what follows: `trouble`, `unseen`, or a warning."""
        if now - self._began < SETTLED:
            return False
        asked = f"{self._goal.target:g} °C were asked for"
        if (
            self._tool is not None
            and f"tool{self._tool}" != self.name
            and self._tool != (self._printer.modes.tool or 0)
        ):
            self.unseen = True  # the report is about the tool in use, and the wait is for another one
        elif target == 0:
            self.trouble = NoHeat(f"the firmware keeps {self.name} off, though {asked}: that may be above its limit")
        else:
            self._tell(f"the firmware aims at {target:g} °C for {self.name}, though {asked}: its limit is lower")
        return True

    def _given_up(self, actual: float, now: float) -> bool:
        """Tell whether waiting longer is useless."""
        target = self._residency.target
        if actual > target:
            if not self._residency.cool or not self._cooling.stalled(actual - target, now):
                return False
            self._tell(f"{self.name} does not get colder than {actual:.1f} °C: the wait for {target:g} °C is given up")
            return True
        missing = target - actual
        if not self._warming.stalled(missing, now):
            return False
        if missing > NEAR:
            self.trouble = NoHeat(f"{self.name} does not get warmer than {actual:.1f} °C; {target:g} °C are wanted")
        else:
            self._tell(f"{self.name} does not get warmer than {actual:.1f} °C: the wait for {target:g} °C is given up")
        return True
