"""The physics of a heater, against closed forms and an independent integration."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal.simulated.thermal import BED_BODY, HOTEND_BODY, TICK_S, Body, TwoMasses, transition

bodies = st.builds(
    Body,
    time_constant=st.floats(20, 800),
    sensor_lag=st.floats(0.2, 15),
    sensor_mass=st.floats(0, 0.3),
)


def stepped(body, power, seconds, *, load=1.0):
    masses = TwoMasses(body)
    masses.set_load(load)
    for _ in range(round(seconds / TICK_S)):
        masses.step(power)
    return masses


def integrated(body, power, seconds, *, load=1.0, dt=TICK_S / 32):
    """Return (block, sensor) by Runge and Kutta's fourth-order method, from the equations in the module's head."""

    def slope(block, sensor):
        rise = (body.maximum - body.ambient) * power
        flow = (block - sensor) / body.sensor_lag
        return (rise - load * (block - body.ambient)) / body.time_constant - body.sensor_mass * flow, flow

    x = y = body.ambient
    for _ in range(round(seconds / dt)):
        a = slope(x, y)
        b = slope(x + a[0] * dt / 2, y + a[1] * dt / 2)
        c = slope(x + b[0] * dt / 2, y + b[1] * dt / 2)
        d = slope(x + c[0] * dt, y + c[1] * dt)
        x += (a[0] + 2 * b[0] + 2 * c[0] + d[0]) * dt / 6
        y += (a[1] + 2 * b[1] + 2 * c[1] + d[1]) * dt / 6
    return x, y


@pytest.mark.parametrize("seconds", [5, 40, 80, 400])
def test_a_step_of_power_gives_the_step_response_of_a_first_order_system(seconds):
    body = Body(sensor_mass=0.0)  # a sensor that takes no heat: block and sensor are two lags in a row
    masses = stepped(body, 1.0, seconds)
    tau, lag, rise = body.time_constant, body.sensor_lag, body.maximum - body.ambient
    block, delayed = math.exp(-seconds / tau), math.exp(-seconds / lag)
    assert masses.block == pytest.approx(body.ambient + rise * (1 - block), abs=1e-6)
    assert masses.sensor == pytest.approx(
        body.ambient + rise * (1 - (tau * block - lag * delayed) / (tau - lag)), abs=1e-6
    )


@pytest.mark.parametrize(
    ("body", "power", "load"), [(HOTEND_BODY, 1.0, 1.0), (HOTEND_BODY, 0.4, 1.7), (BED_BODY, 1.0, 1.05)]
)
def test_two_masses_match_an_integration_of_their_equations(body, power, load):
    masses = stepped(body, power, 60, load=load)
    block, sensor = integrated(body, power, 60, load=load)
    assert (masses.block, masses.sensor) == pytest.approx((block, sensor), abs=1e-6)


@given(body=bodies, load=st.floats(1, 4), seconds=st.floats(0.01, 50))
def test_two_steps_equal_one_of_twice_the_length(body, load, seconds):
    (a, b, c, d), whole = transition(body, load, seconds), transition(body, load, 2 * seconds)
    assert (a * a + b * c, a * b + b * d, c * a + d * c, c * b + d * d) == pytest.approx(whole, abs=1e-9)


@given(body=bodies, load=st.floats(1, 4))
def test_heat_is_neither_made_nor_lost_between_the_masses(body, load):
    masses = TwoMasses(body)
    masses.set_load(load)
    for _ in range(200):
        before, block = masses.block + body.sensor_mass * masses.sensor, masses.block
        masses.step(0.5)
        gained = masses.block + body.sensor_mass * masses.sensor - before
        middle = (block + masses.block) / 2 - body.ambient  # good for a tick: the curve is nearly straight
        brought = (0.5 * (body.maximum - body.ambient) - load * middle) / body.time_constant * TICK_S
        assert gained == pytest.approx(brought, rel=2e-2, abs=1e-3)


def test_a_load_lowers_the_end_temperature_and_the_time_to_it():
    still, blown = stepped(HOTEND_BODY, 0.5, 2000), stepped(HOTEND_BODY, 0.5, 2000, load=1.25)
    rise = (HOTEND_BODY.maximum - HOTEND_BODY.ambient) / 2
    assert still.block == pytest.approx(HOTEND_BODY.ambient + rise)
    assert blown.block == pytest.approx(HOTEND_BODY.ambient + rise / 1.25)


@given(body=bodies, already=st.floats(0, 200), temperature=st.floats(30, 340), load=st.floats(1, 3))
def test_a_temperature_is_never_reached_before_the_computed_time(body, already, temperature, load):
    masses = stepped(body, 1.0, already)
    soonest = masses.soonest_at(temperature)
    masses.set_load(load)
    for _ in range(min(2000, math.floor(soonest / TICK_S) if soonest < math.inf else 2000)):
        masses.step(1.0)
        assert masses.hottest <= temperature + 1e-6


def test_a_sensor_in_the_air_cools_while_the_block_heats():
    masses = stepped(HOTEND_BODY, 0.5, 300)
    block, sensor = masses.block, masses.sensor
    for _ in range(round(10 / TICK_S)):
        masses.step_apart(1.0)
    assert masses.block > block + 10
    assert masses.sensor == pytest.approx(HOTEND_BODY.ambient + (sensor - HOTEND_BODY.ambient) * math.exp(-1))
