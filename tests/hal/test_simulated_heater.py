"""A heater as a function of the clock: control, noise, loads; reading it does not change it."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal.simulated.heat_control import FULL_POWER, BangBang, Pid
from hal.simulated.heater import BED, CHAMBER, HOTEND, Heater, HeaterFault
from hal.simulated.thermal import TICK_S

STILL = replace(HOTEND, limits=replace(HOTEND.limits, maximum=340.0))  # room for tests of control


def heated(config=HOTEND, target=200.0, **more):
    heater = Heater(config, **more)
    heater.set_target(target, 0.0)
    return heater


def curve(heater, begin, end):
    return [heater.temperature(begin + n * TICK_S) for n in range(round((end - begin) / TICK_S))]


def test_a_heater_without_power_stays_at_ambient():
    heater = Heater(HOTEND)
    assert heater.temperature(0.0) == heater.temperature(1e9) == HOTEND.body.ambient
    assert heater.power(1e9) == 0
    assert heater.due == math.inf


@pytest.mark.parametrize(
    ("config", "target", "least", "most"),
    [(HOTEND, 200, 60, 85), (HOTEND, 245, 80, 120), (BED, 60, 75, 90), (BED, 100, 210, 260), (CHAMBER, 45, 200, 500)],
)
def test_heating_takes_about_as_long_as_on_a_real_printer(config, target, least, most):
    heater = heated(config, target)
    assert heater.temperature(least) < target - 1
    assert heater.temperature(most) > target - 1


def reference_pid(config, target, seconds):
    """Return the readings of a PID-heated body, by small Euler steps and the textbook's law, each 5/32 s."""
    body, gains = config.body, config.control
    block = sensor = last = body.ambient
    power, integral, slope, readings = 0.0, 0.0, 0.0, []
    for _ in range(round(seconds / 0.15625)):
        for _ in range(200):
            dt = 0.15625 / 200
            flow = (block - sensor) / body.sensor_lag
            heat = ((body.maximum - body.ambient) * power - (block - body.ambient)) / body.time_constant
            block, sensor = block + (heat - body.sensor_mass * flow) * dt, sensor + flow * dt
        error = target - sensor
        if abs(error) > gains.range:
            integral, slope, power = 0.0, 0.0, 1.0 if error > 0 else 0.0
        else:
            slope = 0.95 * slope + 0.05 * (sensor - last) / 0.15625
            integral = min(max(integral + error * 0.15625, 0.0), 255 / gains.i)
            output = gains.p * error + gains.i * integral - gains.d * slope
            power = (int(min(max(output, 0.0), 255.0)) >> 1) / 127
        last = sensor
        readings.append(sensor)
    return readings


@pytest.mark.parametrize("gains", [Pid(), Pid(p=40.0, i=6.0, d=10.0), Pid(p=2.0, i=0.2, d=0.0, range=300.0)])
def test_pid_overshoots_and_settles_as_an_independent_integration_does(gains):
    config = replace(STILL, control=gains)
    heater, expected = heated(config), reference_pid(config, 200.0, 240)
    readings = [heater.temperature((n + 1) * TICK_S) for n in range(len(expected))]
    # the reference's power is on one reading later: it decides at the end of its first step
    assert readings[-1] == pytest.approx(expected[-1], abs=0.05)
    assert max(readings) == pytest.approx(max(expected), abs=0.05)
    assert max(abs(a - b) for a, b in zip(readings, expected, strict=True)) < 0.3
    assert max(readings) > 200.0, "an integral that was wound up overshoots"


def test_more_integral_overshoots_more():
    highest = [max(curve(heated(replace(STILL, control=Pid(i=i))), 60, 200)) for i in (0.5, 1.76, 8.0)]
    assert highest == sorted(highest)
    assert highest[2] > highest[0] + 2


def test_the_steady_state_power_equals_the_losses():
    heater = heated()
    curve(heater, 0, 400)
    body = HOTEND.body
    share = (200 - body.ambient) / (body.maximum - body.ambient)
    assert heater.power(400) == pytest.approx(share * FULL_POWER, abs=2)
    assert heater.temperature(400) == pytest.approx(200, abs=0.1)


def test_fan_and_filament_need_power_and_cause_a_dip():
    idle, loaded, readings = heated(), heated(), []
    loaded.set_fan(1.0, 300)
    for second in range(300, 340):
        loaded.feed(10.0, second, 1.0)  # 10 mm³/s
        readings.append(loaded.temperature(second))
    assert min(readings) < 200 - 0.5
    extra = loaded.power(340) / idle.power(340)
    assert extra == pytest.approx(1 + HOTEND.body.fan_cooling + 10 * HOTEND.body.filament_cooling, abs=0.06)
    assert loaded.temperature(600) == pytest.approx(200, abs=0.1)


