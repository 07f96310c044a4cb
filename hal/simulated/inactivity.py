"""What the firmware does when nothing happens for long: M85 halts it, M86 turns the heaters down.

Marlin's rules. Moves, homing and waiting for heat count for M85, and nothing else: a host that only asks for
temperatures is not active. M86 (Marlin 2.1.3 with HOTEND_IDLE_TIMEOUT) wants something to move while a hotend is hot.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HotendIdle:
    """What M86 sets: °C and s.

    Attributes:
        seconds: without a move, of filament or otherwise; 0 is off.
        trigger: the time runs while a hotend is at least as hot.
        hotend: what targets of hotends are brought down to.
        bed: the same for the bed.
    """

    seconds: float = 0.0
    trigger: float = 180.0
    hotend: float = 0.0
    bed: float = 0.0


class Inactivity:
    """Computes when either time is over. Times are the device's, in s.

    Attributes:
        limit: of M85; 0 is none.
        hotend_idle: of M86.
        due: when a time may be over.
    """

    def __init__(self) -> None:
        self.limit = 0.0
        self.hotend_idle = HotendIdle()
        self.due = math.inf
        self._halt_at = self._cool_at = math.inf
        self._active_at = 0.0

    def note(self, now: float) -> None:
        """The firmware is busy with something that is no move, but counts."""
        self._active_at = now

    def set_limit(self, seconds: float, now: float) -> None:
        """M85: halt after so many seconds; 0 is never."""
        self.limit = seconds
        self._active_at = now
        self._wait_until(now + seconds if seconds else math.inf, self._cool_at)

    def set_hotend_idle(self, rule: HotendIdle, now: float) -> None:
        """M86."""
        self.hotend_idle = rule
        self._wait_until(self._halt_at, now + rule.seconds if rule.seconds else math.inf)

    def halts(self, moved_at: float, now: float) -> bool:
        """Tell whether M85's time is over; `moved_at` is when the last move ended, or will end."""
        if now < self._halt_at:
            return False
        self._wait_until(max(moved_at, self._active_at) + self.limit, self._cool_at)
        return now >= self._halt_at

    def cools(self, idle_since: float, now: float) -> bool:
        """Tell whether M86's time is over; `idle_since` is when it began, infinite while it does not run."""
        if now < self._cool_at:
            return False
        over = idle_since + self.hotend_idle.seconds <= now
        begun = now if over or idle_since == math.inf else idle_since
        self._wait_until(self._halt_at, begun + self.hotend_idle.seconds)
        return over

    def _wait_until(self, halt_at: float, cool_at: float) -> None:
        self._halt_at, self._cool_at = halt_at, cool_at
        self.due = min(halt_at, cool_at)
