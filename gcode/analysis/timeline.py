"""Timeline: adds up the durations of moves and waits, so the time at each of them is known."""

import math
from typing import Literal, get_args

import numpy as np

from gcode.analysis.arrays import Bools, Floats, Ints
from gcode.analysis.heat import HeatCommand, HeaterModels
from gcode.analysis.layers import Layers
from gcode.frozen import frozen
from gcode.planner import CAPACITY

MAX_POINTS = 2048  # points of the timeline
MAX_PENDING_WAITS = 4096  # waits before moves that have not come yet


TimeKind = Literal["motion", "dwell", "homing", "heating", "probing", "changes"]


@frozen
class TimedWait:
    """A wait, or a command for a heater, before a move.

    Attributes:
        before_move: number of the move.
        layer: the layer to which the time belongs; None: that of the move.
        offset: of its line in the file.
        kind: what the time is spent on: `dwell`, `homing`, `heating`, `probing`, `changes` (of tool or filament), or
            `motion` for a retraction by the firmware.
        seconds: its duration, to which `heat` may add.
        heat: the command for a heater.
    """

    before_move: int
    layer: int | None
    offset: int
    kind: TimeKind
    seconds: float = 0.0
    heat: HeatCommand | None = None


class Timeline:
    """Adds up the time; a wait has to be taken before the moves that follow it in the file."""

    def __init__(self, heaters: HeaterModels, layers: Layers) -> None:
        self.now = 0.0
        self.seconds: dict[TimeKind, float] = dict.fromkeys(get_args(TimeKind), 0.0)
        self._heaters = heaters
        self._layers = layers
        self._moves = 0  # number of moves taken
        self._waits: list[TimedWait] = []
        self._points: list[tuple[int, float]] = []
        self._tick = 0.25  # s from one point to the next
        self._recent_begins = np.zeros(CAPACITY)  # start times of the last moves
        self._wait_end = 0.0  # when the last wait ended
        self._has_rested = False  # since the last move taken
        self._around_waits: list[tuple[int, float]] = []  # points not in `_points` yet

    def add_wait(self, wait: TimedWait) -> None:
        """Take a wait, in the order of the file."""
        self._waits.append(wait)

    def add_moves(self, seconds: Floats, layer: Floats, offset: Floats) -> Floats:
        """Take the next moves; return the time at which each begins."""
        count = len(seconds)
        due = [each for each in self._waits if each.before_move < self._moves + count]
        self._waits = self._waits[len(due) :]
        run = np.concatenate(([0.0], np.cumsum(seconds)))
        begins = self.now + run[:-1]
        follows_wait, wait = None, 0.0
        if due or self._has_rested:
            waited = self._waits_before(due, run, layer)
            begins += waited
            follows_wait = np.diff(waited, prepend=0.0) > 0
            if count:
                follows_wait[0] |= self._has_rested
                self._has_rested = False
                wait = float(waited[-1])
        self._layers.add_seconds(layer, seconds)
        self._keep_points(self._take_times(begins, follows_wait), offset)
        self._moves += count
        self.seconds["motion"] += float(run[-1])
        self.now += float(run[-1]) + wait
        return begins

    def _take_times(self, begins: Floats, follows_wait: Bools | None) -> Floats:
        """Return when the firmware takes each move into its planner, which is full except after a wait."""
        all_begins = np.concatenate((self._recent_begins, begins))
        if follows_wait is None:
            self._recent_begins = all_begins[-CAPACITY:]
            return np.maximum(all_begins[: len(begins)], self._wait_end)
        since = np.maximum.accumulate(np.where(follows_wait, begins, self._wait_end))
        self._recent_begins = all_begins[-CAPACITY:]
        self._wait_end = float(since[-1]) if len(since) else self._wait_end
        return np.maximum(all_begins[: len(begins)], since)

    def _waits_before(self, due: list[TimedWait], run: Floats, layer: Floats) -> Floats:
        """Return the total duration of all waits before each move."""
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
            # if the host itself waits, the answer to the line comes when the wait begins
            self._around_waits += [(wait.offset, now), (wait.offset + 1, now + seconds)]
        self._layers.add_seconds(np.array([layer if wait.layer is None else wait.layer]), np.array([seconds]))
        return seconds

    @property
    def is_crowded(self) -> bool:
        """More waits are pending than any file for printing has."""
        return len(self._waits) > MAX_PENDING_WAITS

    def forget_superseded(self) -> None:
        """Drop the targets that are replaced before the heater has had any time."""
        waits: list[TimedWait] = []
        replaced: set[str] = set()
        move = -1
        for each in reversed(self._waits):
            if each.before_move != move or each.heat is None or each.heat.waits:
                move, replaced = each.before_move, set()
            if each.heat is None or each.heat.heater not in replaced:
                waits.append(each)
            if each.heat is not None:
                replaced.add(each.heat.heater)
        self._waits = waits[::-1]

    def take_waits(self) -> None:
        """Take the waits after the last move, because the file ends or the printer is at rest."""
        before = self.now
        for each in self._waits:
            self.now += self._take(each, self.now, self._layers.number)
        self._waits = []
        self._has_rested |= self.now > before
        self._keep_points(np.zeros(0), np.zeros(0))

    def _keep_points(self, taken: Floats, offset: Floats) -> None:
        """Keep a point for each tick; if there are too many, the ticks get longer."""
        indices = one_each_tick(taken, self._tick, self._points[-1][1] if self._points else -1.0)
        points = [*self._around_waits, *zip(offset[indices].astype(int).tolist(), taken[indices].tolist(), strict=True)]
        self._points += sorted(points)
        self._around_waits = []
        while len(self._points) > MAX_POINTS:
            self._tick *= 2
            times = np.array([seconds for _, seconds in self._points])
            self._points = [self._points[each] for each in one_each_tick(times, self._tick, -1.0).tolist()]

    @property
    def points(self) -> tuple[tuple[int, float], ...]:
        """Offsets in the file, and the times at which the firmware takes the commands there."""
        return tuple(self._points)


def one_each_tick(times: Floats, tick: float, last: float) -> Ints:
    """Return the indices of the first time in each tick, and of the last before a gap; between them, time is linear."""
    ticks = np.floor(times / tick)
    steps = np.diff(ticks, prepend=math.floor(last / tick))
    before_gap = np.append(steps[1:] > 1, False)
    return np.flatnonzero((steps > 0) | before_gap)
