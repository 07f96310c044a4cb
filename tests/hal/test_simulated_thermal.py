import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal.simulated.thermal import BED, FULL_POWER, HOTEND, Heater


def test_it_starts_at_ambient_with_no_power():
    heater = Heater(HOTEND)
    assert heater.temperature(1000.0) == HOTEND.ambient
    assert heater.power(1000.0) == 0


def test_it_heats_as_a_first_order_system_and_holds():
    heater = Heater(HOTEND)
    heater.set_target(200, now=10)
    share = 1 - math.exp(-30 / HOTEND.time_constant)
    assert heater.temperature(40) == pytest.approx(HOTEND.ambient + (HOTEND.maximum - HOTEND.ambient) * share)
    assert heater.power(40) == FULL_POWER
    assert heater.temperature(1000) == 200
    assert 0 < heater.power(1000) < FULL_POWER


@pytest.mark.parametrize(("config", "target", "least", "most"), [(HOTEND, 200, 55, 70), (BED, 60, 60, 100)])
def test_it_takes_about_as_long_as_a_real_one(config, target, least, most):
    heater = Heater(config)
    heater.set_target(target, now=0)
    assert heater.temperature(least) < target
    assert heater.temperature(most) == target


def test_it_cools_exponentially_toward_ambient():
    heater = Heater(HOTEND)
    heater.set_target(200, now=0)
    heater.set_target(0, now=500)
    expected = HOTEND.ambient + (200 - HOTEND.ambient) * math.exp(-100 / HOTEND.time_constant)
    assert heater.temperature(600) == pytest.approx(expected)
    assert heater.power(600) == 0


def test_what_is_out_of_reach_is_never_reached():
    heater = Heater(HOTEND)
    heater.set_target(HOTEND.maximum + 50, now=0)
    assert heater.time_within(1.0) is None
    assert heater.temperature(1e6) == pytest.approx(HOTEND.maximum)


@given(st.lists(st.tuples(st.floats(0, 300), st.floats(1, 500)), min_size=1, max_size=8))
def test_the_temperature_never_jumps_and_stays_in_range(steps):
    heater, now = Heater(HOTEND), 0.0
    for target, seconds in steps:
        before = heater.temperature(now)
        heater.set_target(target, now)
        assert heater.temperature(now) == pytest.approx(before, abs=1e-6)
        now += seconds
        assert HOTEND.ambient - 1e-6 <= heater.temperature(now) <= 300 + 1e-6


@given(target=st.floats(30, 300), before=st.floats(0, 300), seconds=st.floats(0, 300))
def test_the_window_is_entered_when_time_within_says(target, before, seconds):
    heater = Heater(HOTEND)
    heater.set_target(before, 0)
    heater.set_target(target, seconds)
    entered = heater.time_within(1.0)
    assert entered is not None
    assert abs(heater.temperature(entered + 1e-6) - target) <= 1.0
    if entered > seconds:
        assert abs(heater.temperature(entered - 1e-3) - target) >= 1.0
