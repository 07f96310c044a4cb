"""Rows → straight moves: where each starts, how far each axis goes, how fast it was asked to.

A coordinate is set by absolute words and G92, and moved by relative ones: after each row it is the last value set
and the sum of what was added since. The machine's place is that plus a shift, which G92 and G28 change.
"""

from collections.abc import Iterator

import numpy as np

from gcode.analysis.arcs import chord_counts, expand, has_centre, is_arc
from gcode.analysis.arrays import Bools, Floats, Ints
from gcode.analysis.modal import ModalTracker, MoveKind, Rows
from gcode.analysis.speeds import has_length
from gcode.analysis.words import COLUMNS
from gcode.frozen import frozen

FEEDRATE = 25.0  # mm/s, where the file has given none: Marlin's 1500 mm/min
_PIECE = 50_000  # moves that are made of rows at a time: an arc is many
_FEEDRATE_ROW = COLUMNS.index("F")


@frozen
class Straights:
    """Straight moves, and the row that each comes from. Axes are rows: X, Y, Z, E.

    Attributes:
        start: in mm from the endstops; E as the extruder has turned.
        delta: mm that each axis goes.
        feedrate: mm/s asked for.
    """

    start: Floats
    delta: Floats
    feedrate: Floats
    row: Ints


@frozen
class Home:
    """A G28: at this row, from this place; None where an axis is not homed."""

    row: int
    distance: tuple[float | None, float | None, float | None]


class Path:
    """Follows the rows of one block after the other."""

    def __init__(self) -> None:
        self._logical = np.zeros(4)
        self._shift = np.zeros(3)
        self._feedrate = FEEDRATE
        self.homes: list[Home] = []  # of the last block
        self.extruded = np.zeros(0)  # mm that E goes in each row of the last block

    def follow(self, rows: Rows, modal: ModalTracker) -> Iterator[Straights]:
        """Return the moves of a block, some thousand at a time; `homes` are known then."""
        count = len(rows.kind)
        words = _without_refused(rows, _in_mm(rows, modal))
        moves = rows.kind <= MoveKind.COUNTERCLOCKWISE
        feedrate = self._feedrates(words[_FEEDRATE_ROW] / 60, moves)
        if not (modal.speed.constant and modal.speed.last == 1.0):
            feedrate = feedrate * modal.speed.column(count)
        place, delta = self._places(rows, words, moves, modal)
        return _pieces(rows, words, Straights(place, delta, feedrate, np.arange(count)))

    def _feedrates(self, given: Floats, moves: Bools) -> Floats:
        feedrate = _held(given, moves & (given > 0), self._feedrate)
        self._feedrate = float(feedrate[-1]) if len(feedrate) else self._feedrate
        return feedrate

    def _places(self, rows: Rows, words: Floats, moves: Bools, modal: ModalTracker) -> tuple[Floats, Floats]:
        """Return where each row starts, in the machine's coordinates, and how far it goes."""
        count = len(rows.kind)
        before = np.empty((4, count))
        after = np.empty((4, count))
        for axis in range(4):
            mode = modal.relative_e if axis == COLUMNS.index("E") else modal.relative
            relative = moves & mode.column(count) if not mode.constant or mode.last else None
            after[axis] = _positions(words[axis], relative, self._logical[axis])
            before[axis, :1], before[axis, 1:] = self._logical[axis], after[axis, :-1]
        if count:
            self._logical = after[:, -1].copy()
        delta = np.where(moves, after - before, 0.0)
        if not (modal.flow.constant and modal.flow.last == 1.0):
            delta[3] *= modal.flow.column(count)
        self.extruded = delta[3]
        before[:3] += self._shifts(rows, before, after)
        return before, delta

    def _shifts(self, rows: Rows, before: Floats, after: Floats) -> Floats:
        """Return what to add to a row's coordinates to get the machine's; few rows change it."""
        self.homes = []
        named = ~np.isnan(rows.words[:3]).all(axis=0)
        changes = np.flatnonzero((rows.kind >= MoveKind.SET) & (rows.kind <= MoveKind.HOME) & named)
        if not len(changes):
            return self._shift[:, None]
        steps = [self._shift.copy()]
        for row in changes.tolist():
            given = ~np.isnan(rows.words[:3, row])
            if rows.kind[row] == MoveKind.HOME:
                place = before[:3, row] + self._shift
                self.homes.append(_home(row, given, place))
                self._shift = np.where(given, 0.0, self._shift)
            else:
                self._shift = self._shift + np.where(given, before[:3, row] - after[:3, row], 0.0)
            steps.append(self._shift)
        counts = np.diff([0, *(changes + 1), len(rows.kind)])
        return np.repeat(np.array(steps).T, counts, axis=1)


def _home(row: int, given: Bools, place: Floats) -> Home:
    x, y, z = (float(at) if homed else None for homed, at in zip(given, place, strict=True))
    return Home(row, (x, y, z))


def _in_mm(rows: Rows, modal: ModalTracker) -> Floats:
    if modal.unit.constant and modal.unit.last == 1.0:
        return rows.words
    return rows.words * modal.unit.column(len(rows.kind))


def _without_refused(rows: Rows, words: Floats) -> Floats:
    """Return the words without the targets of arcs that a firmware refuses, for want of a centre."""
    refused = np.flatnonzero(is_arc(rows) & ~has_centre(words))
    if len(refused):
        words = words.copy()
        words[:4, refused] = np.nan
    return words


def _held(values: Floats, given: Bools, start: float) -> Floats:
    """Return the last value given up to each row; `start` before the first."""
    at = np.flatnonzero(given)
    steps = np.diff(at, prepend=0, append=len(values))
    return np.repeat(np.concatenate(([start], values[at])), steps)


def _positions(words: Floats, relative: Bools | None, start: float) -> Floats:
    """Return a coordinate after each row.

    Args:
        words: what each row says of it, maybe nothing.
        relative: where that is to be added; None: nowhere.
        start: the coordinate before the first row.
    """
    given = ~np.isnan(words)
    if relative is None:
        return _held(words, given, start)
    total = np.cumsum(np.where(given & relative, words, 0.0))
    return _held(words - total, given & ~relative, start) + total


def _pieces(rows: Rows, words: Floats, all_: Straights) -> Iterator[Straights]:
    """Yield what moves, arcs in their chords."""
    if not is_arc(rows).any():
        yield _take(all_, np.flatnonzero(has_length(all_.delta)))
        return
    counts = chord_counts(rows, words, all_.start, all_.delta)
    piece = np.cumsum(counts) // _PIECE
    for number in range(int(piece[-1]) + 1):
        part = np.flatnonzero(piece == number)
        start, delta, row = expand(rows, words, all_.start, all_.delta, part, counts)
        moved = np.flatnonzero(has_length(delta))
        yield Straights(start.take(moved, 1), delta.take(moved, 1), all_.feedrate[row[moved]], row[moved])


def _take(straights: Straights, kept: Ints) -> Straights:
    if len(kept) == len(straights.row):
        return straights
    # `take` keeps each axis in a row of its own in memory, which indexing by an array does not
    return Straights(straights.start.take(kept, 1), straights.delta.take(kept, 1), straights.feedrate[kept], kept)
