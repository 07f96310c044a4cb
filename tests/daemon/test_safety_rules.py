"""The rules for heaters, on working and failing heaters."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.config import ProfileConfig
from daemon.core.safety.rules import (
    BED,
    CONFIRMATION_S,
    HOTEND,
    MAX_WITHOUT_REPORT_ASKED_S,
    MAX_WITHOUT_REPORT_S,
    HeaterWatch,
    longest_silence,
)
from gcode.replies import Reading
from hal.simulated.heat_control import BangBang
from hal.simulated.heater import BED as BED_CONFIG
from hal.simulated.heater import HOTEND as HOTEND_CONFIG
from hal.simulated.heater import Heater, HeaterConfig, HeaterFault
from hal.simulated.thermal import BED_BODY, HOTEND_BODY

PROFILE = ProfileConfig()
INTERVAL = 2.0  # s between two reports
HOUR = 3600.0


def watched(heater: Heater, watch: HeaterWatch, begin: float, seconds: float) -> tuple[float, str] | None:
    """Let time pass; return when a rule was broken, and which."""
    now = begin
    while now < begin + seconds:
        now += INTERVAL
        reading = Reading(round(heater.temperature(now), 2), heater.target)
        if trouble := watch.find_broken_rule(reading, now):
            return now, trouble
    return None


def hotends() -> st.SearchStrategy[HeaterConfig]:
    return st.builds(
        lambda maximum, slow, lag: replace(
            HOTEND_CONFIG, body=replace(HOTEND_BODY, maximum=maximum, time_constant=slow, sensor_lag=lag)
        ),
        maximum=st.floats(330, 600),
        slow=st.floats(60, 250),
        lag=st.floats(0.5, 6),
    )


def beds() -> st.SearchStrategy[HeaterConfig]:
    """Even a big bed that gains only 1 °C in 30 s at first."""
    return st.builds(
        lambda power, slow, lag: replace(
            BED_CONFIG,
            control=BangBang(),
            body=replace(BED_BODY, maximum=min(21.3 + power * slow, 400.0), time_constant=slow, sensor_lag=lag),
        ),
        power=st.floats(1 / 30, 0.5),
        slow=st.floats(3600, 7200),
        lag=st.floats(1, 20),
    )


@settings(max_examples=12)
@given(config=hotends(), target=st.floats(150, 260), fan=st.sampled_from([0.0, 1.0]), flow=st.floats(0, 8))
def test_a_healthy_hotend_breaks_no_rule(config, target, fan, flow):
    heater, watch = Heater(config, noise=0.1), HeaterWatch("tool0", PROFILE)
    heater.set_target(target, 0.0)
    assert watched(heater, watch, 0.0, 600) is None
    heater.set_fan(fan, 600.0)
    heater.feed(flow * 300, 600.0, 300.0)
    assert watched(heater, watch, 600.0, 600) is None
    heater.set_target(100.0, 1200.0)  # a pause's standby
    assert watched(heater, watch, 1200.0, 900) is None
    heater.set_target(target, 2100.0)
    assert watched(heater, watch, 2100.0, 900) is None
    heater.set_target(0.0, 3000.0)
    assert watched(heater, watch, 3000.0, 300) is None


@settings(max_examples=8)
@given(config=beds(), target=st.floats(40, 100))
def test_a_healthy_bed_breaks_no_rule_however_slow(config, target):
    heater, watch = Heater(config, noise=0.05), HeaterWatch("bed", PROFILE)
    heater.set_target(min(target, config.body.maximum - 15), 0.0)
    assert watched(heater, watch, 0.0, 1.5 * HOUR) is None
    heater.set_target(30.0, 1.5 * HOUR)
    assert watched(heater, watch, 1.5 * HOUR, HOUR / 2) is None


@given(config=hotends(), target=st.floats(150, 260), early=st.floats(0, 20), fault=st.sampled_from(["cut", "out"]))
def test_a_hotend_that_does_not_heat_is_detected_in_time(config, target, early, fault):
    """Its wire is cut, or its sensor has slipped out: the reading falls, or never rises above room temperature."""
    heater, watch = Heater(config, noise=0.1), HeaterWatch("tool0", PROFILE)
    heater.set_target(target, 0.0)
    assert watched(heater, watch, 0.0, early) is None
    begin = math.ceil(early / INTERVAL) * INTERVAL
    if heater.temperature(begin) > target - 2 * HOTEND.far:
        return  # so quick a heater has arrived: the next test is about those
    heater.fail(HeaterFault.NO_HEAT if fault == "cut" else HeaterFault.SENSOR_OUT, begin)
    alarm = watched(heater, watch, begin, 600)
    assert alarm is not None
    # what is left in the block may still warm the sensor for some lags
    assert alarm[0] - begin <= HOTEND.rise_within + 2 * INTERVAL + 10 * config.body.sensor_lag


@given(target=st.floats(50, 290), stuck=st.floats(-10, 30), interval=st.floats(0.5, 10))
def test_a_stuck_sensor_is_detected_in_time(target, stuck, interval):
    watch, now = HeaterWatch("tool0", PROFILE), 0.0
    while watch.find_broken_rule(Reading(stuck, target), now) is None:
        now += interval
        assert now <= HOTEND.rise_within + 2 * interval


@settings(max_examples=20)
@given(config=hotends(), target=st.floats(150, 260))
def test_a_hotend_that_fails_while_hot_is_detected(config, target):
    heater, watch = Heater(config), HeaterWatch("tool0", PROFILE)
    heater.set_target(target, 0.0)
    assert watched(heater, watch, 0.0, 600) is None
    heater.fail(HeaterFault.NO_HEAT, 600.0)
    away = 600.0
    while heater.temperature(away) > target - HOTEND.drift:
        away += INTERVAL
        assert watch.find_broken_rule(Reading(heater.temperature(away), target), away) is None
    alarm = watched(heater, watch, away, 200)
    assert alarm is not None
    assert "drifted" in alarm[1]
    assert alarm[0] - away <= HOTEND.drift_within + 2 * INTERVAL


@settings(max_examples=20)
@given(config=hotends(), target=st.floats(150, 260), standby=st.booleans())
def test_a_heater_that_is_stuck_on_is_detected(config, target, standby):
    heater, watch = Heater(config), HeaterWatch("tool0", PROFILE)
    heater.set_target(target, 0.0)
    assert watched(heater, watch, 0.0, 600) is None
    if standby:  # the reading should fall, and rises
        heater.set_target(100.0, 600.0)
    heater.fail(HeaterFault.RUNAWAY, 600.0)
    assert watched(heater, watch, 600.0, 10 * config.body.time_constant) is not None


def test_a_reading_above_the_maximum_has_to_be_confirmed():
    watch = HeaterWatch("tool0", PROFILE)
    assert watch.find_broken_rule(Reading(921.0, 0.0), 0.0) is None, "one damaged digit"
    assert watch.find_broken_rule(Reading(21.0, 0.0), 2.0) is None
    assert watch.find_broken_rule(Reading(316.0, 0.0), 4.0) is None
    assert "above its maximum of 300" in watch.find_broken_rule(Reading(316.0, 0.0), 4.0 + CONFIRMATION_S)


@pytest.mark.parametrize(("name", "highest"), [("tool0", 300), ("tool3", 300), ("bed", 120), ("chamber", 60)])
def test_each_heater_has_its_own_maximum(name, highest):
    watch = HeaterWatch(name, replace(PROFILE, max_chamber_c=60.0))
    for now in (0.0, CONFIRMATION_S):
        broken = watch.find_broken_rule(Reading(highest + 16.0, 0.0), now)
    assert f"above its maximum of {highest}" in broken


@pytest.mark.parametrize(("name", "actual"), [("tool0", 314.0), ("bed", 134.0), ("chamber", 134.0)])
def test_overshoot_breaks_no_rule(name, actual):
    watch = HeaterWatch(name, PROFILE)
    assert not any(watch.find_broken_rule(Reading(actual, actual - 14), float(now)) for now in range(0, 100, 2))


def test_a_firmware_that_reports_no_targets_breaks_no_rule():
    watch = HeaterWatch("tool0", PROFILE)
    assert not any(watch.find_broken_rule(Reading(20.0 + now % 200), float(now)) for now in range(0, 4000, 5))


def test_a_heater_long_off_does_not_affect_the_next_print():
    watch = HeaterWatch("bed", PROFILE)
    for now, actual, target in ((0, 60, 60.0), (10, 60, 0.0), (9000, 21, 0.0), (9002, 21, 60.0), (9030, 21.5, 60.0)):
        assert watch.find_broken_rule(Reading(actual, target), float(now)) is None


def test_a_big_bed_may_take_its_time_and_a_dead_one_may_not():
    slow, dead = HeaterWatch("bed", PROFILE), HeaterWatch("bed", PROFILE)
    assert not any(slow.find_broken_rule(Reading(20 + now / 30, 90.0), float(now)) for now in range(0, 2000, 2))
    times = [now for now in range(0, 400, 2) if dead.find_broken_rule(Reading(20.0, 90.0), float(now))]
    assert times[0] == BED.rise_within + 2


def test_a_heater_that_cools_at_first_has_to_rise_from_where_it_turned():
    """A cold fan, or filament that is pushed: the block has heat again, and loses some before it gains."""
    watch = HeaterWatch("tool0", PROFILE)
    falling = [(float(now), 50.0 - now / 2) for now in range(0, 20, 2)]
    rising = [(float(now), 40.0 + (now - 20) / 18) for now in range(20, 600, 2)]
    assert not any(watch.find_broken_rule(Reading(actual, 200.0), now) for now, actual in falling + rising)


def test_two_short_deviations_are_not_one_long_one():
    watch = HeaterWatch("tool0", PROFILE)
    away = [220.5 if now % 32 else 205.0 for now in range(0, 320, 2)]
    readings = [200.0, *away]
    assert not any(watch.find_broken_rule(Reading(actual, 200.0), 2.0 * n) for n, actual in enumerate(readings))
    assert any(watch.find_broken_rule(Reading(220.5, 200.0), 1000.0 + now) for now in range(0, 40, 2))


@pytest.mark.parametrize(
    ("reports", "busy", "seconds"),
    [
        (True, False, MAX_WITHOUT_REPORT_S),
        (True, True, MAX_WITHOUT_REPORT_ASKED_S),
        (False, False, MAX_WITHOUT_REPORT_ASKED_S),
        (False, True, MAX_WITHOUT_REPORT_ASKED_S),
    ],
)
def test_a_firmware_that_is_busy_or_has_to_be_asked_may_be_silent_for_longer(reports, busy, seconds):
    identity = SimpleNamespace(can=lambda capability: reports and capability == "AUTOREPORT_TEMP")
    assert longest_silence(SimpleNamespace(identity=identity, busy=busy)) == seconds
