"""Time: moves and waits one after the other, and the clock at each."""

import math
from typing import Literal, get_args

import numpy as np

from gcode.analysis.arrays import Bools, Floats, Ints
from gcode.analysis.heat import Heaters, HeatOrder
from gcode.analysis.layers import Layers
from gcode.frozen import frozen
from gcode.planner import PLACES

POINTS = 2048  # that are kept of the timeline
MANY_WAITS = 4096  # that are kept for the moves behind them


TimeKind = Literal["motion", "dwell", "homing", "heating", "probing", "changes"]


@frozen
class TimedWait:
    """The machine rests, or a heater gets a target, before the move with this number.

    Attributes:
        layer: that it counts to; None: that of the move.
        offset: of its line in the file.
        kind: what the time counts as: `dwell`, `homing`, `heating`, `probing`, `changes` (of tool or filament), or
            `motion` where the firmware moves by itself.
        seconds: known beforehand; `heat` may add to it.
    """

    before_move: int
    layer: int | None
    offset: int
    kind: TimeKind
    seconds: float = 0.0
    heat: HeatOrder | None = None


class Timeline:
    """Adds up the time. Waits are told before the moves behind them are."""

    def __init__(self, heaters: Heaters, layers: Layers) -> None:
        self.now = 0.0
        self.seconds: dict[TimeKind, float] = dict.fromkeys(get_args(TimeKind), 0.0)
        self._heaters = heaters
        self._layers = layers
        self._moves = 0  # that are behind
        self._waits: list[TimedWait] = []
        self._points: list[tuple[int, float]] = []
        self._tick = 0.25  # s from one point to the next
        self._begun = np.zeros(PLACES)  # when the last moves began
        self._rested = 0.0  # when the last wait ended
        self._has_rested = False  # since the last move that is behind
        self._around_waits: list[tuple[int, float]] = []  # points that are not in their place yet

    def wait(self, wait: TimedWait) -> None:
        """Take a wait; in the order of the file."""
        self._waits.append(wait)

    def moves(self, seconds: Floats, layer: Floats, offset: Floats) -> Floats:
        """Take the next moves; return the time at which each begins."""
        count = len(seconds)
        due = [each for each in self._waits if each.before_move < self._moves + count]
        self._waits = self._waits[len(due) :]
        run = np.concatenate(([0.0], np.cumsum(seconds)))
        begins = self.now + run[:-1]
        rested, wait = None, 0.0
        if due or self._has_rested:
            waited = self._waited(due, run, layer)
            begins += waited
            rested = np.diff(waited, prepend=0.0) > 0
            if count:
                rested[0] |= self._has_rested
                self._has_rested = False
                wait = float(waited[-1])
        self._layers.add_seconds(layer, seconds)
        self._keep_points(self._take_times(begins, rested), offset)
        self._moves += count
        self.seconds["motion"] += float(run[-1])
        self.now += float(run[-1]) + wait
        return begins

    def _take_times(self, begins: Floats, rested: Bools | None) -> Floats:
        """Return when the firmware takes each move: its planner is full, unless the machine has just rested."""
        begun = np.concatenate((self._begun, begins))
        if rested is None:
            self._begun = begun[-PLACES:]
            return np.maximum(begun[: len(begins)], self._rested)
        since = np.maximum.accumulate(np.where(rested, begins, self._rested))
        self._begun = begun[-PLACES:]
        self._rested = float(since[-1]) if len(since) else self._rested
        return np.maximum(begun[: len(begins)], since)

    def _waited(self, due: list[TimedWait], run: Floats, layer: Floats) -> Floats:
        """Return how long all waits before each move take together."""
        waited = np.zeros(len(run) - 1)
        for each in due:
            move = each.before_move - self._moves
            so_far = float(waited[move])
            waited[move:] += self._take(each, self.now + float(run[move]) + so_far, int(layer[move]))
        return waited

    def _take(self, wait: TimedWait, now: float, layer: int) -> float:
        seconds = wait.seconds
        if wait.heat is not None:
            seconds += self._heaters.follow(wait.heat, now)
        self.seconds[wait.kind] += seconds
        if seconds:
            # a host that waits itself has its answer to the line when the wait begins
            self._around_waits += [(wait.offset, now), (wait.offset + 1, now + seconds)]
        self._layers.add_seconds(np.array([layer if wait.layer is None else wait.layer]), np.array([seconds]))
        return seconds

    @property
    def crowded(self) -> bool:
        """There are more waits than a file has that is meant to be printed."""
        return len(self._waits) > MANY_WAITS

    def forget_superseded(self) -> None:
        """Drop the targets that another one follows before the heater had any time."""
        kept: list[TimedWait] = []
        followed: set[str] = set()
        place = -1
        for each in reversed(self._waits):
            if each.before_move != place or each.heat is None or each.heat.wait:
                place, followed = each.before_move, set()
            if each.heat is None or each.heat.heater not in followed:
                kept.append(each)
            if each.heat is not None:
                followed.add(each.heat.heater)
        self._waits = kept[::-1]

    def take_waits(self) -> None:
        """Take the waits behind the last move: the file ends there, or the machine rests."""
        before = self.now
        for each in self._waits:
            self.now += self._take(each, self.now, self._layers.number)
        self._waits = []
        self._has_rested |= self.now > before
        self._keep_points(np.zeros(0), np.zeros(0))

    def _keep_points(self, taken: Floats, offset: Floats) -> None:
        """Keep a point for each tick; when there are too many, the ticks get longer."""
        kept = one_each_tick(taken, self._tick, self._points[-1][1] if self._points else -1.0)
        points = [*self._around_waits, *zip(offset[kept].astype(int).tolist(), taken[kept].tolist(), strict=True)]
        self._points += sorted(points)
        self._around_waits = []
        while len(self._points) > POINTS:
            self._tick *= 2
            times = np.array([seconds for _, seconds in self._points])
            self._points = [self._points[each] for each in one_each_tick(times, self._tick, -1.0).tolist()]

    @property
    def points(self) -> tuple[tuple[int, float], ...]:
        """Place in the file, and time at which the firmware takes the command there."""
        return tuple(self._points)


def one_each_tick(times: Floats, tick: float, last: float) -> Ints:
    """Return the first of each tick, and the last before a gap: between two of them, time goes on evenly."""
    ticks = np.floor(times / tick)
    steps = np.diff(ticks, prepend=math.floor(last / tick))
    before_gap = np.append(steps[1:] > 1, False)
    return np.flatnonzero((steps > 0) | before_gap)
