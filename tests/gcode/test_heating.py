import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcode.command import parse
from gcode.heating import HEATERS_BY_COMMAND, RESIDENCY_S, Approach, Residency, reading_name, shift_target


def readings(wait: Residency, *pairs: tuple[float, float]) -> list[bool]:
    return [wait.is_reached(actual, now) for now, actual in pairs]


def test_a_wait_needs_ten_seconds_near_the_target():
    assert readings(Residency(200), (0, 20), (60, 199.5), (65, 200.8), (69.9, 200), (70, 200)) == [False] * 4 + [True]


def test_leaving_the_hysteresis_restarts_the_time_and_leaving_the_window_does_not():
    assert readings(Residency(200), (0, 200), (5, 202.5), (10, 202))[-1] is True
    assert readings(Residency(200), (0, 200), (5, 196), (10, 200), (15, 200), (20, 200)) == [False] * 4 + [True]


def test_s_waits_for_heating_only_and_r_for_both():
    assert Residency(50).is_reached(180, 0)
    assert not Residency(50, waits_for_cooling=True).is_reached(180, 0)
    assert readings(Residency(50, waits_for_cooling=True), (0, 180), (100, 50), (110, 50)) == [False, False, True]


_NEAR = [-4.0, -2.5, -0.5, 0.0, 0.0, 0.5, 0.9, 2.5]  # °C from the target; random temperatures hardly ever stay near it


@given(target=st.floats(30, 300), distances=st.lists(st.sampled_from(_NEAR), min_size=1, max_size=60))
def test_no_sequence_of_readings_ends_a_wait_early(target, distances):
    wait, near = Residency(target, waits_for_cooling=True), []
    for second, actual in enumerate(target + distance for distance in distances):
        near.append(abs(actual - target) <= 3.0)
        if wait.is_reached(actual, second):
            assert all(near[-int(RESIDENCY_S) - 1 :])
            assert len(near) > RESIDENCY_S


def test_the_firmwares_own_time_near_the_target_counts():
    assert readings(Residency(200, seconds=3), (0, 200), (2, 200), (3, 200)) == [False, False, True]
    assert readings(Residency(200, seconds=0), (0, 190), (1, 199.5)) == [False, True]


def test_a_heater_approaching_its_target_is_not_stalled():
    watch = Approach(1.5, 60.0)
    assert not any(watch.has_stalled(180 - 2 * second / 60, second) for second in range(3600))


def test_a_heater_that_gets_no_nearer_is_stalled_after_a_time():
    watch = Approach(1.5, 60.0)
    assert not any(watch.has_stalled(20 - second / 60, second) for second in range(60)), "1 °C in a minute"
    assert watch.has_stalled(19.0, 60.0)


@pytest.mark.parametrize(
    ("tool", "heaters", "name"),
    [
        (0, {"tool0", "bed"}, "tool0"),
        (3, {"tool0", "bed"}, "tool0"),
        (1, {"tool0", "tool1"}, "tool1"),
        (2, {"tool0", "tool1"}, "tool2"),
        (0, {"bed"}, "tool0"),
    ],
)
def test_a_tool_without_a_reading_of_its_own_has_that_of_the_only_hotend(tool, heaters, name):
    assert reading_name(tool, heaters) == name


OFFSETS = {"tool0": 5.0, "tool1": -7.5, "bed": 3.0, "chamber": 50.0}


@pytest.mark.parametrize(
    ("command", "altered"),
    [
        (b"M104 S200", b"M104 S205"),
        (b"M109 R200", b"M109 R205"),
        (b"M109 S200 R190", b"M109 S205 R190"),
        (b"m109 t1 s200", b"m109 t1 S192.5"),
        (b"M104 T9 S200", b"M104 T9 S200"),
        (b"M104 S0", b"M104 S0"),
        (b"M104 T1 S4", b"M104 T1 S0"),
        (b"M104 S249", b"M104 S250"),
        (b"M190 S60", b"M190 S63"),
        (b"M140 S119", b"M140 S120"),
        (b"M141 S40.5", b"M141 S90.5"),
        (b"M141 S60", b"M141 S95"),
        (b"M109.1 S200", b"M109.1 S205"),
        (b"M303 S200", b"M303 S200"),
        (b"M106 S200", b"M106 S200"),
        (b"M104", b"M104"),
        (b"G1 X5", b"G1 X5"),
    ],
)
def test_an_offset_is_added_to_the_target(command, altered):
    assert shift_target(command, OFFSETS, 0, 250, 120, 95) == altered
    assert shift_target(command, {}, 0, 250, 120, 95) == command


@given(
    code=st.sampled_from(sorted(HEATERS_BY_COMMAND)),
    words=st.permutations(["S{target:g}", "T{tool}", "F1", "B2"]),
    target=st.integers(0, 2500).map(lambda tenths: tenths / 10),
    tool=st.integers(0, 3),
    offset=st.integers(-50, 50),
)
def test_an_offset_changes_nothing_but_the_target_and_stays_within_the_limits(code, words, target, tool, offset):
    command = " ".join([code, *words]).format(target=target, tool=tool).encode()
    heater = HEATERS_BY_COMMAND[code]
    shifted_command = parse(
        shift_target(command, {f"tool{tool}" if heater == "tool" else heater: offset}, 0, 250, 250, 250)
    )
    expected = max(0, min(target + offset, 250)) if target else 0
    assert shifted_command.get("S") == pytest.approx(expected)
    assert (shifted_command.code, {**shifted_command.params, "S": 0}) == (code, {"S": 0, "T": tool, "F": 1, "B": 2})
