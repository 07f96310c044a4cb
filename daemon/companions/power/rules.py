"""Rules for switching the printer off, on request and automatically. Pure; the time is passed in.

An unknown value forbids the automatic switch-off: without a connection the printer is not idle, and without a
temperature not cold. A user's request is refused if nozzled does not answer, but not for unknown temperatures.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

FRESH_S = 10.0  # age up to which a temperature report counts as current
COOLING_S = 600.0  # for which the last temperatures before a disconnection count
MIN_PLAUSIBLE_C = 0.0  # a missing thermistor reads less


@dataclass(frozen=True, slots=True)
class HeaterReading:
    """A reading, in °C; None: not reported."""

    actual: float | None = None
    target: float | None = None


@dataclass(frozen=True, slots=True)
class PrinterReading:
    """The state of the printer, as far as it is known.

    Attributes:
        is_known: the other values are valid; False: nozzled does not answer, or has not answered yet.
        is_ready: the printer is connected and answers.
        is_busy: it prints, pauses, resumes, is cancelled or prints from its own SD card.
        text: its state in words.
        heaters: the last report, by OctoPrint's names; without a connection, from the previous connection.
        heaters_at: when that report came; None: there was none.
        commanded_at: when a client last sent a command; None: unknown.
        fault: why the connection has failed; "": it has not.
    """

    is_known: bool = False
    is_ready: bool = False
    is_busy: bool = False
    text: str = ""
    heaters: Mapping[str, HeaterReading] = field(default_factory=dict)
    heaters_at: float | None = None
    commanded_at: float | None = None
    fault: str = ""

    def hotends(self) -> dict[str, HeaterReading]:
        """Return the hotends."""
        return {name: heater for name, heater in self.heaters.items() if name.startswith("tool")}


def why_not_off(printer: PrinterReading, now: float, cold: float, *, is_locked: bool) -> str | None:
    """Return why a user must not switch the printer off now; None: it is allowed.

    Args:
        printer: its state.
        now: the time.
        cold: °C below which hotends count as cold.
        is_locked: `locked_while_printing`.
    """
    if not is_locked:
        return None
    if not printer.is_known:
        return "nozzled does not answer, so the printer may be printing"
    if printer.is_busy:
        return f"the printer is busy ({printer.text})"
    if printer.heaters_at is None:
        return None  # it is not printing for nozzled, and its temperatures were never known: the user decides
    # without new reports it may still be hot: the last report counts, whatever its age
    age = now - printer.heaters_at
    if not printer.is_ready and age > COOLING_S:
        return None
    ago = f", {age:.0f} s ago" if age > FRESH_S else ""
    if heating := _find_heating(printer):
        return f"{heating[0]} is heating to {heating[1].target:.0f} °C{ago}"
    hot = next(((name, each) for name, each in printer.hotends().items() if (each.actual or 0.0) >= cold), None)
    if hot is not None:
        return f"{hot[0]} is at {hot[1].actual:.0f} °C{ago}, and a hot hotend may clog without its fan"
    return None


def why_not_idle(printer: PrinterReading, now: float) -> str | None:
    """Return why the printer does not count as idle; None: it is idle."""
    if not printer.is_known:
        return "nozzled does not answer"
    if printer.is_busy:
        return f"the printer is busy ({printer.text})"
    if not printer.is_ready:
        return "the printer is not connected"
    if printer.commanded_at is None:
        return "the time of the last command is unknown"
    if printer.heaters_at is None or now - printer.heaters_at > FRESH_S:
        return f"the last temperature report is more than {FRESH_S:.0f} s old"
    if heating := _find_heating(printer):
        return f"{heating[0]} is heating to {heating[1].target:.0f} °C"
    return None


def why_not_cold(printer: PrinterReading, cold: float) -> str | None:
    """Return why a hotend does not count as cold; None: all are cold."""
    tools = printer.hotends()
    if not tools:
        return "the printer reports no hotend temperature"
    for name, heater in tools.items():
        if heater.target is None:
            return f"the printer reports no target for {name}"
        actual = heater.actual
        if actual is None or not math.isfinite(actual) or actual <= MIN_PLAUSIBLE_C:
            return f"the temperature of {name} is unknown"
        if actual >= cold:
            # the text does not name the temperature, or it would change with each degree
            return f"{name} is not below {cold:.0f} °C"
    return None


def _find_heating(printer: PrinterReading) -> tuple[str, HeaterReading] | None:
    """Return a heater that has a target other than 0."""
    return next(
        ((name, each) for name, each in printer.heaters.items() if each.target is not None and each.target != 0), None
    )


@dataclass(frozen=True, slots=True)
class OffPlan:
    """The plan of the automatic switch-off.

    Attributes:
        off_at: the announced time; None: no switch-off is announced.
        is_due: the announced time has come.
        reason: why no switch-off is announced.
    """

    off_at: float | None = None
    is_due: bool = False
    reason: str = ""


class AutoOff:
    """Plans the automatic switch-off: when the printer is idle and cold, and only after an announcement.

    Any command cancels it.
    """

    def __init__(self, now: float, idle_s: float, cold: float, announce_s: float) -> None:
        """Start the idle time now, as earlier activity is unknown."""
        self._idle_s, self._cold, self._announce_s = idle_s, cold, announce_s
        self._since = now
        self._off_at: float | None = None

    def plan(self, now: float, printer: PrinterReading, *, on: bool | None) -> OffPlan:
        """Return the plan; call this every few seconds.

        Args:
            now: the time.
            printer: its state.
            on: the state of the switch; None: unknown.
        """
        if on is not True:
            return self._restart(now, "its power is off" if on is False else "the state of its switch is unknown")
        if reason := why_not_idle(printer, now):
            return self._restart(now, reason)
        commanded = printer.commanded_at
        if commanded is not None and commanded > self._since:
            self._since, self._off_at = min(commanded, now), None
        if reason := why_not_cold(printer, self._cold):
            self._off_at = None
            return OffPlan(reason=reason)
        if now - self._since < self._idle_s:
            self._off_at = None
            return OffPlan(reason=f"it must be idle for {self._idle_s / 60:g} min")
        if self._off_at is None:
            self._off_at = now + self._announce_s
        return OffPlan(self._off_at, is_due=now >= self._off_at)

    def cancel(self, now: float) -> bool:
        """Restart the idle time; return whether a switch-off had been announced."""
        announced, self._off_at, self._since = self._off_at is not None, None, now
        return announced

    def _restart(self, now: float, reason: str) -> OffPlan:
        self._since, self._off_at = now, None
        return OffPlan(reason=reason)
