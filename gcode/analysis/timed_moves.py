"""MoveTimer: passes on moves together with their times, to draw them."""

from collections import deque
from collections.abc import Callable

from gcode.analysis.arrays import Bools, Floats, Ints
from gcode.frozen import frozen


@frozen
class DrawnMoves:
    """Moves to draw. Axes are rows: X, Y, Z, E.

    Attributes:
        start: position at the start of each move, in mm.
        delta: travel of each axis, in mm.
        offset: byte offset of the move's line in the file.
        tool: number of the move's tool.
        feature: the move's `features.Feature`.
        printing: the move extrudes.
    """

    start: Floats
    delta: Floats
    offset: Floats
    tool: Ints
    feature: Ints
    printing: Bools

    def part(self, first: int, end: int) -> "DrawnMoves":
        """Return the moves from `first` up to `end`."""
        part = slice(first, end)
        return DrawnMoves(
            self.start[:, part],
            self.delta[:, part],
            self.offset[part],
            self.tool[part],
            self.feature[part],
            self.printing[part],
        )


@frozen
class TimedMoves:
    """Moves to draw, with their times.

    Attributes:
        moves: the moves.
        begins: start time of each move, in s.
        seconds: duration of each move.
        layer: number of each move's layer; 0 precedes the first layer.
    """

    moves: DrawnMoves
    begins: Floats
    seconds: Floats
    layer: Floats


class MoveTimer:
    """Holds moves until their times are known; between two pieces these are as many moves as the planner sees ahead."""

    def __init__(self, watch: Callable[[TimedMoves], None]) -> None:
        self._watch = watch
        self._waiting: deque[DrawnMoves] = deque()

    def add(self, moves: DrawnMoves) -> None:
        """Take moves, in the order of the file."""
        self._waiting.append(moves)

    def set_times(self, begins: Floats, seconds: Floats, layer: Floats) -> None:
        """Take times and layers of the next moves."""
        at = 0
        while at < len(seconds):
            moves = self._waiting.popleft()
            count = min(len(moves.offset), len(seconds) - at)
            if count < len(moves.offset):
                self._waiting.appendleft(moves.part(count, len(moves.offset)))
            end = at + count
            self._watch(TimedMoves(moves.part(0, count), begins[at:end], seconds[at:end], layer[at:end]))
            at = end
