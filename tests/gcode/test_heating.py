from hypothesis import given
from hypothesis import strategies as st

from gcode.heating import RESIDENCY, Residency


def readings(wait: Residency, *pairs: tuple[float, float]) -> list[bool]:
    return [wait.reached(actual, now) for now, actual in pairs]


def test_it_takes_ten_seconds_near_the_target():
    assert readings(Residency(200), (0, 20), (60, 199.5), (65, 200.8), (69.9, 200), (70, 200)) == [False] * 4 + [True]


def test_leaving_the_hysteresis_begins_anew_leaving_the_window_does_not():
    assert readings(Residency(200), (0, 200), (5, 202.5), (10, 202))[-1] is True
    assert readings(Residency(200), (0, 200), (5, 196), (10, 200), (15, 200), (20, 200)) == [False] * 4 + [True]


def test_s_waits_for_heating_only_and_r_for_both():
    assert Residency(50).reached(180, 0)
    assert not Residency(50, cool=True).reached(180, 0)
    assert readings(Residency(50, cool=True), (0, 180), (100, 50), (110, 50)) == [False, False, True]


@given(target=st.floats(30, 300), actuals=st.lists(st.floats(0, 350), min_size=1, max_size=30))
def test_no_sequence_of_readings_ends_a_wait_early(target, actuals):
    wait, near = Residency(target, cool=True), []
    for second, actual in enumerate(actuals):
        near.append(abs(actual - target) <= 3.0)
        if wait.reached(actual, second):
            assert all(near[-int(RESIDENCY) - 1 :])
            assert len(near) > RESIDENCY
