"""The planner on the device's clock."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcode.planner import CAPACITY, MotionLimits, plan_blocks
from hal.simulated.motion import FIRST_MOVE_DELAY, MAX_UNDERRUN_S, Planner

HOME = (0.0, 0.0, 0.0, 0.0)


class Machine:
    """A planner, and its reports."""

    def __init__(self):
        self.driven, self.underruns = [], []
        self.planner = Planner(
            MotionLimits(), lambda *step: self.driven.append(step), lambda *step: self.underruns.append(step)
        )

    def drive(self, *positions, feedrate=10.0, now=0.0):
        """Add moves along X."""
        for start, end in itertools.pairwise(positions):
            self.planner.add((start, 0, 0, 0), (end, 0, 0, 0), feedrate, now)


@pytest.fixture
def machine():
    return Machine()


def test_the_planner_has_fifteen_slots_and_reports_the_next_free_one(machine):
    machine.drive(*range(0, 160, 10))
    assert machine.planner.count_free(0.0) == 0
    free = machine.planner.next_free_at(0.0)
    assert free == pytest.approx(1.0, abs=0.01)
    assert machine.planner.count_free(free - 1e-6) == 0
    assert machine.planner.count_free(free) == 1
    assert machine.planner.count_free(1e3) == CAPACITY


def test_a_first_move_waits_for_more_unless_enough_are_queued():
    alone, together = Machine(), Machine()
    alone.drive(0, 10, now=5.0)
    together.drive(0, 10, 20, 30, now=5.0)
    assert alone.planner.idle_at(5.0) == pytest.approx(5.0 + FIRST_MOVE_DELAY + 1.0, abs=0.01)
    assert together.planner.next_free_at(5.0) == 5.0
    assert together.planner.idle_at(5.0) == pytest.approx(5.0 + 3.0, abs=0.01)


def test_an_empty_planner_is_done_at_once(machine):
    assert machine.planner.idle_at(7.0) == 7.0
    assert machine.planner.add(HOME, HOME, 10, 7.0) is None
    assert machine.planner.count_free(7.0) == CAPACITY


def test_moves_are_reported_with_their_times(machine):
    machine.drive(0, 10, 20, 30)
    machine.planner.catch_up(1.5)
    assert [move.end[0] for move, _ in machine.driven] == [10]
    machine.planner.catch_up(100.0)
    assert [move.end[0] for move, _ in machine.driven] == [10, 20, 30]
    for (before, began), (_, next_began) in itertools.pairwise(machine.driven):
        assert next_began == pytest.approx(began + before.seconds)


def test_a_block_that_has_begun_ends_as_it_was_planned(machine):
    """The first move ends at rest if no other was queued when it began, whatever comes later."""
    machine.drive(0, 10)
    begun = FIRST_MOVE_DELAY + 0.5
    machine.drive(10, 20, 30, now=begun)
    machine.planner.catch_up(100.0)
    assert [move.exit > 0 for move, _ in machine.driven] == [False, True, False]


def test_a_starved_planner_is_slow():
    """Moves that come one at a time are driven from stop to stop."""
    full, starved = Machine(), Machine()
    full.drive(*range(0, 30, 2), feedrate=100.0)
    now = 0.0
    for start in range(0, 28, 2):
        now = starved.planner.idle_at(now)
        starved.drive(start, start + 2, feedrate=100.0, now=now)
    alone = 2 * math.sqrt(2 / 3000)
    assert starved.planner.idle_at(now) == pytest.approx(14 * (alone + FIRST_MOVE_DELAY), rel=1e-6)
    assert full.planner.idle_at(0.0) == pytest.approx(28 / 100 + 100 / 3000, rel=1e-6)


def test_a_late_move_is_reported_as_an_underrun(machine):
    machine.drive(0, 10)
    ended = machine.planner.idle_at(0.0)
    machine.drive(10, 20, now=ended + 0.25)
    assert machine.underruns == [(pytest.approx(ended), pytest.approx(0.25))]


@pytest.mark.parametrize("pause", [0.0, MAX_UNDERRUN_S + 0.1])
def test_short_and_long_gaps_are_not_underruns(machine, pause):
    machine.drive(0, 10)
    machine.drive(10, 20, now=machine.planner.idle_at(0.0) + pause)
    machine.planner.catch_up(50.0)
    machine.planner.note_synchronisation()
    machine.drive(20, 30, now=50.5)
    assert machine.underruns == []


def test_a_move_after_a_stop_is_no_underrun(machine):
    machine.drive(0, 10)
    machine.planner.stop(0.5)
    machine.drive(10, 20, now=1.0)
    assert machine.underruns == []


@given(st.floats(0.01, 0.99))
def test_a_stop_leaves_the_machine_on_its_path(share):
    machine = Machine()
    machine.drive(0, 50, 100, feedrate=50.0)
    seconds = (machine.planner.idle_at(0.0) - FIRST_MOVE_DELAY) / 2
    at = FIRST_MOVE_DELAY + seconds * share
    stopped = machine.planner.stop(at)
    assert 0 < stopped[0] < 51
    assert stopped[1:] == (0, 0, 0)
    assert machine.planner.count_free(at) == CAPACITY
    ((move, _),) = machine.driven
    assert move.end == pytest.approx(stopped)
    assert move.delta == pytest.approx(stopped)
    assert machine.planner.stop(at) is None


def test_the_position_within_a_move_follows_the_time(machine):
    machine.drive(0, 20, feedrate=10.0)
    assert machine.planner.position(0.05)[0] == 0
    assert machine.planner.position(FIRST_MOVE_DELAY + 1.0)[0] == pytest.approx(10, abs=0.05)
    assert machine.planner.position(10.0) is None


_POINTS = st.lists(st.tuples(st.floats(0, 200), st.floats(0, 200), st.floats(0, 5)), min_size=2, max_size=40)


@given(_POINTS, st.floats(1, 300))
def test_a_full_planner_is_as_fast_as_the_arithmetic(points, feedrate):
    moves = [((*a, 0.0), (*b, 0.0), feedrate) for a, b in itertools.pairwise(points)]
    limits = MotionLimits(min_segment_time=0.0)
    planner, now = Planner(limits), 3.0
    for start, end, speed in moves:
        now = planner.next_free_at(now)
        planner.add(start, end, speed, now)
    expected = sum(move.seconds for move in plan_blocks(moves, limits))
    taken = planner.idle_at(now) - 3.0
    assert taken == pytest.approx(expected, abs=FIRST_MOVE_DELAY + 1e-6)
    assert taken >= expected - 1e-6


@given(_POINTS, st.floats(1, 300), st.lists(st.floats(0, 3), max_size=40))
def test_frequent_queries_change_nothing(points, feedrate, queries):
    def end(queries):
        planner, now = Planner(MotionLimits()), 0.0
        for start, end in itertools.pairwise(points):
            while (free := planner.next_free_at(now)) > now:
                for each in queries:
                    if now < now + each < free:
                        now += each
                        planner.position(now)
                        planner.idle_at(now)
                now = free
            planner.add((*start, 0.0), (*end, 0.0), feedrate, now)
        return planner.idle_at(now)

    assert end(queries) == pytest.approx(end([]))
