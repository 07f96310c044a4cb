"""Each protection trips with Marlin's text and at the time of its rule, without any host."""

import math
from dataclasses import replace

import pytest

from hal.simulated.heat_protection import HOTEND_LIMITS, HeatProtection
from hal.simulated.heater import BED, CHAMBER, HOTEND, HeaterFault
from hal.simulated.thermal import TICK_S
from support.lone_printer import HALTED, LonePrinter


@pytest.mark.parametrize(
    ("command", "heater", "name", "period"),
    [
        ("M104 S200", "hotend", "0", HOTEND.limits.watch_period),
        ("M140 S60", "bed", "bed", BED.limits.watch_period),
        ("M141 S40", "chamber", "chamber", CHAMBER.limits.watch_period),
    ],
)
def test_a_heater_that_does_not_heat_fails_after_the_watch_period(command, heater, name, period):
    printer = LonePrinter(chamber=CHAMBER)
    printer.fail(HeaterFault.NO_HEAT, heater)
    printer.send(command)
    after, text = printer.wait_for_halt()
    assert text == f"Error:Heating failed, system stopped! Heater_ID: {name}"
    assert period <= after <= period + TICK_S


def test_heating_is_watched_repeatedly():
    printer = LonePrinter()
    printer.send("M104 S200", seconds=30)
    printer.fail(HeaterFault.NO_HEAT)
    after, text = printer.wait_for_halt()
    assert text == "Error:Heating failed, system stopped! Heater_ID: 0"
    # begun at 1 s and renewed at 21 s: at 41 s it is still warmer than then, at 61 s it is not warm enough
    assert 30 + after == pytest.approx(60, abs=3 * TICK_S)


def test_a_target_just_above_is_neither_watched_nor_reached_as_in_marlin():
    printer = LonePrinter()
    printer.send("M104 S200", seconds=300)
    printer.fail(HeaterFault.NO_HEAT)
    printer.send("M104 S204")  # less than the increase, the hysteresis and 1 above
    assert printer.run(2000) == []


@pytest.mark.parametrize(
    ("command", "heater", "name", "limits"),
    [("M104 S200", "hotend", "0", HOTEND.limits), ("M140 S60", "bed", "bed", BED.limits)],
)
def test_thermal_runaway_trips_one_period_after_the_last_warm_reading(command, heater, name, limits):
    printer = LonePrinter()
    printer.send(command, seconds=400)
    printer.fail(HeaterFault.NO_HEAT, heater)
    broken, target = printer.heat.find(heater), printer.heat.find(heater).target
    watcher = LonePrinter()  # another one, that is asked at each reading
    watcher.send(command, seconds=400)
    watcher.fail(HeaterFault.NO_HEAT, heater)
    spied, tick = watcher.heat.find(heater), math.ceil(watcher.now / TICK_S)
    while spied.temperature(tick * TICK_S) >= target - limits.runaway_below:
        tick += 1
    after, text = printer.wait_for_halt()
    assert text == f"Error:Thermal Runaway, system stopped! Heater_ID: {name}"
    assert printer.firmware.halted
    assert after == pytest.approx((tick - 1) * TICK_S + limits.runaway_period - watcher.now, abs=1e-9)
    assert broken.target == 0


@pytest.mark.parametrize("fault", [HeaterFault.SENSOR_OUT, HeaterFault.DRAUGHT])
def test_a_falling_reading_is_a_runaway(fault):
    printer = LonePrinter()
    printer.send("M104 S240", seconds=300)
    printer.fail(fault)
    after, text = printer.wait_for_halt()
    assert text == "Error:Thermal Runaway, system stopped! Heater_ID: 0"
    assert 40 <= after < 60


def test_a_dip_recovered_in_time_trips_nothing():
    printer = LonePrinter()
    printer.send("M104 S200", seconds=300)
    printer.fail(HeaterFault.NO_HEAT)
    printer.run(12)
    assert printer.heat.hotends[0].temperature(printer.now) < 185
    printer.fail(None)
    assert printer.run(600) == []
    assert printer.heat.hotends[0].temperature(printer.now) == pytest.approx(200, abs=1)


