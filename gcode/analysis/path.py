"""Path: turns rows into straight moves with start, travel of each axis, and feedrate.

Absolute parameters and G92 set a coordinate, and relative parameters add to it. So after each row the coordinate is the
last value that was set, plus the sum of all that was added since. The machine's position is the coordinate plus a
shift, which G92 and G28 change.
"""

from collections.abc import Iterator

import numpy as np

from gcode.analysis.arcs import chord_counts, expand_arcs, has_centre, is_arc
from gcode.analysis.arrays import Bools, Floats, Ints
from gcode.analysis.modal import ModalTracker, MoveKind, Rows
from gcode.analysis.speeds import has_length
from gcode.analysis.words import COLUMNS
from gcode.frozen import frozen

FEEDRATE = 25.0  # mm/s until the file sets one: Marlin's 1500 mm/min
_PIECE = 50_000  # moves in a piece; a block has many more if it has arcs
_FEEDRATE_ROW = COLUMNS.index("F")


@frozen
class StraightMoves:
    """Straight moves, and the row of each. Axes are rows: X, Y, Z, E.

    Attributes:
        start: position in mm; E counts all filament so far.
        delta: travel of each axis, in mm.
        feedrate: as set by the file, in mm/s.
        row: the row from which the move comes.
    """

    start: Floats
    delta: Floats
    feedrate: Floats
    row: Ints


@frozen
class Home:
    """A G28.

    Attributes:
        row: of the command.
        distance: of X, Y and Z from their endstops, in mm; None: the axis is not homed.
    """

    row: int
    distance: tuple[float | None, float | None, float | None]


class Path:
    """Follows the rows of blocks, in order."""

    def __init__(self) -> None:
        self._coordinates = np.zeros(4)
        self._shift = np.zeros(3)
        self._feedrate = FEEDRATE
        self.homes: list[Home] = []  # of the last block
        self.extruded = np.zeros(0)  # travel of E in each row of the last block, in mm

    def follow(self, rows: Rows, modal: ModalTracker) -> Iterator[StraightMoves]:
        """Return the moves of a block, at most about _PIECE at a time, and set `homes` and `extruded`."""
        count = len(rows.kind)
        words = _without_refused(rows, _in_mm(rows, modal))
        moves = rows.kind <= MoveKind.COUNTERCLOCKWISE
        feedrate = self._feedrates(words[_FEEDRATE_ROW] / 60, moves)
        if not (modal.speed.is_constant and modal.speed.last == 1.0):
            feedrate = feedrate * modal.speed.column(count)
        start, delta = self._travel(rows, words, moves, modal)
        return _pieces(rows, words, StraightMoves(start, delta, feedrate, np.arange(count)))

    def _feedrates(self, values: Floats, moves: Bools) -> Floats:
        feedrate = _fill_forward(values, moves & (values > 0), self._feedrate)
        self._feedrate = float(feedrate[-1]) if len(feedrate) else self._feedrate
        return feedrate

    def _travel(self, rows: Rows, words: Floats, moves: Bools, modal: ModalTracker) -> tuple[Floats, Floats]:
        """Return the start of each row in the machine's coordinates, and its travel."""
        count = len(rows.kind)
        before = np.empty((4, count))
        after = np.empty((4, count))
        for axis in range(4):
            mode = modal.relative_e if axis == COLUMNS.index("E") else modal.relative
            relative = moves & mode.column(count) if not mode.is_constant or mode.last else None
            after[axis] = _positions(words[axis], relative, self._coordinates[axis])
            before[axis, :1], before[axis, 1:] = self._coordinates[axis], after[axis, :-1]
        if count:
            self._coordinates = after[:, -1].copy()
        delta = np.where(moves, after - before, 0.0)
        if not (modal.flow.is_constant and modal.flow.last == 1.0):
            delta[3] *= modal.flow.column(count)
        self.extruded = delta[3]
        before[:3] += self._shifts(rows, before, after)
        return before, delta

    def _shifts(self, rows: Rows, before: Floats, after: Floats) -> Floats:
        """Return the shift from each row's coordinates to the machine's; few rows change it."""
        self.homes = []
        has_axis = ~np.isnan(rows.words[:3]).all(axis=0)
        changes = np.flatnonzero((rows.kind >= MoveKind.SET) & (rows.kind <= MoveKind.HOME) & has_axis)
        if not len(changes):
            return self._shift[:, None]
        steps = [self._shift.copy()]
        for row in changes.tolist():
            named = ~np.isnan(rows.words[:3, row])
            if rows.kind[row] == MoveKind.HOME:
                self.homes.append(_home(row, named, before[:3, row] + self._shift))
                self._shift = np.where(named, 0.0, self._shift)
            else:
                self._shift = self._shift + np.where(named, before[:3, row] - after[:3, row], 0.0)
            steps.append(self._shift)
        counts = np.diff([0, *(changes + 1), len(rows.kind)])
        return np.repeat(np.array(steps).T, counts, axis=1)