def test_filament_of_one_long_move_is_spread_over_it():
    slow, quick = heated(), heated()
    slow.feed(100.0, 300.0, 50.0)
    quick.feed(100.0, 300.0, 0.5)
    assert min(curve(quick, 300, 350)) < min(curve(slow, 300, 350)) - 0.3


def test_bang_bang_switches_at_the_target_at_intervals():
    heater = heated(replace(BED, control=BangBang(interval=5.0)), 60.0)
    powers = [heater.power(100 + n * TICK_S) for n in range(2000)]
    assert set(powers) == {0, FULL_POWER}
    switched = [n for n in range(1, 2000) if powers[n] != powers[n - 1]]
    assert {(b - a) % 32 for a, b in pairwise(switched)} == {0}, "32 readings are 5 s"
    assert min(curve(heater, 420, 500)) > 58.5
    assert max(curve(heater, 500, 580)) < 63


def test_hysteresis_widens_the_swing():
    swings = []
    for hysteresis in (0.0, 2.0):
        readings = curve(heated(replace(BED, control=BangBang(0.5, hysteresis)), 60.0), 200, 400)
        swings.append(max(readings) - min(readings))
    assert swings[1] > swings[0] + 2


def test_a_target_above_what_is_allowed_becomes_the_highest():
    heater = Heater(HOTEND)
    heater.set_target(400.0, 0.0)
    assert heater.target == 260.0  # HEATER_0_MAXTEMP less HOTEND_OVERSHOOT


def test_cooling_is_exponential():
    heater = heated()
    heater.temperature(300)
    heater.set_target(0.0, 300)
    assert heater.power(300) == 0
    body = HOTEND.body
    tau = body.time_constant * (1 + body.sensor_mass)  # the sensor's heat has to go too
    expected = body.ambient + (heater.temperature(310) - body.ambient) * math.exp(-100 / tau)
    assert heater.temperature(410) == pytest.approx(expected, abs=0.2)


# ── asking ──────────────────────────────────────────────────────────────────────────────────────────────────────

deeds = st.one_of(
    st.tuples(st.just("set_target"), st.floats(0, 300)),
    st.tuples(st.just("set_fan"), st.floats(0, 1)),
    st.tuples(st.just("feed"), st.floats(0, 30)),
    st.tuples(st.just("fail"), st.sampled_from([None, *HeaterFault])),
)


@given(
    story=st.lists(st.tuples(st.floats(0.01, 100), deeds), max_size=8),
    queries=st.lists(st.floats(0, 900), max_size=30),
    end=st.floats(0, 100),
    config=st.sampled_from([HOTEND, BED]),
)
def test_readings_do_not_depend_on_earlier_queries(story, queries, end, config):
    def play(queries):
        heater, now, log = Heater(config, noise=0.1, seed=3), 0.0, []
        for pause, (what, value) in [*story, (end, ("temperature", None))]:
            for at in sorted(each for each in queries if now <= each < now + pause):
                heater.temperature(at)
                heater.check(at)
            now += pause
            args = (now,) if what == "temperature" else (value, now)
            getattr(heater, what)(*args)
            log.append((heater.temperature(now), heater.power(now), heater.trip, heater.block_temperature(now)))
        return log

    assert play(queries) == play([])


@given(
    config=st.sampled_from([HOTEND, BED]),
    story=st.lists(st.tuples(st.floats(0.01, 60), deeds), min_size=1, max_size=8),
)
def test_no_protection_trips_early(config, story):
    heater, now = Heater(config, noise=0.1), 0.0
    for pause, (what, value) in [*story, (400.0, ("set_fan", 0.0))]:
        while heater.due <= now + pause and not heater.trip:
            due = heater.due
            heater.temperature(due - TICK_S)
            assert heater.trip is None, "a caller at the due time would be too late"
            heater.check(due)
            assert heater.trip or heater.due > due
        now += pause
        if heater.trip:
            return
        getattr(heater, what)(value, now)


def test_ten_hours_cost_only_active_ticks():
    heater = heated()
    heater.set_target(0.0, 600.0)
    heater.temperature(36_000.0)
    moved = []
    heater._move = lambda: moved.append(1)
    heater.temperature(1e9)
    assert not moved, "a cold heater costs nothing, however far the clock jumps"


# ── noise ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_noise_comes_from_the_seed():
    first, again, other = (curve(heated(noise=0.2, seed=seed), 300, 400) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    spread = math.sqrt(sum((each - 200) ** 2 for each in first) / len(first))
    assert spread == pytest.approx(0.2, rel=0.3)


def test_there_is_no_noise_without_a_deviation():
    assert len(set(curve(Heater(HOTEND), 0, 100))) == 1


def test_two_heaters_do_not_share_their_noise():
    one, two = (curve(Heater(HOTEND, name, noise=0.2), 0, 50) for name in "01")
    assert one != two
