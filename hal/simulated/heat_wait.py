"""The wait of M109, M190 and M191, by Marlin's rule (temperature.cpp, wait_for_hotend).

The time at the target runs from the first reading within the window, and starts over when a reading leaves the
hysteresis. The time is a third longer if the first reading of the wait is within the window.
"""

import math

from hal.simulated.board import Board, Wait
from hal.simulated.heater import Heater
from hal.simulated.thermal import TICK_S

WINDOW = 1.0  # °C around the target (TEMP_WINDOW)
HYSTERESIS = 3.0  # °C (TEMP_HYSTERESIS)
_COOLING_CHECK_INTERVAL = 60.0  # s (MIN_COOLING_SLOPE_TIME)
_MIN_COOLING = 1.5  # °C in that time; a slower cooling ends the wait (MIN_COOLING_SLOPE_DEG)


def wait_for(board: Board, heater: Heater, *, cooling: bool) -> Wait:
    """Report every second until the temperature has stayed at the target, cools too slowly, or M108 comes.

    Args:
        board: the board.
        heater: the heater whose target was set.
        cooling: wait for cooling too.
    """
    wait = _Residency(heater, board.now, board.config.speech.reports.residency)
    if wait.cools and not (cooling or board.config.speech.reports.waits_for_cooling):
        return
    board.is_waiting = True
    report_at = board.now
    while board.is_waiting:
        if board.now >= report_at:
            board.report_wait(wait.seconds_left(board.now))
            report_at += 1.0
        board.inactivity.note_activity(board.now)
        if wait.is_over(board.now):
            break
        yield min(report_at, wait.next_check(board.now))
    board.is_waiting = False


class _Residency:
    """The state of a wait."""

    def __init__(self, heater: Heater, now: float, seconds: float) -> None:
        self._heater = heater
        self._seconds = seconds  # to stay at the target
        self._first = True
        self._ends = math.inf  # when the reading will have stayed long enough; inf: it is not at the target yet
        self._check_at, self._before = now, math.inf  # of cooling
        self._aim(now)

    def _aim(self, now: float) -> None:
        """Take the heater's target, which may change during the wait."""
        self._target = self._heater.target
        self.cools = self._target < self._heater.temperature(now)

    def seconds_left(self, now: float) -> int | str:
        """Return the whole seconds left; `?`: the reading is not at the target yet."""
        return "?" if self._ends == math.inf else int(self._ends - now)

    def next_check(self, now: float) -> float:
        """Return when the next reading comes, or the wait ends."""
        return min((int(now / TICK_S) + 1) * TICK_S, self._ends)

    def is_over(self, now: float) -> bool:
        """Check the reading; tell whether the wait is over."""
        if self._heater.target != self._target:
            self._aim(now)
        reading = self._heater.temperature(now)
        distance = abs(self._target - reading)
        if self._ends == math.inf:
            if distance < WINDOW:
                self._ends = now + self._seconds * (4 / 3 if self._first else 1.0)
        elif distance > HYSTERESIS:
            self._ends = now + self._seconds
        self._first = False
        return now >= self._ends or (self.cools and self._cools_too_slowly(reading, now))

    def _cools_too_slowly(self, reading: float, now: float) -> bool:
        if now < self._check_at:
            return False
        if self._before - reading < _MIN_COOLING:
            return True
        self._check_at, self._before = now + _COOLING_CHECK_INTERVAL, reading
        return False