def _home(row: int, homed: Bools, position: Floats) -> Home:
    x, y, z = (float(at) if is_homed else None for is_homed, at in zip(homed, position, strict=True))
    return Home(row, (x, y, z))


def _in_mm(rows: Rows, modal: ModalTracker) -> Floats:
    if modal.unit.is_constant and modal.unit.last == 1.0:
        return rows.words
    return rows.words * modal.unit.column(len(rows.kind))


def _without_refused(rows: Rows, words: Floats) -> Floats:
    """Return the parameters without the end points of arcs that have no centre: a firmware refuses such arcs."""
    refused = np.flatnonzero(is_arc(rows) & ~has_centre(words))
    if len(refused):
        words = words.copy()
        words[:4, refused] = np.nan
    return words


def _fill_forward(values: Floats, is_set: Bools, start: float) -> Floats:
    """Return the value in force at each row: the last one that was set, or `start` if none was."""
    at = np.flatnonzero(is_set)
    steps = np.diff(at, prepend=0, append=len(values))
    return np.repeat(np.concatenate(([start], values[at])), steps)


def _positions(words: Floats, relative: Bools | None, start: float) -> Floats:
    """Return a coordinate after each row.

    Args:
        words: the parameter of each row; NaN: the row has none.
        relative: the parameter of a row is added; None: it is added in no row.
        start: the coordinate before the first row.
    """
    is_set = ~np.isnan(words)
    if relative is None:
        return _fill_forward(words, is_set, start)
    total = np.cumsum(np.where(is_set & relative, words, 0.0))
    return _fill_forward(words - total, is_set & ~relative, start) + total


def _pieces(rows: Rows, words: Floats, all_: StraightMoves) -> Iterator[StraightMoves]:
    """Yield the moves that have a length; an arc becomes its chords."""
    if not is_arc(rows).any():
        yield _take(all_, np.flatnonzero(has_length(all_.delta)))
        return
    counts = chord_counts(rows, words, all_.start, all_.delta)
    piece = np.cumsum(counts) // _PIECE
    for number in range(int(piece[-1]) + 1):
        part = np.flatnonzero(piece == number)
        start, delta, row = expand_arcs(rows, words, all_.start, all_.delta, part, counts)
        moved = np.flatnonzero(has_length(delta))
        yield StraightMoves(start.take(moved, 1), delta.take(moved, 1), all_.feedrate[row[moved]], row[moved])


def _take(straights: StraightMoves, indices: Ints) -> StraightMoves:
    if len(indices) == len(straights.row):
        return straights
    # `take` keeps each axis in a row of its own in memory, which indexing by an array does not
    start, delta = straights.start.take(indices, 1), straights.delta.take(indices, 1)
    return StraightMoves(start, delta, straights.feedrate[indices], indices)
