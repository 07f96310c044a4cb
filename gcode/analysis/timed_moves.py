"""MoveTimer: passes on moves together with their times, to draw them."""

from collections import deque
from collections.abc import Callable

from gcode.analysis.arrays import Bools, Floats, Ints
from gcode.frozen import frozen, mutable


@frozen
class TimedMoves:
    """Moves with their times. Axes are rows: X, Y, Z, E.

    Attributes:
        begins: start time of each, in s.
        seconds: duration of each.
        layer: number of its layer; 0 precedes the first.
        start: position at its start, in mm.
        delta: travel of each axis, in mm.
        offset: byte offset of its line in the file.
        tool: number of its tool.
        feature: its `features.Feature`.
        printing: it extrudes.
    """

    begins: Floats
    seconds: Floats
    layer: Floats
    start: Floats
    delta: Floats
    offset: Floats
    tool: Ints
    feature: Ints
    printing: Bools


@mutable
class UntimedMoves:
    """Moves without times yet; the fields are those of `TimedMoves`."""

    start: Floats
    delta: Floats
    offset: Floats
    tool: Ints
    feature: Ints
    printing: Bools

    def split_off(self, count: int) -> "UntimedMoves":
        """Remove the first `count` moves, and return them."""
        first = UntimedMoves(
            self.start[:, :count],
            self.delta[:, :count],
            self.offset[:count],
            self.tool[:count],
            self.feature[:count],
            self.printing[:count],
        )
        self.start, self.delta = self.start[:, count:], self.delta[:, count:]
        self.offset, self.tool, self.feature = self.offset[count:], self.tool[count:], self.feature[count:]
        self.printing = self.printing[count:]
        return first


class MoveTimer:
    """Holds moves until their times are known, at most as many as the planner holds."""

    def __init__(self, watch: Callable[[TimedMoves], None]) -> None:
        self._watch = watch
        self._waiting: deque[UntimedMoves] = deque()

    def add(self, moves: UntimedMoves) -> None:
        """Take moves, in the order of the file."""
        self._waiting.append(moves)

    def set_times(self, begins: Floats, seconds: Floats, layer: Floats) -> None:
        """Take times and layers of the next moves."""
        at = 0
        while at < len(seconds):
            moves = self._waiting[0].split_off(len(seconds) - at)
            end = at + len(moves.offset)
            if not len(self._waiting[0].offset):
                self._waiting.popleft()
            self._watch(
                TimedMoves(
                    begins[at:end],
                    seconds[at:end],
                    layer[at:end],
                    moves.start,
                    moves.delta,
                    moves.offset,
                    moves.tool,
                    moves.feature,
                    moves.printing,
                )
            )
            at = end
