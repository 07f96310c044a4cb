"""Splits the arcs of many rows at once into the chords of `gcode.arcs`."""

import math

import numpy as np

from gcode.analysis.arrays import Bools, Floats, Ints
from gcode.analysis.modal import MoveKind, Rows
from gcode.analysis.words import COLUMNS
from gcode.arcs import CHORD, MIN_CHORDS

_MAX_CHORDS = 1000  # of one arc: a metre of path
_TINY = 1e-6  # mm
_I, _J, _R = (COLUMNS.index(letter) for letter in "IJR")


def chord_counts(rows: Rows, words: Floats, start: Floats, delta: Floats) -> Ints:
    """Return the number of straight moves in each row: 1, unless the row is an arc."""
    arcs = _arcs(rows, words)
    _, radius, _, angle = _geometry(rows, words, start, delta, arcs)
    length = np.hypot(radius * angle, delta[2, arcs])
    least = np.ceil(MIN_CHORDS * np.abs(angle) / math.tau - _TINY)
    counts = np.ones(len(rows.kind), np.intp)
    counts[arcs] = np.where(radius > _TINY, np.clip(np.maximum(np.floor(length / CHORD), least), 1, _MAX_CHORDS), 1)
    return counts


def expand_arcs(
    rows: Rows, words: Floats, start: Floats, delta: Floats, part: Ints, counts: Ints
) -> tuple[Floats, Floats, Ints]:
    """Return start and delta of the chords of some rows, and the row of each chord.

    Args:
        rows: all of the block.
        words: parameters of the rows, in mm.
        start: position at the start of each row.
        delta: its travel.
        part: the rows to expand.
        counts: number of chords of each row.
    """
    row = np.repeat(part, counts[part])
    number = np.arange(len(row)) - np.repeat(np.cumsum(counts[part]) - counts[part], counts[part])
    step = delta.take(row, 1) / counts[row]
    begin = start.take(row, 1) + step * number
    arcs = _arcs(rows, words)
    arcs = arcs[counts[arcs] > 1]
    centre, radius, first, angle = _geometry(rows, words, start, delta, arcs)
    arc = np.full(len(rows.kind), -1)
    arc[arcs] = np.arange(len(arcs))
    curved = np.flatnonzero(arc[row] >= 0)
    which, turn = arc[row[curved]], angle[arc[row[curved]]] / counts[row[curved]]
    points = _points(centre[:, which], radius[which], first[which] + turn * number[curved])
    last = number[curved] == counts[row[curved]] - 1
    ends = _points(centre[:, which], radius[which], first[which] + turn * (number[curved] + 1))
    ends = np.where(last, (start + delta)[:2, row[curved]], ends)
    points = np.where(number[curved] == 0, start[:2, row[curved]], points)
    begin[:2, curved], step[:2, curved] = points, ends - points
    return begin, step, row


def is_arc(rows: Rows) -> Bools:
    """Tell which rows are G2 or G3."""
    return (rows.kind == MoveKind.CLOCKWISE) | (rows.kind == MoveKind.COUNTERCLOCKWISE)


def has_centre(words: Floats) -> Bools:
    """Tell which rows give a radius or a centre."""
    return _is_given(words[_I]) | _is_given(words[_J]) | _is_given(words[_R])


def _arcs(rows: Rows, words: Floats) -> Ints:
    return np.flatnonzero(is_arc(rows) & has_centre(words))


def _is_given(word: Floats) -> Bools:
    return ~np.isnan(word) & (word != 0)


def _points(centre: Floats, radius: Floats, angle: Floats) -> Floats:
    return centre + radius * np.array((np.cos(angle), np.sin(angle)))


def _geometry(
    rows: Rows, words: Floats, start: Floats, delta: Floats, arcs: Ints
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return centre, radius, angle of the start as seen from the centre, and signed turn of each arc."""
    begin, way = start[:2, arcs], delta[:2, arcs]
    clockwise = rows.kind[arcs] == MoveKind.CLOCKWISE
    offset = np.where(
        _is_given(words[_R, arcs]),
        _offset_by_radius(way, words[_R, arcs], clockwise),
        np.nan_to_num(words[[_I, _J]][:, arcs]),
    )
    radius = np.hypot(*offset)
    first = np.arctan2(-offset[1], -offset[0])
    last = np.arctan2(way[1] - offset[1], way[0] - offset[0])
    sign = np.where(clockwise, -1.0, 1.0)
    angle = (sign * (last - first)) % math.tau
    closed = np.hypot(*way) < _TINY
    return begin + offset, radius, first, sign * np.where(closed, math.tau, angle)


def _offset_by_radius(way: Floats, radius: Floats, clockwise: Bools) -> Floats:
    """Return the centre as seen from the start, for arcs given by a radius."""
    chord = np.maximum(np.hypot(*way), _TINY)
    height = np.sqrt(np.maximum(0.0, radius**2 - (chord / 2) ** 2))
    side = np.where(clockwise != (radius < 0), -1.0, 1.0)
    across = np.array((-way[1], way[0])) * (side * height / chord)
    return way / 2 + across
