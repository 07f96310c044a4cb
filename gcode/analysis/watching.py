"""Moves as they are driven, for whoever wants to draw them."""

from collections import deque
from collections.abc import Callable

from gcode.analysis.arrays import Bools, Floats, Ints
from gcode.frozen import frozen, mutable


@frozen
class Driven:
    """Moves as they are driven. Axes are rows: X, Y, Z, E.

    Attributes:
        begins: the time at which each begins.
        seconds: how long each takes.
        layer: number of each; 0 comes before the first.
        start: where each starts.
        delta: mm that each axis goes.
        offset: of its line in the file, in bytes.
        tool: number of the one that it is for.
        feature: what it lays, see `features.Feature`.
        printing: it lays material.
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
class Read:
    """Moves as they are read: what of `Driven` is known then."""

    start: Floats
    delta: Floats
    offset: Floats
    tool: Ints
    feature: Ints
    printing: Bools

    def parted(self, count: int) -> "Read":
        """Return the first ones, and leave the others."""
        first = Read(
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


class Watching:
    """Tells of moves when their times are known; until then they wait here, no more of them than in the planner."""

    def __init__(self, watch: Callable[[Driven], None]) -> None:
        self._watch = watch
        self._waiting: deque[Read] = deque()

    def read(self, moves: Read) -> None:
        """Take moves, in the order of the file."""
        self._waiting.append(moves)

    def driven(self, begins: Floats, seconds: Floats, layer: Floats) -> None:
        """Take times and layers of the next moves."""
        at = 0
        while at < len(seconds):
            moves = self._waiting[0].parted(len(seconds) - at)
            end = at + len(moves.offset)
            if not len(self._waiting[0].offset):
                self._waiting.popleft()
            self._watch(
                Driven(
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
