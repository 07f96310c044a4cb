"""The speeds of all moves of a block at once, by the rules of Marlin's planner (see `gcode.planner`).

Theory of operation. The planner's two passes are recurrences: the speed v of a corner obeys v[i]² <= v[i+1]² + reach[i]
(the move can still brake) and v[i+1]² <= v[i]² + reach[i] (the move can have accelerated), with reach = 2 ·
acceleration · length. With R as the running sum of reach, v² + R is a running minimum from the end, and v² - R one from
the start. NumPy has both kinds.

Units are mm, mm/s, mm/s² and s. Axes are rows: X, Y, Z, E.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from gcode.analysis.arrays import Bools, Floats
from gcode.frozen import frozen
from gcode.planner import (
    ALIKE_SHARE,
    CAPACITY,
    MIN_SPEED,
    SHORT_LENGTH,
    SLIGHT_COSINE,
    STRAIGHT_COSINE,
    TINY,
    MotionLimits,
)

HORIZON = CAPACITY - 2
"""Moves that wait behind a move when its exit speed becomes final: that move has one block in the planner, and another
one is free."""


@frozen
class LimitRows:
    """Limits as arrays that broadcast against the moves: a column for each move, or one column for all.

    Attributes:
        feedrates: a row for each axis; so have `accelerations` and `jerk`.
    """

    classic_jerk: bool
    feedrates: Floats
    accelerations: Floats
    jerk: Floats
    printing: Floats
    retract: Floats
    travel: Floats
    junction_deviation: Floats
    min_feedrate: Floats
    min_travel_feedrate: Floats
    square_corner: Floats
    cruise_ratio: Floats
    to_decel: Floats


def limit_rows(settings: Sequence[MotionLimits], counts: Sequence[int]) -> LimitRows:
    """Return the limits of each move: those of the first `counts[0]` moves are `settings[0]`, and so on."""
    singles = (
        "printing", "retract", "travel", "junction_deviation", "min_feedrate", "min_travel_feedrate",
        "square_corner", "cruise_ratio", "to_decel",
    )  # fmt: skip
    table = np.array(
        [
            [*each.feedrates, *each.accelerations, *each.jerk, *(getattr(each, name) for name in singles)]
            for each in settings
        ]
    ).T
    if len(settings) > 1:
        table = np.repeat(table, counts, axis=1)
    return LimitRows(settings[-1].classic_jerk, table[0:4], table[4:8], table[8:12], *table[12:])


def has_length(delta: Floats) -> Bools:
    """Tell which moves have a length; `delta` is the travel of each axis in mm."""
    x, y, z, e = np.abs(delta) >= TINY
    return x | y | z | e


@frozen
class Moves:
    """Moves, each with a length.

    Attributes:
        length: of the path in mm; of the filament if only the extruder moves.
        direction: speed of each axis as a share of the speed along the path.
        nominal: cruising speed, in mm/s.
        acceleration: along the path, in mm/s².
        max_entry: squared maximum speed of the corner before the move, in mm²/s².
        smooth_acceleration: Klipper's max_accel_to_decel, in mm/s²; None: another planner.
    """

    length: Floats
    direction: Floats
    nominal: Floats
    acceleration: Floats
    max_entry: Floats
    smooth_acceleration: Floats | None = None


class Corners:
    """Finds cruising and corner speeds; remembers the last move for the first corner of the next block."""

    def __init__(self) -> None:
        self._direction = np.zeros((4, 1))
        self._nominal = np.zeros(1)  # 0, because the first move starts from rest
        self._safe = np.zeros(1)

    def plan_moves(self, delta: Floats, feedrate: Floats, rests: Bools, limits: LimitRows) -> Moves:
        """Return the moves.

        Args:
            delta: travel of each axis, in mm.
            feedrate: as set by the file, in mm/s.
            rests: the printer is at rest before the move.
            limits: of each move.
        """
        length, acceleration, lowest = _lengths_and_limits(delta, limits)
        direction = delta / length
        nominal = np.maximum(np.maximum(feedrate, lowest), MIN_SPEED)
        with np.errstate(divide="ignore"):
            path_per_axis = 1.0 / np.abs(direction)  # speed along the path per speed of the axis
        nominal = np.minimum(nominal, _limit_along_path(limits.feedrates, path_per_axis))
        acceleration = np.minimum(acceleration, _limit_along_path(limits.accelerations, path_per_axis))
        before = np.concatenate((self._direction, direction[:, :-1]), axis=1)
        slower = np.minimum(nominal, np.concatenate((self._nominal, nominal[:-1])))
        if limits.classic_jerk:
            safe = np.minimum(nominal, _limit_along_path(limits.jerk, path_per_axis))
            safe_before = np.concatenate((self._safe, safe[:-1]))
            corner = _by_jerk(before, direction, slower, nominal, limits.jerk)
            alike = np.minimum(safe_before, safe) > ALIKE_SHARE * corner
            corner = np.where(alike, np.minimum(safe, slower), corner) ** 2
            self._safe = safe[-1:]
        else:
            corner = np.minimum(slower**2, _squared_by_deviation(before, direction, length, acceleration, limits))
        corner = np.where(rests, 0.0, corner)
        self._direction, self._nominal = direction[:, -1:], nominal[-1:]
        return Moves(length, direction, nominal, acceleration, corner)


def _lengths_and_limits(delta: Floats, limits: LimitRows) -> tuple[Floats, Floats, Floats]:
    """Return length, acceleration and minimum speed, which depend on the kind of move."""
    extruded = np.abs(delta[3])
    length = np.sqrt(delta[0] ** 2 + delta[1] ** 2 + delta[2] ** 2)
    extruder_only, travel = length < TINY, extruded < TINY
    acceleration = np.where(travel, limits.travel, np.where(extruder_only, limits.retract, limits.printing))
    lowest = np.where(travel, limits.min_travel_feedrate, limits.min_feedrate)
    return np.where(extruder_only, extruded, length), acceleration, lowest


def _limit_along_path(of_axes: Floats, path_per_axis: Floats) -> Floats:
    """Return the limit along the path, set by the strictest axis."""
    x, y, z, e = of_axes
    a, b, c, d = path_per_axis
    return np.minimum(np.minimum(x * a, y * b), np.minimum(z * c, e * d))


def _by_jerk(before: Floats, after: Floats, slower: Floats, nominal: Floats, jerk: Floats) -> Floats:
    """Return the maximum speed at which no axis exceeds its jerk, as in `gcode.planner`."""
    share = np.ones(len(slower))
    for leaving, entering, limit in zip(before, after, jerk, strict=True):
        speed, next_speed = leaving * slower, entering * nominal
        onwards = speed * next_speed > 0
        change = np.where(onwards, np.abs(next_speed - speed), np.maximum(np.abs(speed), np.abs(next_speed)))
        share = np.minimum(share, limit / np.maximum(change, TINY))
    return slower * share


def _squared_by_deviation(
    before: Floats, after: Floats, length: Floats, acceleration: Floats, limits: LimitRows
) -> Floats:
    """Return the squared maximum speeds of corners by junction deviation, as in `gcode.planner`."""
    one, two = _normalise(before), _normalise(after)
    cosine = (one * two).sum(axis=0)
    turned = np.abs(two - one)
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.sqrt((turned**2).sum(axis=0))
        acceleration = np.minimum(acceleration, _limit_along_path(limits.accelerations, size / turned))
        half = np.sqrt((1 + cosine) / 2)
        squared = acceleration * limits.junction_deviation * half / (1 - half)
        circle = np.where(
            (length < SHORT_LENGTH) & (cosine > SLIGHT_COSINE), acceleration * length / np.arccos(cosine), np.inf
        )
    squared = np.minimum(squared, circle)
    return np.where(cosine > STRAIGHT_COSINE, np.inf, np.where(cosine < -STRAIGHT_COSINE, 0.0, squared))


def _normalise(direction: Floats) -> Floats:
    """Return directions normalised over all four axes, as Marlin does for the angle of a corner."""
    return direction / np.sqrt((direction**2).sum(axis=0).clip(TINY))


class Profile(ABC):
    """Finds the final speeds of moves, all but the last few of a block.

    Each move has a column of the caller's numbers, which `add` returns together with the move's duration. The result
    does not depend on how the moves are split into blocks, because the planner sees only `horizon` corners ahead.
    """

    own_rows: int
    """How many rows of the planner precede those of the caller in the table of waiting moves."""
    horizon: int

    def __init__(self) -> None:
        self._waiting: Floats | None = None

    def add(self, moves: Moves, columns: Floats) -> tuple[Floats, Floats]:
        """Add moves; return the seconds and the caller's columns of the moves that are final now."""
        new = np.vstack((*self._rows(moves), columns))
        self._waiting = new if self._waiting is None else np.hstack((self._waiting, new))
        return self._take(self._waiting.shape[1] - self.horizon - 1)

    def finish(self) -> tuple[Floats, Floats]:
        """Return the remaining moves; the printer stops at the end of the last one."""
        return self._take(0 if self._waiting is None else self._waiting.shape[1])

    def _take(self, count: int) -> tuple[Floats, Floats]:
        if self._waiting is None or count <= 0:
            rows = 0 if self._waiting is None else self._waiting.shape[0] - self.own_rows
            return np.zeros(0), np.zeros((rows, 0))
        seconds = self._seconds(self._waiting[: self.own_rows], count)
        columns = self._waiting[self.own_rows :, :count]
        self._waiting = self._waiting[:, count:]
        return seconds, columns

    @abstractmethod
    def _rows(self, moves: Moves) -> tuple[Floats, ...]:
        """Return the planner's own rows of the table."""

    @abstractmethod
    def _seconds(self, rows: Floats, count: int) -> Floats:
        """Return the seconds of the first `count` moves; the others are those that the planner sees ahead."""


