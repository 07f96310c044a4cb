"""The planner against closed forms: the time of a move, a corner, a zig-zag and a circle."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcode.arcs import chords
from gcode.command import Command, parse
from gcode.planner import (
    CAPACITY,
    LookAhead,
    MotionLimits,
    duration,
    make_block,
    plan_blocks,
    safe_speed,
    share_travelled,
    squared_corner_speed,
)

HOME = (0.0, 0.0, 0.0, 0.0)
EXACT = {"rel": 1e-3}  # 0.1 %


def limits(**changed):
    """Return limits of a plain machine: 1000 mm/s² everywhere, and no axis is slower than the file asks."""
    plain = {
        "feedrates": [1000.0] * 4,
        "accelerations": [1000.0] * 4,
        "printing": 1000.0,
        "travel": 1000.0,
        "retract": 1000.0,
        "min_segment_time": 0.0,
    }
    return MotionLimits(**(plain | changed))


def jerky(*jerk, **changed):
    return limits(classic_jerk=True, jerk=list(jerk), **changed)


def total(points, feedrate, machine):
    """Return the seconds of a polyline through these points, whose missing axes are 0."""
    ends = [(*point, 0.0, 0.0, 0.0, 0.0)[:4] for point in points]
    moves = ((start, end, feedrate) for start, end in itertools.pairwise(ends))
    return sum(move.seconds for move in plan_blocks(moves, machine))


def trapezoid(length, speed, acceleration, entry=0.0, leave=0.0):
    """Return the seconds of one move, worked out independently of the planner."""
    peak = min(speed, math.sqrt((2 * acceleration * length + entry**2 + leave**2) / 2))
    ramps = (2 * peak**2 - entry**2 - leave**2) / (2 * acceleration)
    return (2 * peak - entry - leave) / acceleration + (length - ramps) / peak


# ── one move ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_long_move_speeds_up_cruises_and_slows_down():
    assert total([(0,), (100,)], 50, limits()) == pytest.approx(100 / 50 + 50 / 1000, **EXACT)


def test_a_short_move_never_reaches_its_feedrate():
    assert total([(0,), (1,)], 500, limits()) == pytest.approx(2 * math.sqrt(1 / 1000), **EXACT)


@pytest.mark.parametrize(
    ("end", "kind"), [((50, 0, 0, 5), "printing"), ((50, 0, 0, 0), "travel"), ((0, 0, 0, 50), "retract")]
)
def test_each_kind_of_move_has_its_acceleration(end, kind):
    machine = limits(**{kind: 400.0})
    assert total([(), end], 100, machine) == pytest.approx(50 / 100 + 100 / 400, **EXACT)


def test_the_slowest_axis_limits_speed_and_acceleration():
    machine = limits(feedrates=[1000, 1000, 5, 1000], accelerations=[1000, 1000, 100, 1000])
    alone = total([(0, 0, 0), (0, 0, 10)], 100, machine)
    assert alone == pytest.approx(10 / 5 + 5 / 100, **EXACT)
    assert total([(0, 0, 0), (10, 0, 10)], 100, machine) == pytest.approx(alone, **EXACT)


def test_minimum_feedrates_are_respected():
    machine = limits(min_feedrate=20.0, min_travel_feedrate=40.0)
    assert make_block(HOME, (10, 0, 0, 1), 1, machine).nominal == 20
    assert make_block(HOME, (0, 0, 0, 1), 1, machine).nominal == 20
    assert make_block(HOME, (10, 0, 0, 0), 1, machine).nominal == 40


def test_a_command_without_a_move_makes_no_block():
    assert make_block(HOME, HOME, 100, limits()) is None
    assert make_block(HOME, (math.inf, 0, 0, 0), 100, limits()) is None


def test_every_move_ends_however_slow():
    assert total([(0,), (1,)], 0, limits()) == pytest.approx(1 / 0.05, **EXACT)


# ── corners ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("machine", [limits(), jerky(10, 10, 1, 5)])
@pytest.mark.parametrize("length", [0.3, 0.5, 1, 10])
def test_a_straight_continuation_is_no_corner(machine, length):
    whole = total([(0,), (12 * length,)], 80, machine)
    assert total([(n * length,) for n in range(13)], 80, machine) == pytest.approx(whole, rel=1e-6)


def test_a_right_angle_by_junction_deviation_is_taken_at_its_speed():
    half = math.sin(math.pi / 4)
    speed = math.sqrt(1000 * 0.02 * half / (1 - half))
    expected = trapezoid(30, 80, 1000, 0, speed) + trapezoid(30, 80, 1000, speed, 0)
    machine = limits(junction_deviation=0.02)
    assert total([(0, 0), (30, 0), (30, 30)], 80, machine) == pytest.approx(expected, **EXACT)


@pytest.mark.parametrize("degrees", [30, 60, 120, 150])  # of the turn
def test_any_angle_by_junction_deviation_is_taken_at_its_speed(degrees):
    angle = math.radians(degrees)
    half = math.sin((math.pi - angle) / 2)
    speed = math.sqrt(1000 * 0.02 * half / (1 - half))
    expected = trapezoid(30, 80, 1000, 0, speed) + trapezoid(30, 80, 1000, speed, 0)
    points = [(0, 0), (30, 0), (30 + 30 * math.cos(angle), 30 * math.sin(angle))]
    assert total(points, 80, limits(junction_deviation=0.02)) == pytest.approx(expected, **EXACT)


def test_a_corner_keeps_within_the_acceleration_of_each_axis():
    slow = limits(accelerations=[1000, 250, 1000, 1000])
    before, after = make_block(HOME, (30, 0, 0, 0), 80, slow), make_block((30, 0, 0, 0), (60, 30, 0, 0), 80, slow)
    turned = (math.sqrt(0.5) - 1, math.sqrt(0.5))  # the change of direction, of 45°
    share = turned[1] / math.hypot(*turned)
    half = math.sin(math.radians(135) / 2)
    assert squared_corner_speed(before, after, slow) == pytest.approx(250 / share * 0.013 * half / (1 - half))


def test_the_corner_speed_is_continuous_where_extruder_and_head_are_equally_fast():
    def turn(extruded):
        before, after = (
            make_block(HOME, (0, 0, 0, -1), 20, limits()),
            make_block((0, 0, 0, -1), (1, 0, 0, extruded - 1), 20, limits()),
        )
        return squared_corner_speed(before, after, limits())

    assert turn(1.0) == pytest.approx(turn(1.000_001), rel=1e-4)
    assert turn(1.0) > 0


def test_turning_back_stops_by_junction_deviation():
    there = trapezoid(30, 80, 1000)
    assert total([(0,), (30,), (0,), (30,)], 80, limits()) == pytest.approx(3 * there, **EXACT)


def test_a_right_angle_by_jerk_is_taken_at_the_lower_jerk():
    # each axis changes by its whole speed, so the lower jerk of the two is the speed of the corner
    expected = trapezoid(30, 80, 1000, 0, 10) + trapezoid(30, 80, 1000, 10, 0)
    assert total([(0, 0), (30, 0), (30, 30)], 80, jerky(10, 10, 1, 5)) == pytest.approx(expected, **EXACT)
    slower = trapezoid(30, 80, 1000, 0, 4) + trapezoid(30, 80, 1000, 4, 0)
    assert total([(0, 0), (30, 0), (30, 30)], 80, jerky(10, 4, 1, 5)) == pytest.approx(slower, **EXACT)


def test_a_slight_corner_by_jerk_is_taken_at_the_speed_at_which_the_axes_jump_by_it():
    angle = math.radians(20)
    speed = 4 / math.sin(angle)  # Y jumps by 4 mm/s; X by less
    expected = trapezoid(30, 80, 1000, 0, speed) + trapezoid(30, 80, 1000, speed, 0)
    points = [(0, 0), (30, 0), (30 + 30 * math.cos(angle), 30 * math.sin(angle))]
    assert total(points, 80, jerky(4, 4, 1, 5)) == pytest.approx(expected, **EXACT)


def test_an_axis_that_turns_back_jumps_by_the_larger_of_its_speeds():
    angle = math.radians(10)
    speed = 8 / math.sin(angle)
    expected = trapezoid(30, 80, 1000, 0, speed) + trapezoid(30, 80, 1000, speed, 0)
    across, up = 30 * math.cos(angle), 30 * math.sin(angle)
    assert total([(0, 0), (across, up), (2 * across, 0)], 80, jerky(8, 8, 1, 5)) == pytest.approx(expected, **EXACT)


@pytest.mark.parametrize(("machine", "speed"), [(limits(), 20), (jerky(9, 9, 1, 5), 9)])
def test_a_straight_continuation_at_another_feedrate_does_not_stop(machine, speed):
    """By jerk the faster move is compared at its full speed: both meet at the speed to which each may jump."""
    slow, fast = trapezoid(30, 20, 1000, 0, speed), trapezoid(30, 80, 1000, speed, 0)
    faster = plan_blocks([(HOME, (30, 0, 0, 0), 20), ((30, 0, 0, 0), (60, 0, 0, 0), 80)], machine)
    assert [move.seconds for move in faster] == pytest.approx([slow, fast], **EXACT)


def test_a_straight_continuation_at_a_lower_feedrate_slows_down():
    slower = plan_blocks([(HOME, (30, 0, 0, 0), 80), ((30, 0, 0, 0), (60, 0, 0, 0), 20)], limits())
    expected = [trapezoid(30, 80, 1000, 0, 20), trapezoid(30, 20, 1000, 20, 0)]
    assert [move.seconds for move in slower] == pytest.approx(expected, **EXACT)


def test_from_rest_a_move_may_jump_to_the_jerk_of_its_strictest_axis():
    machine = jerky(10, 5, 1, 5)
    assert safe_speed(make_block(HOME, (30, 40, 0, 0), 100, machine), machine.jerk) == pytest.approx(5 / 0.8)
    assert safe_speed(make_block(HOME, (30, 40, 0, 0), 4, machine), machine.jerk) == 4


# ── many moves ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("count", [9, 99])
def test_a_zigzag_by_junction_deviation_is_taken_at_the_speed_of_its_corners(count):
    """Teeth of 10 mm at 90°: each is entered and left at the speed of its corners."""
    half = math.sin(math.pi / 4)
    speed = math.sqrt(1000 * 0.05 * half / (1 - half))
    step = 10 * math.sqrt(0.5)
    points = [(n * step, (n % 2) * step) for n in range(count + 1)]
    inner = trapezoid(10, 150, 1000, speed, speed)
    expected = 2 * trapezoid(10, 150, 1000, 0, speed) + (count - 2) * inner
    assert total(points, 150, limits(junction_deviation=0.05)) == pytest.approx(expected, **EXACT)


def test_a_zigzag_by_jerk_is_taken_at_the_speed_of_its_corners():
    points = [(n * 2.0, (n % 2) * 2.0) for n in range(60)]
    side = 2 * math.sqrt(2)
    speed = 8 * math.sqrt(2)  # at which Y turns back by 8 mm/s
    expected = trapezoid(side, 150, 1000, 0, speed) * 2 + 57 * trapezoid(side, 150, 1000, speed, speed)
    assert total(points, 150, jerky(8, 8, 1, 5)) == pytest.approx(expected, **EXACT)


def test_a_full_circle_takes_its_length_at_a_speed_that_its_chords_allow():
    start = (20.0, 0.0, 0.0, 0.0)
    points = [start, *chords(start, start, (0.0, 0.0), clockwise=False)]
    expected = math.tau * 20 / 30 + 30 / 1000
    assert total(points, 30, limits(junction_deviation=0.3)) == pytest.approx(expected, **EXACT)


def test_a_circle_that_is_too_tight_is_driven_at_the_speed_of_its_radius():
    """Short chords: no faster than a circle with as much acceleration to its centre (v² = a·r)."""
    points = [(math.cos(n * math.tau / 60), math.sin(n * math.tau / 60)) for n in range(601)]
    speed = math.sqrt(1000 * 1.0)
    assert total(points, 300, limits(junction_deviation=0.05)) == pytest.approx(math.tau * 10 / speed, rel=0.01)


def test_the_look_ahead_ends_with_the_queue():
    """A speed from which more than 14 short moves are needed to stop is never reached."""
    points = [(n * 0.5,) for n in range(201)]
    look_ahead = 14 * 0.5
    fastest = math.sqrt(2 * 1000 * look_ahead)
    moves = [make_block((x, 0, 0, 0), (x + 0.5, 0, 0, 0), 500, limits()) for (x,) in points]
    assert all(move.nominal == 500 for move in moves)
    driven = list(plan_blocks((((x, 0, 0, 0), (x + 0.5, 0, 0, 0), 500) for (x,) in points), limits()))
    assert max(move.exit for move in driven) == pytest.approx(fastest**2, rel=0.08)


def test_few_short_moves_are_slowed_down_by_the_minimum_segment_time():
    machine = limits(min_segment_time=0.02)
    short = [
        make_block((x, 0, 0, 0), (x + 0.5, 0, 0, 0), 100, machine, queued) for x, queued in enumerate([1, 2, 7, 8])
    ]
    # 5 ms at 100 mm/s; 15 ms are missing
    assert [move.nominal for move in short] == pytest.approx([100, 0.5 / 0.02, 0.5 / (0.005 + 2 * 0.015 / 7), 100])
    assert make_block(HOME, (10, 0, 0, 0), 100, machine, 2).nominal == 100


_POINTS = st.sampled_from([0.1, 1, 40]).flatmap(
    lambda size: st.lists(st.tuples(*[st.floats(0, 5 * size)] * 3, st.floats(0, size)), min_size=2, max_size=25)
)
_MACHINES = st.builds(
    lambda jerk, deviation, classic: MotionLimits(jerk=jerk, junction_deviation=deviation, classic_jerk=classic),
    st.lists(st.floats(0.1, 30), min_size=4, max_size=4),
    st.floats(0.01, 0.3),
    st.booleans(),
)


@given(_POINTS, st.lists(st.floats(1, 300), min_size=1, max_size=3), _MACHINES)
def test_speeds_are_continuous_reachable_and_allowed(points, feedrates, machine):
    pairs = zip(itertools.pairwise(points), itertools.cycle(feedrates), strict=False)
    moves = [(start, end, feedrate) for (start, end), feedrate in pairs]
    driven = list(plan_blocks(moves, machine))
    for before, after in itertools.pairwise(driven):
        assert after.entry == before.exit
        assert after.entry <= after.max_entry + 1e-9
    for each in driven:
        assert abs(each.exit - each.entry) <= each.reach * (1 + 1e-9) + 1e-9
        assert max(each.exit, each.entry) <= each.nominal**2 + 1e-6
        assert each.seconds >= each.length / each.nominal * (1 - 1e-9)
    if driven:
        assert driven[-1].exit == 0


@given(_POINTS, st.floats(1, 300), _MACHINES)
def test_look_ahead_never_makes_a_print_slower(points, feedrate, machine):
    moves = [(start, end, feedrate) for start, end in itertools.pairwise(points)]
    machine.min_segment_time = 0.0
    together = sum(move.seconds for move in plan_blocks(moves, machine))
    assert together <= sum(move.seconds for each in moves for move in plan_blocks([each], machine)) * (1 + 1e-9)


@given(st.floats(0.01, 300), st.floats(0.001, 100), st.floats(0, 1))
def test_positions_within_a_move_agree_with_its_speed(feedrate, length, share):
    (move,) = plan_blocks([(HOME, (length, 0, 0, 0), feedrate)], limits())
    assert move.seconds == duration(move)
    at, step = share * move.seconds, move.seconds / 1e4
    here, soon = share_travelled(move, at), share_travelled(move, at + step)
    assert 0 <= here <= soon <= 1
    assert (soon - here) * length <= move.nominal * step * (1 + 1e-6) + 1e-9
    assert share_travelled(move, 0.0) == 0
    assert share_travelled(move, move.seconds) == 1


def test_a_copy_is_independent():
    planner = LookAhead(limits())
    for n in range(CAPACITY):
        planner.add((n, 0, 0, 0), (n + 1, 0, 0, 0), 100)
    planner.fetch()
    copy = planner.copy()
    ahead = [copy.fetch().seconds for _ in range(len(copy.waiting))]
    assert len(planner.waiting) == CAPACITY - 1
    assert [planner.fetch().seconds for _ in range(CAPACITY - 1)] == ahead


_ANYTHING = st.floats(allow_nan=False)


@given(
    st.lists(st.tuples(*[_ANYTHING] * 4, _ANYTHING), max_size=20),
    st.lists(st.tuples(st.sampled_from(["M201", "M203", "M204", "M205"]), _ANYTHING), max_size=6),
    st.booleans(),
)
def test_every_move_of_any_file_takes_time(positions, settings, classic):
    machine = MotionLimits(classic_jerk=classic)
    for code, value in settings:
        machine.note(Command(code, dict.fromkeys("XYZEPRTJSB", value)))
    moves = [(a[:4], b[:4], b[4]) for a, b in itertools.pairwise(positions)]
    for move in plan_blocks(moves, machine):
        assert 0 < move.seconds < math.inf
        assert 0 <= share_travelled(move, move.seconds / 2) <= 1


# ── limits ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_limits_follow_commands():
    machine = MotionLimits()
    noted = [
        machine.note(parse(line))
        for line in ("M201 X9000 Z500 E0", "M203 X500 Y-1", "M204 P1500 R1250", "M204 T700", "M205 X8 Z0.4 E2.5 J0.05")
    ]
    assert all(noted)
    assert machine.accelerations == [9000, 3000, 500, 10000]
    assert machine.feedrates == [500, 300, 5, 25]
    assert (machine.printing, machine.retract, machine.travel) == (1500, 1250, 700)
    assert machine.jerk == [8, 10, 0.4, 2.5]
    assert machine.junction_deviation == 0.05
    machine.note(parse("M204 S900"))
    assert (machine.printing, machine.retract, machine.travel) == (900, 1250, 900)
    machine.note(parse("M205 B0 S3 T4"))
    assert (machine.min_segment_time, machine.min_feedrate, machine.min_travel_feedrate) == (0, 3, 4)
    machine.note(parse("M205 B15000"))
    assert machine.min_segment_time == pytest.approx(0.015)


def test_limits_in_inches_are_converted():
    machine = MotionLimits()
    machine.note(parse("M203 X10"), unit=25.4)
    machine.note(parse("M205 B20000"), unit=25.4)
    assert machine.feedrates[0] == 254
    assert machine.min_segment_time == pytest.approx(0.02)


def test_limits_ignore_other_commands():
    machine = MotionLimits()
    assert not machine.note(parse("M207 S1"))
    assert machine == MotionLimits()
