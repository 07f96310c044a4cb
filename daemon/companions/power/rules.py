"""When the printer may be switched off, and when it is switched off by itself. Pure; the time is passed in.

What is not known speaks against it: a line that is lost is not idle, and a printer that says nothing is not cold.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

FRESH = 10.0  # s that a report of temperatures counts
COOLS = 600.0  # s after the end of a connection in which what was hot counts as hot
PLAUSIBLE = 0.0  # °C; a thermistor that is not there reads less


@dataclass(frozen=True, slots=True)
class HeaterSeen:
    """A reading, in °C; None: not told."""

    actual: float | None = None
    target: float | None = None


@dataclass(frozen=True, slots=True)
class PrinterNow:
    """The printer, as far as it is known.

    Attributes:
        known: nozzled says what follows; False: it does not answer, or not yet.
        ready: the printer is connected and answers.
        busy: it prints, pauses, goes on, is cancelled or prints from its own card.
        text: its state in words.
        heaters: the last report, by OctoPrint's names; of the connection before where there is none now.
        heaters_at: when that came; None: none did.
        commanded_at: when a client has sent a command last; None: not known.
    """

    known: bool = False
    ready: bool = False
    busy: bool = False
    text: str = ""
    heaters: Mapping[str, HeaterSeen] = field(default_factory=dict)
    heaters_at: float | None = None
    commanded_at: float | None = None

    def tools(self) -> dict[str, HeaterSeen]:
        """Return the hotends."""
        return {name: heater for name, heater in self.heaters.items() if name.startswith("tool")}


def refusal(seen: PrinterNow, now: float, cold: float, *, locked: bool) -> str | None:
    """Return why a person should not switch the printer off now, None: nothing speaks against it.

    Args:
        seen: the printer.
        now: the time.
        cold: °C below which hotends count as cold.
        locked: the printer stays on while it prints.
    """
    if not locked:
        return None
    if not seen.known:
        return "it is not known whether the printer is printing, as nozzled does not say"
    if seen.busy:
        return f"the printer is busy ({seen.text})"
    if seen.heaters_at is None:
        return None  # it does not print by this line, and nothing better is known of it: a person may
    # nothing cools by saying nothing: the last report counts, whatever its age
    age = now - seen.heaters_at
    if not seen.ready and age > COOLS:
        return None
    ago = f", {age:.0f} s ago" if age > FRESH else ""
    if aimed := _aimed(seen):
        return f"{aimed[0]} is heating to {aimed[1].target:.0f} °C{ago}"
    hot = next(((name, each) for name, each in seen.tools().items() if (each.actual or 0.0) >= cold), None)
    if hot is not None:
        return f"{hot[0]} is at {hot[1].actual:.0f} °C{ago}: without its fan a hot hotend may clog"
    return None


def unrest(seen: PrinterNow, now: float) -> str | None:
    """Return what keeps the printer from counting as idle, None: nothing."""
    if not seen.known:
        return "nozzled does not answer"
    if seen.busy:
        return f"the printer is busy ({seen.text})"
    if not seen.ready:
        return "the printer is not connected"
    if seen.commanded_at is None:
        return "it is not known when the last command was"
    if seen.heaters_at is None or now - seen.heaters_at > FRESH:
        return f"its temperatures are older than {FRESH:.0f} s"
    if aimed := _aimed(seen):
        return f"{aimed[0]} is heating to {aimed[1].target:.0f} °C"
    return None


def warmth(seen: PrinterNow, cold: float) -> str | None:
    """Return which hotend is not known to be cold, None: all are."""
    tools = seen.tools()
    if not tools:
        return "it reports no temperature of a hotend"
    for name, heater in tools.items():
        if heater.target is None:
            return f"it reports no target for {name}"
        actual = heater.actual
        if actual is None or not math.isfinite(actual) or actual <= PLAUSIBLE:
            return f"the temperature of {name} is not known"
        if actual >= cold:
            return f"{name} is not below {cold:.0f} °C"  # not how warm it is: that would be told at each degree
    return None


def _aimed(seen: PrinterNow) -> tuple[str, HeaterSeen] | None:
    """Return a heater that has a target, or one that is no number."""
    return next(
        ((name, each) for name, each in seen.heaters.items() if each.target is not None and each.target != 0), None
    )


@dataclass(frozen=True, slots=True)
class OffPlan:
    """What the automatic is about.

    Attributes:
        off_at: the printer is switched off then; None: that is not announced.
        due: now.
        reason: why not yet.
    """

    off_at: float | None = None
    due: bool = False
    reason: str = ""


class AutoOff:
    """Switches the printer off when it is idle and cold, after an announcement that any command cancels."""

    def __init__(self, now: float, idle_s: float, cold: float, announce_s: float) -> None:
        """Begin; what was before is not known, and does not count."""
        self._idle_s, self._cold, self._announce_s = idle_s, cold, announce_s
        self._since = now
        self._off_at: float | None = None

    def look(self, now: float, seen: PrinterNow, *, on: bool | None) -> OffPlan:
        """Return what comes of it; to be called every second or so.

        Args:
            now: the time.
            seen: the printer.
            on: the switch is, by its own word; None: not known.
        """
        if on is not True:
            return self._not_yet(now, "its power is off" if on is False else "it is not known whether its power is on")
        if reason := unrest(seen, now):
            return self._not_yet(now, reason)
        commanded = seen.commanded_at
        if commanded is not None and commanded > self._since:
            self._since, self._off_at = min(commanded, now), None
        if reason := warmth(seen, self._cold):
            self._off_at = None
            return OffPlan(reason=reason)
        if now - self._since < self._idle_s:
            self._off_at = None
            return OffPlan(reason=f"it has to be idle for {self._idle_s / 60:g} min")
        if self._off_at is None:
            self._off_at = now + self._announce_s
        return OffPlan(self._off_at, due=now >= self._off_at)

    def cancel(self, now: float) -> bool:
        """Begin the idle time anew; tell whether something had been announced."""
        announced, self._off_at, self._since = self._off_at is not None, None, now
        return announced

    def _not_yet(self, now: float, reason: str) -> OffPlan:
        self._since, self._off_at = now, None
        return OffPlan(reason=reason)
