"""The rules that a heater must not break, and how the heaters are turned off.

When a rule is broken that the reports, their absence or `guard` detect, the job fails, every heater is turned off, and
the user is notified (`guard`). Too hot a target is refused, and fails a job only if its own file has it; after a reply
stall the job may be reattached. Turning the heaters off never waits for a lock, a disk or a queue.

The protections of a firmware are quicker and stricter; these rules are for a firmware that has none, or whose
protections are turned off. A false alarm costs a print, so each rule leaves room for every healthy printer.

Rule             | broken when                                                                 | detected by
not rising       | far below its target, and no warmer than it was                             | the reports
drifting         | away from a target that it had reached, or hotter again on its way down     | the reports
above maximum    | hotter than the profile allows by more than a healthy overshoot             | the reports
no report        | a heater is on, and no temperature is reported                              | their absence
too hot a target | a file or a client asks for more than the profile allows: never sent        | `gcode.too_hot.excess`
reply stall      | the printer has stopped answering: `gcode.errors.PrinterSilent`             | the link
left on          | a heater is on, and there has been no job and no command for a long time    | `guard`
"""

import asyncio
import math

from daemon.config import ProfileConfig
from gcode.errors import NozzledError
from gcode.frozen import frozen
from gcode.heating import HYSTERESIS, heaters_off
from gcode.replies import Heaters, Reading
from hal.printer import Printer, PrinterStatus

HEATERS_OFF_TIMEOUT = 3.0
"""Seconds in which a printer has to acknowledge heaters off; after that it gets an emergency stop."""

STOP_S = 0.5
"""Seconds that an emergency stop needs before the connection may be closed: M112 is sent three times."""

OVERSHOOT = 15.0
"""°C by which a healthy heater may exceed the highest target for a moment (Marlin's HOTEND_OVERSHOOT)."""

CONFIRMATION_S = 3.0
"""Seconds for which readings have to stay above the maximum: reports have no checksum, so a digit may be damaged."""

MAX_WITHOUT_REPORT_S = 60.0
"""Maximum number of seconds without a report from a firmware that reports unasked, whatever it is doing."""

MAX_WITHOUT_REPORT_ASKED_S = 900.0
"""The same for a firmware that is busy or has to be asked: it does not answer while it homes, probes or dwells."""


@frozen
class HeaterBounds:
    """What is normal for one kind of heater: °C and s.

    Attributes:
        far: how far below its target a heater has to be for the rule "not rising"; nearer to it, healthy heaters are
            slow too.
        rise: by how much it has to rise within `rise_within` seconds.
        drift: how far it may be from a target that it has reached; the part fan first cools it by some 10 °C.
        drift_within: for how long it may be farther away.
    """

    far: float
    rise: float
    rise_within: float
    drift: float
    drift_within: float


HOTEND = HeaterBounds(far=10.0, rise=2.0, rise_within=60.0, drift=20.0, drift_within=30.0)
"""Even a weak hotend heats by 0.3 °C/s, nine times as fast as this rule asks. Marlin's limits are 2 °C in 20 s, and
4 °C away for 40 s."""

BED = HeaterBounds(far=10.0, rise=1.0, rise_within=180.0, drift=12.0, drift_within=120.0)
"""A big bed heats by 1 °C in 30 s, and near its target a third as fast. Marlin's limits are 2 °C in 60 s, and 2 °C away
for 20 s."""

CHAMBER = HeaterBounds(far=10.0, rise=1.0, rise_within=900.0, drift=20.0, drift_within=900.0)
"""A chamber heated only by the bed gains 1 °C in some minutes, and its door may be left open."""


