"""G2 and G3 as Marlin drives them: chords of at most about a millimetre, each a move of its own."""

import math
from collections.abc import Iterator

from gcode.planner import Vector

CHORD = 1.0  # mm, MM_PER_ARC_SEGMENT
LEAST_CHORDS = 24  # of a full circle, MIN_ARC_SEGMENTS
MOST_CHORDS = 65_535  # Marlin counts them in 16 bits

_TINY = 1e-6  # mm
_WIDEST = 1e6  # mm of radius, beyond which an arc is a straight line


def centre_by_radius(start: Vector, end: Vector, radius: float, *, clockwise: bool) -> tuple[float, float] | None:
    """Return the centre for the R form; a negative radius goes the longer way round. None where there is none."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    chord = math.hypot(dx, dy)
    if chord < _TINY:
        return None
    height = math.sqrt(max(0.0, radius**2 - (chord / 2) ** 2))
    side = -1.0 if clockwise != (radius < 0) else 1.0
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    return middle[0] - side * height * dy / chord, middle[1] + side * height * dx / chord


def turn(start: Vector, end: Vector, centre: tuple[float, float], *, clockwise: bool) -> float:
    """Return the angle from start to end around the centre, negative if clockwise; a full circle where both are one."""
    begins = math.atan2(start[1] - centre[1], start[0] - centre[0])
    ends = math.atan2(end[1] - centre[1], end[0] - centre[0])
    sign = -1.0 if clockwise else 1.0
    angle = (sign * (ends - begins)) % math.tau
    closed = math.hypot(end[0] - start[0], end[1] - start[1]) < _TINY
    return sign * (math.tau if closed else angle)


def chords(start: Vector, end: Vector, centre: tuple[float, float], *, clockwise: bool) -> Iterator[Vector]:
    """Yield the ends of the moves that make up the arc in the XY plane; Z and E change evenly with the angle."""
    x, y = start[0] - centre[0], start[1] - centre[1]
    radius, angle = math.hypot(x, y), turn(start, end, centre, clockwise=clockwise)
    begins = math.atan2(y, x)
    count = _count(math.hypot(radius * angle, end[2] - start[2]), angle) if _TINY < radius < _WIDEST else 1
    for n in range(1, count):
        share = n / count
        at = begins + angle * share
        yield (
            centre[0] + radius * math.cos(at),
            centre[1] + radius * math.sin(at),
            start[2] + (end[2] - start[2]) * share,
            start[3] + (end[3] - start[3]) * share,
        )
    yield end


def _count(length: float, angle: float) -> int:
    fine = min(length / CHORD, MOST_CHORDS)
    return max(1, int(fine), math.ceil(LEAST_CHORDS * abs(angle) / math.tau - _TINY))