@pytest.mark.parametrize("target", [0, 200])
def test_a_heater_that_is_stuck_on_trips_maxtemp_when_its_body_gets_there(target):
    printer = LonePrinter()
    printer.fail(HeaterFault.RUNAWAY)
    printer.send(f"M104 S{target}")
    after, text = printer.wait_for_halt()
    assert text == "Error:MAXTEMP triggered, system stopped! Heater_ID: 0"
    body, limits = HOTEND.body, HOTEND.limits
    first_order = body.time_constant * math.log((body.maximum - body.ambient) / (body.maximum - limits.maximum))
    lag = body.sensor_lag + body.time_constant * body.sensor_mass * (first_order / body.time_constant)
    assert first_order < after < first_order + 2 * lag
    hottest = printer.heat.hotends[0].block_temperature(printer.now)
    assert hottest > 340, "nothing stops what the firmware cannot switch off"


@pytest.mark.parametrize(("heater", "name"), [("hotend", "0"), ("bed", "bed")])
def test_a_shorted_sensor_trips_maxtemp_at_once_even_when_all_is_off(heater, name):
    printer = LonePrinter()
    printer.fail(HeaterFault.SENSOR_SHORT, heater)
    after, text = printer.wait_for_halt()
    assert text == f"Error:MAXTEMP triggered, system stopped! Heater_ID: {name}"
    assert after <= TICK_S


def test_an_open_sensor_trips_mintemp_once_the_heater_is_on():
    printer = LonePrinter()
    printer.fail(HeaterFault.SENSOR_OPEN)
    assert printer.run(1000) == []
    assert printer.send("M105")[0].startswith("ok T:-15.00 /0.00")
    assert printer.send("M104 S200") == ["ok"]
    after, text = printer.wait_for_halt()
    assert text == "Error:MINTEMP triggered, system stopped! Heater_ID: 0"
    assert after <= TICK_S


def test_mintemp_trips_where_it_is_too_cold_to_heat():
    printer = LonePrinter(hotend=replace(HOTEND, body=replace(HOTEND.body, ambient=2.0)))
    assert printer.run(100) == []
    printer.send("M104 S200")
    assert printer.wait_for_halt()[1] == "Error:MINTEMP triggered, system stopped! Heater_ID: 0"


def test_runaway_trips_after_a_small_step_that_was_not_watched():
    printer = LonePrinter()
    printer.send("M140 S60", seconds=300)
    printer.send("M140 S62", seconds=60)
    printer.fail(HeaterFault.NO_HEAT, "bed")
    assert printer.wait_for_halt()[1] == "Error:Thermal Runaway, system stopped! Heater_ID: bed"


def test_the_second_hotend_is_named():
    printer = LonePrinter(extruders=2)
    printer.send("M104 T1 S200", seconds=100)
    printer.fail(HeaterFault.SENSOR_OPEN, "hotend1")
    assert printer.wait_for_halt()[1] == "Error:MINTEMP triggered, system stopped! Heater_ID: 1"


def test_halted_means_off_and_silent_until_a_reset_and_the_heat_stays():
    printer = LonePrinter(host_actions=True)
    printer.send("M104 S200", "M140 S60", "M106", seconds=300)
    printer.fail(HeaterFault.SENSOR_OPEN)
    replies = [line for _, line in printer.run(1.0)]
    assert replies == ["Error:MINTEMP triggered, system stopped! Heater_ID: 0", HALTED, "//action:poweroff"]
    heat = printer.heat
    assert [each.target for each in heat.heaters] == [0, 0]
    assert heat.fans == [0]
    assert printer.send("M105", seconds=100) == []
    printer.fail(None)
    printer.firmware.reset(printer.now)
    printer.run(1.0)
    report = printer.send("M105")[0]
    assert report.endswith("@:0 B@:0")
    assert 60 < heat.hotends[0].temperature(printer.now) < 100, "it has cooled for 100 s, and a reset cools nothing"


