"""Inactivity: the firmware's timers for inactive time: M85 halts the firmware, M86 turns the heaters down.

These are Marlin's rules. For M85, moves, homing and waits for heat count as activity; queries of temperatures do not.
M86 (Marlin 2.1.3 with HOTEND_IDLE_TIMEOUT) requires moves while a hotend is hot. Klipper has an `idle_timeout` instead,
which turns heaters and motors off; a move starts it.
"""

import math
from dataclasses import replace

from gcode.frozen import frozen

_CHECK_INTERVAL = 0.5  # s, at least, between two checks of Klipper's timer (READY_TIMEOUT)


@frozen
class HotendIdle:
    """The rule that M86 sets, in °C and s.

    Attributes:
        seconds: without any move, filament included; 0: off.
        trigger: the time runs while a hotend is at least this hot.
        hotend: then higher targets of hotends are lowered to this one.
        bed: the same for the bed.
    """

    seconds: float = 0.0
    trigger: float = 180.0
    hotend: float = 0.0
    bed: float = 0.0


class Inactivity:
    """Computes when the timers run out. Times are the device's, in s.

    Attributes:
        limit: of M85; 0: none.
        hotend_idle: of M86.
        idle_timeout: Klipper's; 0: none.
        due: when a timer may run out.
    """

    def __init__(self, idle_timeout: float = 0.0) -> None:
        self.limit = 0.0
        self.idle_timeout = idle_timeout
        self.hotend_idle = HotendIdle()
        self._idle_at = idle_timeout or math.inf
        self._idle_set_at = 0.0
        self._idled_since = 0.0  # the last move before the timeout: only a later move starts the timer again
        self.due = self._idle_at
        self._halt_at = self._cool_at = math.inf
        self._active_at = 0.0

    def note_activity(self, now: float) -> None:
        """Note activity other than a move."""
        self._active_at = now

    def set_limit(self, seconds: float, now: float) -> None:
        """M85: halt after `seconds`; 0: never."""
        seconds = self.limit = _whole_milliseconds(seconds)
        self._active_at = now
        self._wait_until(now + seconds if seconds else math.inf, self._cool_at)

    def set_idle_timeout(self, seconds: float, now: float) -> None:
        """SET_IDLE_TIMEOUT: set and restart the timer."""
        self.idle_timeout, self._idle_set_at, self._idle_at = seconds, now, now + max(seconds, _CHECK_INTERVAL)
        self._wait_until(self._halt_at, self._cool_at)

    def is_idle_over(self, moved_at: float, now: float) -> bool:
        """Tell whether Klipper's timer has run out; `moved_at` is when the last move ended, or will end."""
        if now < self._idle_at:
            return False
        self._idle_at = max(moved_at, self._idle_set_at) + self.idle_timeout
        over = self._idle_at <= now and moved_at > self._idled_since
        if self._idle_at <= now:
            self._idled_since, self._idle_at = moved_at, now + max(self.idle_timeout, _CHECK_INTERVAL)
        self._wait_until(self._halt_at, self._cool_at)
        return over

    def set_hotend_idle(self, rule: HotendIdle, now: float) -> None:
        """M86."""
        rule = self.hotend_idle = replace(rule, seconds=_whole_milliseconds(rule.seconds))
        self._wait_until(self._halt_at, now + rule.seconds if rule.seconds else math.inf)

    def is_halt_due(self, moved_at: float, now: float) -> bool:
        """Tell whether M85's timer has run out; `moved_at` is when the last move ended, or will end."""
        if now < self._halt_at:
            return False
        self._wait_until(max(moved_at, self._active_at) + self.limit, self._cool_at)
        return now >= self._halt_at

    def is_cooling_due(self, idle_since: float, now: float) -> bool:
        """Tell whether M86's timer has run out; `idle_since` is when it started; infinite: it does not run."""
        if now < self._cool_at:
            return False
        over = idle_since + self.hotend_idle.seconds <= now
        start = now if over or idle_since == math.inf else idle_since
        self._wait_until(self._halt_at, start + self.hotend_idle.seconds)
        return over

    def _wait_until(self, halt_at: float, cool_at: float) -> None:
        self._halt_at, self._cool_at = halt_at, cool_at
        self.due = min(halt_at, cool_at, self._idle_at)


def _whole_milliseconds(seconds: float) -> float:
    """Return a time in whole milliseconds, as Marlin counts it: a far shorter one would not move the clock."""
    return math.floor(max(0.0, seconds) * 1000) / 1000
