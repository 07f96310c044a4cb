import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcode.analysis.klipper import KlipperCorners, KlipperProfile
from gcode.analysis.machine import Machine
from gcode.analysis.speeds import limit_rows
from gcode.command import parse
from gcode.planner import MotionLimits, convert_to_klipper, treat_as_guesses
from gcode.texts import words_of
from support import klipper_planner
from support.analysed import analyse

LIMITS = convert_to_klipper(treat_as_guesses(MotionLimits()))


def vectorised(moves, limits=LIMITS, cuts=()):
    corners, profile, seconds = KlipperCorners(), KlipperProfile(), []
    for begin, end in itertools.pairwise((0, *cuts, len(moves))):
        part = moves[begin:end]
        if not part:
            continue
        rests = np.zeros(len(part), np.bool_)
        rests[0] = begin == 0
        delta, speed = np.array([each for each, _ in part]).T.copy(), np.array([each for _, each in part])
        each = corners.plan_moves(delta, speed, rests, limit_rows([limits], [len(part)]))
        seconds.append(profile.add(each, np.zeros((1, len(part))))[0])
    return np.concatenate((*seconds, profile.finish()[0]))


STEP = st.integers(-400, 400).map(lambda value: value / 20)
MOVES = st.lists(
    st.tuples(
        st.tuples(STEP, STEP, st.sampled_from((0.0, 0.0, 0.0, 0.2)), st.sampled_from((0.0, 0.5, 1.5))).filter(any),
        st.sampled_from((20.0, 60.0, 150.0, 500.0)),
    ),
    min_size=1,
    max_size=40,
)


@given(MOVES)
def test_the_total_time_is_that_of_a_planner_move_by_move(moves):
    expected = klipper_planner.seconds(moves, LIMITS)
    assert vectorised(moves).sum() == pytest.approx(sum(expected), rel=0.03, abs=0.02)


@given(MOVES, st.lists(st.integers(0, 40), max_size=3))
def test_the_result_is_the_same_however_it_is_split(moves, cuts):
    at = sorted({min(each, len(moves)) for each in cuts})
    assert vectorised(moves, cuts=at) == pytest.approx(vectorised(moves))


def test_short_zigzags_are_limited_by_the_lower_acceleration():
    zigzag = [((0.5 if n % 2 else -0.5, 0.5, 0.0, 0.02), 300.0) for n in range(200)]
    gentle, harsh = LIMITS, convert_to_klipper(treat_as_guesses(MotionLimits()))
    harsh.cruise_ratio = 0.0
    slow, fast = (vectorised(zigzag, each).sum() for each in (gentle, harsh))
    assert slow > 1.05 * fast
    assert slow == pytest.approx(sum(klipper_planner.seconds(zigzag, gentle)), rel=0.02)


def test_a_file_sets_speed_acceleration_and_corners():
    machine = Machine(limits=convert_to_klipper(treat_as_guesses(MotionLimits())), limits_from="defaults")
    moves = "".join(f"G1 X{n % 2 * 100} Y{n} F30000\n" for n in range(50))
    plain = analyse("G28\n" + moves, machine)
    set_ = analyse("G28\nSET_VELOCITY_LIMIT VELOCITY=600 ACCEL=20000 SQUARE_CORNER_VELOCITY=20\n" + moves, machine)
    by_m204 = analyse("G28\nM204 S20000\n" + moves, machine)
    assert set_.motion_s < by_m204.motion_s < plain.motion_s
    assert plain.planner == "Klipper"


@pytest.mark.parametrize("slower", ["SET_VELOCITY_LIMIT ACCEL=500 VELOCITY=50", "M204 S500"])
def test_lower_limits_in_a_file_do_not_slow_retraction(slower):
    known = convert_to_klipper(MotionLimits())
    retract, feedrate = known.retract, known.feedrates[3]
    if slower.startswith("M204"):
        known.note(parse(slower))
    else:
        known.note_words(words_of(slower.partition(" ")[2]))
    assert known.printing == 500
    assert (known.retract, known.feedrates[3]) == (retract, feedrate)
