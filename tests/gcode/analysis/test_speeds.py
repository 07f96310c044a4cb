"""The planner for many moves at once gives the times of the planner move by move."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcode import planner
from gcode.analysis.speeds import HORIZON, Corners, MarlinProfile, has_length, limit_rows
from gcode.planner import MotionLimits

_STEP = st.sampled_from([0.0, 0.0, 0.01, 0.4, 1.0, 30.0, -0.02, -0.4, -5.0, 2.5])
MOVES = st.lists(st.tuples(_STEP, _STEP, _STEP, _STEP, st.sampled_from([0.0, 1.0, 20.0, 60.0, 250.0])), max_size=80)


def seconds(moves, limits: MotionLimits, size: int = 10**6) -> np.ndarray:
    table = np.array(moves).reshape(-1, 5)
    table = table[has_length(table[:, :4].T)]
    corners, profile, parts = Corners(), MarlinProfile(), []
    for at in range(0, len(table), size):
        part = table[at : at + size]
        rests = np.zeros(len(part), np.bool_)
        each = corners.plan_moves(part[:, :4].T.copy(), part[:, 4], rests, limit_rows([limits], [len(part)]))
        parts.append(profile.add(each, np.zeros((0, len(part))))[0])
    return np.concatenate([*parts, profile.finish()[0]])


def one_by_one(moves, limits: MotionLimits) -> list[float]:
    position, steps = (0.0, 0.0, 0.0, 0.0), []
    for *delta, feedrate in moves:
        end = tuple(a + b for a, b in zip(position, delta, strict=True))
        steps.append((position, end, feedrate))
        position = end
    return [each.seconds for each in planner.plan_blocks(steps, limits)]


@pytest.mark.parametrize("classic_jerk", [True, False])
def test_speeds_match_those_move_by_move(classic_jerk):
    limits = MotionLimits(classic_jerk=classic_jerk, min_segment_time=0.0)

    @given(MOVES)
    def check(moves):
        assert seconds(moves, limits) == pytest.approx(one_by_one(moves, limits), rel=1e-5, abs=1e-7)

    check()


@given(MOVES, st.integers(1, 40))
def test_the_result_is_the_same_however_moves_are_split(moves, size):
    limits = MotionLimits(classic_jerk=True)
    assert seconds(moves, limits, size) == pytest.approx(seconds(moves, limits), rel=1e-9, abs=1e-12)


def test_a_single_move_starts_and_ends_at_rest():
    # 100 mm at 50 mm/s and 500 mm/s²: ramps of 2.5 mm and 0.1 s at both ends
    limits = MotionLimits(travel=500.0, accelerations=[500.0] * 4)
    assert seconds([(100.0, 0, 0, 0, 50.0)], limits).sum() == pytest.approx(95 / 50 + 0.2, rel=1e-3)


def test_a_short_move_never_reaches_its_speed():
    limits = MotionLimits(travel=500.0, accelerations=[500.0] * 4)
    assert seconds([(1.0, 0, 0, 0, 300.0)], limits).sum() == pytest.approx(2 * (1 / 500) ** 0.5, rel=1e-3)


def test_a_straight_line_in_pieces_takes_as_long_as_in_one():
    limits = MotionLimits(travel=500.0, accelerations=[500.0] * 4)
    whole = seconds([(100.0, 0, 0, 0, 50.0)], limits).sum()
    assert seconds([(5.0, 0, 0, 0, 50.0)] * 20, limits).sum() == pytest.approx(whole, rel=1e-6)


def test_a_straight_line_in_tiny_pieces_is_slowed_down_by_the_look_ahead():
    # of 0.1 mm each, the planner sees 1.3 mm: it can brake from 36 mm/s on that
    limits = MotionLimits(travel=500.0, accelerations=[500.0] * 4)
    taken = seconds([(0.1, 0, 0, 0, 300.0)] * 1000, limits).sum()
    assert taken == pytest.approx(100 / (2 * 500 * 0.1 * HORIZON) ** 0.5, rel=0.02)


def test_the_slowest_axis_limits_the_move():
    limits = MotionLimits(feedrates=[300.0, 300.0, 5.0, 25.0], travel=1e9, accelerations=[1e9] * 4)
    assert seconds([(50.0, 0, 50.0, 0, 300.0)], limits).sum() == pytest.approx(10.0, rel=1e-3)