def test_a_board_that_is_too_hot_halts_again_after_a_reset():
    printer = LonePrinter()
    printer.fail(HeaterFault.RUNAWAY)
    printer.wait_for_halt()
    printer.firmware.reset(printer.now)
    assert printer.wait_for_halt(10.0)[1] == "Error:MAXTEMP triggered, system stopped! Heater_ID: 0"


@pytest.mark.parametrize("command", ["M104 S260", "M140 S110", "M104 S200\nM140 S100\nM106 S255"])
def test_a_sound_printer_never_trips(command):
    printer = LonePrinter(noise=0.2)
    printer.send(command, seconds=3600)
    for _ in range(30):
        printer.send("M104 S0", seconds=37)
        printer.send(command, seconds=61)
    assert not printer.firmware.halted


def test_the_firmware_wakes_rarely_to_check():
    printer = LonePrinter()
    printer.send("M104 S200", "M140 S60", seconds=600)
    wakes, end = 0, printer.now + 3600
    while (due := printer.firmware.next_event()) is not None and due <= end:
        printer.firmware.advance(due)
        wakes += 1
    assert wakes < 3600 / 5
    printer.now = end
    printer.send("M104 S0", "M140 S0", seconds=1)
    assert printer.firmware.next_event() is None, "nothing can trip when all is off"


# ── the rules themselves ────────────────────────────────────────────────────────────────────────────────────────


def protection(target=200.0, reading=20.0):
    one = HeatProtection(HOTEND_LIMITS)
    one.note_target(target, reading, 0.0)
    return one


@pytest.mark.parametrize(("reading", "error"), [(21.9, "Heating failed"), (22.0, None)])
def test_the_reading_has_to_rise_by_the_increase(reading, error):
    one = protection()
    assert one.check(20.1, 19.9) is None
    assert one.check(reading, 20.0) == error


@pytest.mark.parametrize(("reading", "watched"), [(193.9, True), (194.0, False)])
def test_heating_is_watched_until_near_the_target(reading, watched):
    assert (protection(reading=reading).soonest_trip(0.0) == 20.0) == watched


@pytest.mark.parametrize(("reading", "error"), [(195.9, "Thermal Runaway"), (196.0, None)])
def test_runaway_begins_below_the_hysteresis(reading, error):
    one = protection()
    assert one.check(200.0, 1.0) is None
    assert one.check(reading, 40.9) is None
    assert one.check(reading, 41.0) == error


def test_runaway_is_checked_only_after_the_target_was_reached():
    one = protection(reading=195.0)
    assert one.check(197.0, 1.0) is None
    assert one.check(195.0, 1000.0) is None


@pytest.mark.parametrize(("again", "error"), [(200.0, "Thermal Runaway"), (201.0, None)])
def test_only_a_new_target_restarts_the_time(again, error):
    one = protection(reading=199.0)
    one.check(200.0, 1.0)
    one.note_target(again, 199.0, 10.0)
    assert one.check(190.0, 41.0) == error


@pytest.mark.parametrize(
    ("reading", "target", "error"),
    [(275.0, 0.0, None), (275.1, 0.0, "MAXTEMP triggered"), (4.9, 0.0, None), (4.9, 200.0, "MINTEMP triggered")],
)
def test_readings_out_of_range_trip(reading, target, error):
    assert protection(target).check(reading, 1.0) == error


def test_limits_can_be_set():
    config = replace(HOTEND, limits=replace(HOTEND.limits, watch_period=5.0))
    printer = LonePrinter(hotend=config)
    printer.fail(HeaterFault.NO_HEAT)
    printer.send("M104 S200")
    assert printer.wait_for_halt()[0] == pytest.approx(5, abs=TICK_S)