class HeaterWatch:
    """The rules for the readings of one heater. Times are the loop's, in s, and never go back."""

    def __init__(self, name: str, profile: ProfileConfig) -> None:
        """Begin to watch, without earlier readings.

        Args:
            name: `tool0`, `bed` or `chamber`.
            profile: has the maximum temperatures.
        """
        self._name = name
        self._bounds = {"bed": BED, "chamber": CHAMBER}.get(name, HOTEND)
        highest = {"bed": profile.max_bed_c, "chamber": profile.max_chamber_c}.get(name, profile.max_hotend_c)
        self._hottest = highest + OVERSHOOT
        self._target = 0.0
        self._reached = False
        self._mark = self._marked_at = 0.0  # the reading from which it has to rise, and the time of that reading
        self._coolest = math.inf  # the lowest reading on its way down to a lower target
        self._away_since = self._hot_since = math.inf

    def find_broken_rule(self, reading: Reading, now: float) -> str | None:
        """Take a reading; return the broken rule, in a sentence; None: no rule is broken."""
        if trouble := self._check_maximum(reading.actual, now):
            return trouble
        target = reading.target or 0.0  # without reported targets there is nothing to compare with
        if target != self._target:
            self._target, self._reached = target, False
            self._coolest, self._away_since = math.inf, math.inf
        if not target:
            self._mark, self._marked_at = reading.actual, now
            return None
        self._reached = self._reached or abs(reading.actual - target) <= HYSTERESIS
        return self._check_rise(reading.actual, now) or self._check_drift(reading.actual, now)

    def _check_maximum(self, actual: float, now: float) -> str | None:
        if actual <= self._hottest:
            self._hot_since = math.inf
            return None
        self._hot_since = min(self._hot_since, now)
        if now - self._hot_since < CONFIRMATION_S:
            return None
        return f"{self._name} is at {actual:.1f} °C, above its maximum of {self._hottest - OVERSHOOT:g} °C"

    def _check_rise(self, actual: float, now: float) -> str | None:
        """Check that the temperature rises, until the target is reached; from then on `_check_drift` counts."""
        bounds = self._bounds
        if self._reached or actual >= self._target - bounds.far or actual >= self._mark + bounds.rise:
            self._mark, self._marked_at = actual, now
        self._mark = min(self._mark, actual)
        if now - self._marked_at <= bounds.rise_within:
            return None
        return (
            f"{self._name} does not get warmer: at {actual:.1f} °C it has not risen by {bounds.rise:g} °C in "
            f"{bounds.rise_within:g} s; its target is {self._target:g} °C"
        )

    def _check_drift(self, actual: float, now: float) -> str | None:
        bounds = self._bounds
        self._coolest = min(self._coolest, actual)
        normal = self._target if self._reached else max(self._coolest, self._target)
        away = abs(actual - normal) if self._reached else actual - normal
        if away <= bounds.drift:
            self._away_since = math.inf
            return None
        self._away_since = min(self._away_since, now)
        if now - self._away_since <= bounds.drift_within:
            return None
        return (
            f"{self._name} has drifted to {actual:.1f} °C, away by more than {bounds.drift:g} °C for "
            f"{bounds.drift_within:g} s; its target is {self._target:g} °C"
        )


def longest_silence(printer: PrinterStatus) -> float:
    """Return the maximum number of seconds without a temperature report while a heater is on.

    A busy firmware does not answer, and its reports may have been turned off (M155 S0).
    """
    reports = printer.identity.can("AUTOREPORT_TEMP")
    return MAX_WITHOUT_REPORT_S if reports and not printer.busy else MAX_WITHOUT_REPORT_ASKED_S


def heaters_off_commands(profile: ProfileConfig, reported: Heaters | None = None) -> list[str]:
    """Return the commands that turn every heater of this printer off."""
    return heaters_off(profile.hotends, chamber=profile.heated_chamber, heaters=reported)


def has_target(printer: PrinterStatus) -> bool:
    """Tell whether any heater has a target."""
    return any(reading.target for reading in printer.heaters.values())


async def turn_heaters_off(
    printer: Printer, profile: ProfileConfig, why: str = "heaters off was not acknowledged"
) -> bool:
    """Turn the heaters off; return False if that took an emergency stop.

    The commands are written in the next turn of the loop. A firmware that waits in M109 or for slow moves does not read
    them in time, so it gets an emergency stop, which turns the heaters off too.
    """
    printer.hold()
    printer.feed(None)
    commands = heaters_off_commands(profile, printer.heaters)
    if printer.identity.can("EMERGENCY_PARSER"):
        commands.insert(0, "M108")  # ends a wait for heat; such a firmware reads it during the wait
    answers = asyncio.gather(*(printer.send(command, urgent=True) for command in commands))
    try:
        async with asyncio.timeout(HEATERS_OFF_TIMEOUT):
            await answers
    except (NozzledError, TimeoutError):
        printer.emergency_stop(f"emergency stop: {why}")
        await asyncio.sleep(STOP_S)
        return False
    return True
