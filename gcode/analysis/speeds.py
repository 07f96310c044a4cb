"""How fast all moves of a block are driven: Marlin's planner (see `gcode.planner`) for many moves at once.

The planner's two passes are recurrences: a corner's speed v obeys v[i]² <= v[i+1]² + reach[i] (it can still brake)
and v[i+1]² <= v[i]² + reach[i] (it can have sped up), with reach = 2 · acceleration · length. With R as the running
sum of reach, v² + R and v² - R are running minima, from the end and from the start; NumPy has these.

mm, mm/s, mm/s², s; axes are rows: X, Y, Z, E.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from gcode.analysis.arrays import Bools, Floats
from gcode.frozen import frozen
from gcode.planner import MIN_SPEED, PLACES, MotionLimits

HORIZON = PLACES - 2  # corners that the planner sees ahead when it fixes a move's exit: one place moves, one is free

_TINY = 1e-6  # mm, far below a motor step
_STRAIGHT = 0.999999  # cosine of an angle that counts as none
_SHORT = 1.0  # mm; below it a slight corner is taken for a piece of a circle
_SLIGHT = math.sqrt(0.5) + 1e-9  # cosine of the largest turn that is one: as in gcode.planner
_ALIKE = 0.99 + 1e-9  # share of both safe speeds below which a corner is no better than a stop to jerk speed


@frozen
class LimitRows:
    """Limits as arrays that broadcast against the moves: a column for each move, or one for all.

    Attributes:
        feedrates: row for each axis, as are `accelerations` and `jerk`.
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
    """Return the limits of each move, of which the first `counts[0]` have `settings[0]`, and so on."""
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
    """Tell which moves move anything; delta: mm of each axis."""
    x, y, z, e = np.abs(delta) >= _TINY
    return x | y | z | e


@frozen
class Moves:
    """Moves of which each has a length: what they aim at.

    Attributes:
        length: mm along the path; of the extruder's turn where nothing else moves.
        direction: speed of each axis as a share of the speed.
        nominal: speed aimed at.
        acceleration: along the path.
        max_entry: square of the highest speed of the corner before the move.
        smooth: Klipper's acceleration to decelerate; None with another planner.
    """

    length: Floats
    direction: Floats
    nominal: Floats
    acceleration: Floats
    max_entry: Floats
    smooth: Floats | None = None


class Corners:
    """Finds what each move aims at and what its corner allows; remembers the last move for the next block's first."""

    def __init__(self) -> None:
        self._direction = np.zeros((4, 1))
        self._nominal = np.zeros(1)  # so that the first move begins from rest
        self._safe = np.zeros(1)

    def moves(self, delta: Floats, feedrate: Floats, rests: Bools, limits: LimitRows) -> Moves:
        """Return the moves.

        Args:
            delta: mm of each axis.
            feedrate: as it was asked for.
            rests: the machine stands before this move.
            limits: of each move.
        """
        length, acceleration, lowest = _kinds(delta, limits)
        direction = delta / length
        nominal = np.maximum(np.maximum(feedrate, lowest), MIN_SPEED)
        with np.errstate(divide="ignore"):
            turns = 1.0 / np.abs(direction)  # how much faster than its axis a move may be
        nominal = np.minimum(nominal, _least(limits.feedrates, turns))
        acceleration = np.minimum(acceleration, _least(limits.accelerations, turns))
        before = np.concatenate((self._direction, direction[:, :-1]), axis=1)
        slower = np.minimum(nominal, np.concatenate((self._nominal, nominal[:-1])))
        if limits.classic_jerk:
            safe = np.minimum(nominal, _least(limits.jerk, turns))
            safe_before = np.concatenate((self._safe, safe[:-1]))
            corner = _by_jerk(before, direction, slower, nominal, limits.jerk)
            alike = np.minimum(safe_before, safe) > _ALIKE * corner
            corner = np.where(alike, np.minimum(safe, slower), corner) ** 2
            self._safe = safe[-1:]
        else:
            corner = np.minimum(slower**2, _by_deviation(before, direction, length, acceleration, limits))
        corner = np.where(rests, 0.0, corner)
        self._direction, self._nominal = direction[:, -1:], nominal[-1:]
        return Moves(length, direction, nominal, acceleration, corner)


def _kinds(delta: Floats, limits: LimitRows) -> tuple[Floats, Floats, Floats]:
    """Return length, acceleration asked for, and lowest speed, which depend on what a move is for."""
    extruded = np.abs(delta[3])
    length = np.sqrt(delta[0] ** 2 + delta[1] ** 2 + delta[2] ** 2)
    extruder_only, travel = length < _TINY, extruded < _TINY
    acceleration = np.where(travel, limits.travel, np.where(extruder_only, limits.retract, limits.printing))
    lowest = np.where(travel, limits.min_travel_feedrate, limits.min_feedrate)
    return np.where(extruder_only, extruded, length), acceleration, lowest


def _least(of_axes: Floats, turns: Floats) -> Floats:
    """Return the limit along the path that the strictest axis sets."""
    x, y, z, e = of_axes
    a, b, c, d = turns
    return np.minimum(np.minimum(x * a, y * b), np.minimum(z * c, e * d))


def _by_jerk(before: Floats, after: Floats, slower: Floats, nominal: Floats, jerk: Floats) -> Floats:
    """Return the speed at which no axis changes its own by more than its jerk, as `gcode.planner` has it."""
    share = np.ones(len(slower))
    for leaving, entering, most in zip(before, after, jerk, strict=True):
        speed, next_speed = leaving * slower, entering * nominal
        onwards = speed * next_speed > 0
        change = np.where(onwards, np.abs(next_speed - speed), np.maximum(np.abs(speed), np.abs(next_speed)))
        share = np.minimum(share, most / np.maximum(change, _TINY))
    return slower * share