class MarlinProfile(Profile):
    """Marlin's profile: a trapezoid of speed for each move."""

    own_rows = 4
    horizon = HORIZON

    def __init__(self) -> None:
        super().__init__()
        self._entry = 0.0  # squared speed at the start of the first waiting move, in mm²/s²

    def _rows(self, moves: Moves) -> tuple[Floats, ...]:
        return moves.length, moves.nominal, moves.acceleration, moves.max_entry

    def _seconds(self, rows: Floats, count: int) -> Floats:
        length, nominal, acceleration, max_entry = rows
        speeds = corner_speeds(2 * acceleration * length, max_entry, self._entry)
        self._entry = float(speeds[count])
        return durations(length, nominal, acceleration, speeds)[:count]


def corner_speeds(reach: Floats, max_entry: Floats, entry: float, horizon: int = HORIZON) -> Floats:
    """Return the squared speeds before each move, and after the last one, where the printer stops; all in mm²/s².

    Args:
        reach: maximum change of the squared speed on each move.
        max_entry: squared maximum speed of each corner.
        entry: squared speed at the start of the first move.
        horizon: moves that the planner sees ahead.
    """
    count = len(reach)
    run = np.concatenate(([0.0], np.cumsum(reach)))
    limits = np.append(max_entry, 0.0)
    limits[0] = entry
    # the printer has to be able to stop at the end of the moves that the planner sees
    horizons = run[np.minimum(np.arange(count + 1) + horizon, count)]
    brakes = np.minimum.accumulate((limits + run)[::-1])[::-1]
    brakes = np.minimum(brakes, horizons)
    brakes[0] = entry
    speeds = np.minimum.accumulate(brakes - 2 * run) + run
    return np.maximum(speeds, 0.0)  # rounding of large sums may leave less than 0


def durations(length: Floats, nominal: Floats, acceleration: Floats, corners: Floats) -> Floats:
    """Return the seconds of each move to accelerate, cruise and brake; `corners` are squared speeds."""
    entry, leave = corners[:-1], corners[1:]
    speeds = np.sqrt(corners)
    reach = 2 * acceleration * length
    peak = np.minimum(nominal, np.sqrt((reach + entry + leave) / 2))
    ramps = (2 * peak - speeds[:-1] - speeds[1:]) / acceleration
    cruise = (reach + entry + leave - 2 * peak * peak) / (2 * acceleration * peak)
    return ramps + cruise
