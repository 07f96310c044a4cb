import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcode.arcs import MAX_CHORDS, centre_by_radius, chords, swept_angle

EAST, NORTH = (10.0, 0.0, 0.0, 0.0), (0.0, 10.0, 0.0, 3.0)
ORIGIN = (0.0, 0.0)


def length(points):
    return sum(math.dist(a[:3], b[:3]) for a, b in itertools.pairwise(points))


@pytest.mark.parametrize(("clockwise", "expected"), [(False, math.tau / 4), (True, -math.tau * 3 / 4)])
def test_arcs_turn_in_the_right_direction(clockwise, expected):
    assert swept_angle(EAST, NORTH, ORIGIN, clockwise=clockwise) == pytest.approx(expected)


@pytest.mark.parametrize("clockwise", [False, True])
def test_an_arc_has_its_exact_length(clockwise):
    points = [EAST, *chords(EAST, NORTH, ORIGIN, clockwise=clockwise)]
    assert length(points) == pytest.approx(10 * abs(swept_angle(EAST, NORTH, ORIGIN, clockwise=clockwise)), rel=1e-3)
    assert points[-1] == NORTH
    assert points[1][1] * (-1 if clockwise else 1) > 0


def test_equal_start_and_end_are_a_full_circle():
    points = [EAST, *chords(EAST, EAST, ORIGIN, clockwise=True)]
    assert length(points) == pytest.approx(10 * math.tau, rel=1e-3)
    assert points[-1] == EAST


def test_height_and_filament_change_evenly():
    points = list(chords(EAST, (10.0, 0.0, 5.0, 2.0), ORIGIN, clockwise=False))
    for n, point in enumerate(points, 1):
        assert point[2:] == pytest.approx((5 * n / len(points), 2 * n / len(points)))


def test_small_circles_have_as_many_chords_as_in_marlin_2_0():
    small = (0.5, 0.0, 0.0, 0.0)
    assert len(list(chords(small, small, ORIGIN, clockwise=False))) == 24
    assert len(list(chords(small, (0.0, 0.5, 0.0, 0.0), ORIGIN, clockwise=False))) == 6


@pytest.mark.parametrize(
    ("radius", "clockwise", "centre"),
    [(10, False, (0, 0)), (10, True, (10, 10)), (-10, False, (10, 10)), (-10, True, (0, 0))],
)
def test_the_r_form_has_the_right_centre(radius, clockwise, centre):
    assert centre_by_radius(EAST, NORTH, radius, clockwise=clockwise) == pytest.approx(centre)


def test_the_r_form_with_equal_start_and_end_has_no_centre():
    assert centre_by_radius(EAST, EAST, 10, clockwise=True) is None


@pytest.mark.parametrize("radius", [1e5, 1e9, 1e90])
def test_an_arc_of_any_size_is_bounded(radius):
    far = (radius, 0.0, 0.0, 0.0)
    assert len(list(chords(far, (-radius, 0.0, 5.0, 0.0), ORIGIN, clockwise=False))) <= MAX_CHORDS


_POSITION = st.tuples(*[st.floats(-100, 100)] * 4)


@given(_POSITION, _POSITION, st.tuples(st.floats(-100, 100), st.floats(-100, 100)), st.booleans())
def test_any_arc_ends_where_it_should(start, end, centre, clockwise):
    points = list(chords(start, end, centre, clockwise=clockwise))
    assert points[-1] == end
    radius = math.dist(start[:2], centre)
    for point in points[:-1]:
        assert math.dist(point[:2], centre) == pytest.approx(radius, abs=1e-6)
