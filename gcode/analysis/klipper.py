"""Klipper's planner for many moves at once: corners by square_corner_velocity, and smoothed speeds.

It differs from Marlin's (Klipper's Kinematics.md, "Look-ahead" and "Smoothed look-ahead"): speed and acceleration are
limited along the path, and for no axis but Z; the printer stops before and after a move of the extruder alone; and
short zigzag moves are no faster than max_accel_to_decel, a lower acceleration, allows. As in Klipper, moves are planned
twice: the smoothed speeds limit how fast each move may cruise, and the real ones give its acceleration and braking.

Units are mm, mm/s, mm/s² and s. Axes are rows: X, Y, Z, E.
"""

import math

import numpy as np

from gcode.analysis.arrays import Bools, Floats, Ints
from gcode.analysis.speeds import LimitRows, Moves, Profile, corner_speeds, durations
from gcode.planner import MIN_SPEED, TINY

HORIZON = 256
"""Moves that the planner sees ahead here; Klipper looks as far ahead as it needs."""

_INSTANT_CORNER = 1.0  # mm/s by which the extruder may change its speed at once, by default


class KlipperCorners:
    """Finds cruising and corner speeds, as `speeds.Corners` does for Marlin."""

    def __init__(self) -> None:
        self._direction = np.zeros((4, 1))
        self._last = np.zeros((4, 1))  # of the last move: nominal², acceleration, reach, corner deviation

    def plan_moves(self, delta: Floats, feedrate: Floats, rests: Bools, limits: LimitRows) -> Moves:
        """Return the moves; see `speeds.Corners.plan_moves`."""
        path = np.sqrt((delta[:3] ** 2).sum(axis=0))
        alone = path < TINY
        length = np.where(alone, np.abs(delta[3]), path)
        direction = delta / length
        nominal = np.minimum(np.maximum(feedrate, MIN_SPEED), np.where(alone, limits.feedrates[3], limits.feedrates[0]))
        acceleration = np.where(alone, limits.retract, limits.printing)
        with np.errstate(divide="ignore"):
            up = 1.0 / np.abs(direction[2])
        nominal = np.minimum(nominal, limits.feedrates[2] * up)
        acceleration = np.minimum(acceleration, limits.accelerations[2] * up)
        decel = np.where(limits.to_decel > 0, limits.to_decel, limits.printing * (1 - limits.cruise_ratio))
        deviation = limits.square_corner**2 * (math.sqrt(2.0) - 1.0) / limits.printing
        current = np.array((nominal**2, acceleration, 2 * acceleration * length, deviation + np.zeros(len(length))))
        before = np.concatenate((self._direction, direction[:, :-1]), axis=1)
        previous = np.concatenate((self._last, current[:, :-1]), axis=1)
        corner = np.minimum(_corners(before, direction, previous, current), np.minimum(previous[0], current[0]))
        still = rests | alone | (np.abs(before[:3]).max(axis=0) < TINY)
        self._direction, self._last = direction[:, -1:], current[:, -1:]
        entry = np.where(still, 0.0, corner)
        return Moves(length, direction, nominal, acceleration, entry, np.minimum(decel, acceleration))


def _corners(before: Floats, after: Floats, previous: Floats, current: Floats) -> Floats:
    """Return the squared maximum speeds of the corners; rows of `previous` and `current` are as in `_last`."""
    cosine = -(before[:3] * after[:3]).sum(axis=0)  # of the angle between the two moves; -1 is straight on
    half_sine = np.sqrt(np.maximum(0.5 * (1.0 - cosine), 0.0))
    half_cosine = np.sqrt(np.maximum(0.5 * (1.0 + cosine), 0.0))
    bend = np.abs(after[3] - before[3])
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        radius = half_sine / (1.0 - half_sine)
        tangent = 0.25 * half_sine / half_cosine
        by_radius = radius * np.minimum(current[3] * current[1], previous[3] * previous[1])
        by_length = tangent * np.minimum(current[2], previous[2])
        bent = np.where(1.0 - half_sine > 0, np.minimum(by_radius, by_length), np.inf)
        extruder = np.where(bend > TINY, (_INSTANT_CORNER / bend) ** 2, np.inf)
    return np.minimum(np.where(half_cosine > 0, bent, np.inf), extruder)


class KlipperProfile(Profile):
    """Klipper's profile: smoothed speeds limit how fast each move may cruise."""

    own_rows = 5
    horizon = HORIZON

    def __init__(self) -> None:
        super().__init__()
        self._entry = self._smooth_entry = 0.0
        self._peak = math.inf  # squared cruising speed of the last move that accelerated and braked

    def _rows(self, moves: Moves) -> tuple[Floats, ...]:
        smooth = moves.acceleration if moves.smooth_acceleration is None else moves.smooth_acceleration
        return moves.length, moves.nominal, moves.acceleration, moves.max_entry, smooth

    def _seconds(self, rows: Floats, count: int) -> Floats:
        length, nominal, acceleration, max_entry, smooth = rows
        reach = 2 * smooth * length
        slow = corner_speeds(reach, max_entry, self._smooth_entry, HORIZON)
        cap, peaks = self._cruise(slow, reach, nominal**2)
        speeds = corner_speeds(2 * acceleration * length, max_entry, self._entry, HORIZON)
        speeds[1:-1] = np.minimum(speeds[1:-1], np.minimum(cap[:-1], cap[1:]))
        cap = np.maximum(cap, np.maximum(speeds[:-1], speeds[1:]))
        self._entry, self._smooth_entry = float(speeds[count]), float(slow[count])
        last = peaks[peaks < count]
        self._peak = float(cap[last[-1]]) if len(last) else self._peak
        return durations(length, np.sqrt(cap), acceleration, speeds)[:count]

    def _cruise(self, slow: Floats, reach: Floats, limit: Floats) -> tuple[Floats, Ints]:
        """Return the squared cruising speed of each move, and the moves that both accelerate and brake: the peaks.

        A move that only accelerates or only brakes is limited by the peak that it leads to or comes from; the squared
        speed `limit` limits all moves.
        """
        count = len(reach)
        eps = 1e-9 + 1e-9 * reach
        speeds_up = slow[:-1] < slow[1:] + reach - eps
        all_the_way = slow[:-1] + reach <= slow[1:] + eps
        then_down = np.append(~speeds_up[1:], False)
        peak = speeds_up & (~all_the_way | then_down)
        own = np.minimum(limit, (slow[:-1] + slow[1:] + reach) / 2)
        peaks = np.flatnonzero(peak)
        if not len(peaks):
            return np.minimum(limit, np.where(speeds_up, np.inf, self._peak)), peaks
        at = np.arange(count)
        behind = np.searchsorted(peaks, at, "right") - 1
        ahead = np.searchsorted(peaks, at, "left")
        last = np.where(behind >= 0, own[peaks[np.maximum(behind, 0)]], self._peak)
        coming = np.where(ahead < len(peaks), own[peaks[np.minimum(ahead, len(peaks) - 1)]], np.inf)
        return np.minimum(limit, np.where(peak, own, np.where(speeds_up, coming, last))), peaks
