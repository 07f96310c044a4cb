"""Splits G2 and G3 as Marlin 2.0 does (gcode/motion/G2_G3.cpp): into chords of about a millimetre, each a move.

Marlin 2.1 makes at least 72 chords of a full circle (MIN_CIRCLE_SEGMENTS), which matters only for small circles.
"""

import math
from collections.abc import Iterator

from gcode.planner import Vector

CHORD = 1.0  # mm, MM_PER_ARC_SEGMENT
MIN_CHORDS = 24  # of a full circle, MIN_ARC_SEGMENTS
MAX_CHORDS = 65_535  # Marlin counts them in 16 bits

_TINY = 1e-6  # mm
_MAX_RADIUS = 1e6  # mm; an arc with a larger one is a straight line


def centre_by_radius(start: Vector, end: Vector, radius: float, *, clockwise: bool) -> tuple[float, float] | None:
    """Return the centre for the R form, where a negative radius takes the longer way; None: start and end coincide."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    chord = math.hypot(dx, dy)
    if chord < _TINY:
        return None
    height = math.sqrt(max(0.0, radius**2 - (chord / 2) ** 2))
    side = -1.0 if clockwise != (radius < 0) else 1.0
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    return middle[0] - side * height * dy / chord, middle[1] + side * height * dx / chord


def swept_angle(start: Vector, end: Vector, centre: tuple[float, float], *, clockwise: bool) -> float:
    """Return the angle from start to end around the centre, negative if clockwise; a full circle if they coincide."""
    first = math.atan2(start[1] - centre[1], start[0] - centre[0])
    last = math.atan2(end[1] - centre[1], end[0] - centre[0])
    sign = -1.0 if clockwise else 1.0
    angle = (sign * (last - first)) % math.tau
    closed = math.hypot(end[0] - start[0], end[1] - start[1]) < _TINY
    return sign * (math.tau if closed else angle)


def chords(start: Vector, end: Vector, centre: tuple[float, float], *, clockwise: bool) -> Iterator[Vector]:
    """Yield the ends of the moves that make up an arc in the XY plane; Z and E change evenly with the angle."""
    x, y = start[0] - centre[0], start[1] - centre[1]
    radius, angle = math.hypot(x, y), swept_angle(start, end, centre, clockwise=clockwise)
    first = math.atan2(y, x)
    count = _count(math.hypot(radius * angle, end[2] - start[2]), angle) if _TINY < radius < _MAX_RADIUS else 1
    for n in range(1, count):
        share = n / count
        here = first + angle * share
        yield (
            centre[0] + radius * math.cos(here),
            centre[1] + radius * math.sin(here),
            start[2] + (end[2] - start[2]) * share,
            start[3] + (end[3] - start[3]) * share,
        )
    yield end


def _count(length: float, angle: float) -> int:
    fine = min(length / CHORD, MAX_CHORDS)
    return max(1, int(fine), math.ceil(MIN_CHORDS * abs(angle) / math.tau - _TINY))
