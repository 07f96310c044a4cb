"""The wait of M109, M190 and M191, by Marlin's rule.

The time runs from the first reading within the window, begins anew when one leaves the hysteresis, and is a third
longer when the first reading of all is within the window already.
"""

import math

from hal.simulated.board import Board, Wait
from hal.simulated.heater import Heater
from hal.simulated.thermal import TICK

WINDOW = 1.0  # °C around the target (TEMP_WINDOW)
HYSTERESIS = 3.0  # °C (TEMP_HYSTERESIS)
_COOLING_CHECK = 60.0  # s (MIN_COOLING_SLOPE_TIME); cooling by less than the following meanwhile ends the wait
_LEAST_COOLING = 1.5  # °C (MIN_COOLING_SLOPE_DEG)


def wait_for(board: Board, heater: Heater, *, cooling: bool) -> Wait:
    """Report each second until the temperature has stayed at the target, or M108.

    Args:
        board: where it happens.
        heater: whose target was set.
        cooling: wait for cooling too.
    """
    wait = _Residency(heater, board.now, board.config.speech.reports.residency)
    if wait.cools and not (cooling or board.config.speech.reports.waits_for_cooling):
        return
    board.waiting = True
    report_at = board.now
    while board.waiting:
        if board.now >= report_at:
            board.report_wait(wait.seconds_left(board.now))
            report_at += 1.0
        board.inactivity.note(board.now)
        if wait.over(board.now):
            break
        yield min(report_at, wait.next_look(board.now))
    board.waiting = False


class _Residency:
    """What a wait remembers."""

    def __init__(self, heater: Heater, now: float, seconds: float) -> None:
        self._heater = heater
        self._seconds = seconds  # to stay
        self._first = True
        self._ends = math.inf  # when it has stayed long enough; inf: it was not there yet
        self._check_at, self._before = now, math.inf  # of cooling
        self._aim(now)

    def _aim(self, now: float) -> None:
        """Take over the target, which may be set from elsewhere meanwhile."""
        self._target = self._heater.target
        self.cools = self._target < self._heater.temperature(now)

    def seconds_left(self, now: float) -> int | str:
        """Return the whole seconds left; `?` before it is there."""
        return "?" if self._ends == math.inf else int(self._ends - now)

    def next_look(self, now: float) -> float:
        """Return when there is a new reading, or the wait is over."""
        return min((int(now / TICK) + 1) * TICK, self._ends)

    def over(self, now: float) -> bool:
        """Look at the reading; tell whether that was enough."""
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
        if self._before - reading < _LEAST_COOLING:
            return True
        self._check_at, self._before = now + _COOLING_CHECK, reading
        return False
