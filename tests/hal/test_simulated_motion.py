import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal.simulated import motion
from hal.simulated.motion import FIRST_MOVE_DELAY, Limits, Planner, duration

HOME = (0.0, 0.0, 0.0, 0.0)


def _line(*points):
    return [motion.line(a, b) for a, b in itertools.pairwise(points)]


def _total(paths, feedrate, limits=None):
    """Return the seconds of moves that are all known at once."""
    planner = Planner(limits or Limits())
    for path in paths:
        planner.add(path, feedrate, 0.0)
    alone = FIRST_MOVE_DELAY if len(paths) < motion.ENOUGH_COMPANY else 0.0
    return planner.idle_at(0.0) - alone


def test_one_long_move_is_a_trapezoid():
    assert _total(_line(HOME, (100, 0, 0, 0)), 100) == pytest.approx(100 / 100 + 100 / 3000, rel=1e-6)


def test_one_short_move_is_a_triangle():
    assert _total(_line(HOME, (1, 0, 0, 0)), 1000) == pytest.approx(2 * math.sqrt(1 / 3000), rel=1e-6)


def test_the_slowest_axis_decides():
    assert _total(_line(HOME, (0, 0, 10, 0)), 100) == pytest.approx(10 / 5 + 5 / 100, rel=1e-6)
    slanted = _total(_line(HOME, (10, 0, 10, 0)), 100)
    assert slanted == pytest.approx(10 / 5 + 5 / 100, rel=1e-6)


def test_a_straight_line_in_pieces_takes_as_long_as_in_one():
    whole = _total(_line(HOME, (50, 0, 0, 0)), 80)
    pieces = _total(_line(HOME, *((10.0 * n, 0, 0, 0) for n in range(1, 6))), 80)
    assert pieces == pytest.approx(whole, rel=1e-6)


def test_turning_back_stops():
    there_and_back = _total(_line(HOME, (30, 0, 0, 0), HOME, (30, 0, 0, 0)), 80)
    assert there_and_back == pytest.approx(3 * _total(_line(HOME, (30, 0, 0, 0)), 80), rel=1e-6)


def test_a_right_angle_is_taken_at_the_junction_speed():
    limits = Limits(junction_deviation=0.02)
    paths = _line(HOME, (30, 0, 0, 0), (30, 30, 0, 0), (60, 30, 0, 0))
    half = math.sqrt(0.5)
    corner = math.sqrt(3000 * 0.02 * half / (1 - half))
    expected = sum(duration(30, a, 80, b, 3000) for a, b in ((0, corner), (corner, corner), (corner, 0)))
    assert _total(paths, 80, limits) == pytest.approx(expected, rel=1e-6)


def test_an_arc_is_as_long_as_it_is():
    quarter = motion.arc((10.0, 0.0, 0.0, 0.0), (0.0, 10.0, 0.0, 1.0), (0.0, 0.0), clockwise=False)
    assert quarter.length == pytest.approx(10 * math.pi / 2)
    longer = motion.arc((10.0, 0.0, 0.0, 0.0), (0.0, 10.0, 0.0, 1.0), (0.0, 0.0), clockwise=True)
    assert longer.length == pytest.approx(10 * math.pi * 3 / 2)
    circle = motion.arc((10.0, 0.0, 0.0, 0.0), (10.0, 0.0, 0.0, 0.0), (0.0, 0.0), clockwise=True)
    assert circle.length == pytest.approx(10 * math.tau)
    assert quarter.entry[:2] == pytest.approx((0, 1))
    assert quarter.exit[:2] == pytest.approx((-1, 0))
    assert longer.entry[:2] == pytest.approx((0, -1))


def test_the_planner_has_fifteen_places_and_says_when_one_is_free():
    planner = Planner(Limits())
    for n in range(15):
        planner.add(motion.line((n * 10.0, 0, 0, 0), (n * 10.0 + 10, 0, 0, 0)), 10, 0.0)
    assert planner.free(0.0) == 0
    free = planner.next_free(0.0)
    assert free == pytest.approx(1.0, abs=0.01)
    assert planner.free(free - 1e-6) == 0
    assert planner.free(free) == 1


def test_a_first_move_waits_for_company_unless_enough_is_there():
    planner = Planner(Limits())
    planner.add(motion.line(HOME, (10, 0, 0, 0)), 10, 5.0)
    alone = planner.idle_at(5.0)
    together = Planner(Limits())
    for path in _line(HOME, (10, 0, 0, 0), (20, 0, 0, 0), (30, 0, 0, 0)):
        together.add(path, 10, 5.0)
    assert alone == pytest.approx(5.0 + FIRST_MOVE_DELAY + 1.0, abs=0.01)
    assert together.next_free(5.0) == 5.0
    assert together.idle_at(5.0) == pytest.approx(5.0 + 3.0, abs=0.01)


@given(st.floats(0.01, 0.99))
def test_a_stop_leaves_the_machine_on_its_path(share):
    planner = Planner(Limits())
    planner.add(motion.line(HOME, (50, 0, 0, 0)), 50, 0.0)
    total = planner.idle_at(0.0) - FIRST_MOVE_DELAY
    stopped = planner.stop(FIRST_MOVE_DELAY + total * share)
    assert 0 < stopped[0] < 50
    assert stopped[1:] == (0, 0, 0)
    assert planner.free(1e3) == 15


_POINTS = st.lists(st.tuples(st.floats(0, 200), st.floats(0, 200), st.floats(0, 5)), min_size=2, max_size=15)


@given(_POINTS, st.floats(1, 300))
def test_no_print_is_faster_than_its_feedrate(points, feedrate):
    paths = [path for path in _line(*((*point, 0.0) for point in points)) if path is not None]
    if paths:
        total = _total(paths, feedrate)
        assert total >= sum(path.length for path in paths) / feedrate - 1e-6
        alone = sum(_total([path], feedrate) for path in paths)
        assert total <= alone + 1e-6


@given(_POINTS, st.floats(1, 300))
def test_speeds_are_continuous_and_can_be_reached(points, feedrate):
    planner = Planner(Limits())
    blocks = []
    for path in (path for path in _line(*((*point, 0.0) for point in points)) if path is not None):
        planner.add(path, feedrate, 0.0)
        blocks.append(planner._blocks[-1])
    planner.free(1e6)
    for before, after in itertools.pairwise(blocks):
        assert after.entry == pytest.approx(before.exit)
        assert after.entry <= after.max_entry + 1e-9
    for each in blocks:
        assert each.exit**2 - each.entry**2 <= 2 * each.acceleration * each.path.length + 1e-6
        assert each.entry**2 - each.exit**2 <= 2 * each.acceleration * each.path.length + 1e-6