def _by_deviation(before: Floats, after: Floats, length: Floats, acceleration: Floats, limits: LimitRows) -> Floats:
    """Return the square of the speed at which a circle that leaves the corner by the deviation can be driven."""
    one, two = _unit(before), _unit(after)
    cosine = (one * two).sum(axis=0)
    turned = np.abs(two - one)
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.sqrt((turned**2).sum(axis=0))
        acceleration = np.minimum(acceleration, _least(limits.accelerations, size / turned))
        half = np.sqrt((1 + cosine) / 2)
        speed = acceleration * limits.junction_deviation * half / (1 - half)
        circle = np.where((length < _SHORT) & (cosine > _SLIGHT), acceleration * length / np.arccos(cosine), np.inf)
    speed = np.minimum(speed, circle)
    return np.where(cosine > _STRAIGHT, np.inf, np.where(cosine < -_STRAIGHT, 0.0, speed))


def _unit(direction: Floats) -> Floats:
    """Return directions with the extruder counted in, as Marlin does where there is an angle to it."""
    return direction / np.sqrt((direction**2).sum(axis=0).clip(_TINY))


class Profile(ABC):
    """Fixes the speeds of moves as they leave the planner: those of a block, but for the last few of it.

    A column of numbers of the caller's goes along with each move. `add` takes moves; what it returns is ready. The
    result does not depend on how the moves are split: the planner sees `horizon` corners ahead and no further.
    """

    own: int
    """Rows of the waiting table before the caller's."""
    horizon: int

    def __init__(self) -> None:
        self._waiting: Floats | None = None

    def add(self, moves: Moves, columns: Floats) -> tuple[Floats, Floats]:
        """Return the seconds, and the caller's columns, of the moves that are ready now."""
        new = np.vstack((*self._rows(moves), columns))
        self._waiting = new if self._waiting is None else np.hstack((self._waiting, new))
        return self._take(self._waiting.shape[1] - self.horizon - 1)

    def finish(self) -> tuple[Floats, Floats]:
        """Return the rest: the machine stops at the end of the last move."""
        return self._take(0 if self._waiting is None else self._waiting.shape[1])

    def _take(self, count: int) -> tuple[Floats, Floats]:
        if self._waiting is None or count <= 0:
            rows = 0 if self._waiting is None else self._waiting.shape[0] - self.own
            return np.zeros(0), np.zeros((rows, 0))
        seconds = self._settled(self._waiting[: self.own], count)
        columns = self._waiting[self.own :, :count]
        self._waiting = self._waiting[:, count:]
        return seconds, columns

    @abstractmethod
    def _rows(self, moves: Moves) -> tuple[Floats, ...]:
        """Return the rows of the table that are the planner's own."""

    @abstractmethod
    def _settled(self, rows: Floats, count: int) -> Floats:
        """Return the seconds of the first moves, `count` of them; the others are what the planner sees ahead."""


class MarlinProfile(Profile):
    """Marlin's: a trapezoid for each move."""

    own = 4
    horizon = HORIZON

    def __init__(self) -> None:
        super().__init__()
        self._entry = 0.0  # square of the speed at which the first waiting move begins

    def _rows(self, moves: Moves) -> tuple[Floats, ...]:
        return moves.length, moves.nominal, moves.acceleration, moves.max_entry

    def _settled(self, rows: Floats, count: int) -> Floats:
        length, nominal, acceleration, max_entry = rows
        speeds = corner_speeds(2 * acceleration * length, max_entry, self._entry)
        self._entry = float(speeds[count])
        return durations(length, nominal, acceleration, speeds)[:count]


def corner_speeds(reach: Floats, max_entry: Floats, entry: float, horizon: int = HORIZON) -> Floats:
    """Return the squares of the speeds before each move, and after the last one, at which the machine stops.

    Args:
        reach: by how much the square of the speed can change on each move.
        max_entry: square of each corner's highest speed.
        entry: square of the speed at which the first move begins.
        horizon: moves that the planner sees ahead.
    """
    count = len(reach)
    run = np.concatenate(([0.0], np.cumsum(reach)))
    wanted = np.append(max_entry, 0.0)
    wanted[0] = entry
    # it can stop at the end of the moves that the planner knows
    known = run[np.minimum(np.arange(count + 1) + horizon, count)]
    brakes = np.minimum.accumulate((wanted + run)[::-1])[::-1]
    brakes = np.minimum(brakes, known)
    brakes[0] = entry
    speeds = np.minimum.accumulate(brakes - 2 * run) + run
    return np.maximum(speeds, 0.0)  # what is left of a sum of large numbers may be less


def durations(length: Floats, nominal: Floats, acceleration: Floats, corners: Floats) -> Floats:
    """Return the seconds of each move: speed up, cruise, slow down. `corners` are squares of speeds."""
    entry, leave = corners[:-1], corners[1:]
    speeds = np.sqrt(corners)
    reach = 2 * acceleration * length
    peak = np.minimum(nominal, np.sqrt((reach + entry + leave) / 2))
    ramps = (2 * peak - speeds[:-1] - speeds[1:]) / acceleration
    cruise = (reach + entry + leave - 2 * peak * peak) / (2 * acceleration * peak)
    return ramps + cruise
