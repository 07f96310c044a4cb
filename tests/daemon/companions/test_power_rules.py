"""When the printer is switched off automatically, and when switching it off is refused."""

import math

from hypothesis import given
from hypothesis import strategies as st

from daemon.companions.power.rules import FRESH_S, AutoOff, HeaterReading, PrinterReading, why_not_off

COLD = {"tool0": HeaterReading(24.0, 0.0), "bed": HeaterReading(23.0, 0.0)}


def printer_at(at, *, heaters=COLD, busy=False, ready=True, known=True, commanded=0.0, age=2.0):
    return PrinterReading(known, ready, busy, "Printing" if busy else "Operational", heaters, at - age, commanded)


def automatic(now=0.0):
    return AutoOff(now, 1800.0, 50.0, 60.0)


def run(auto, until, look=printer_at, start=0, **more):
    """Look every second; return when it was announced and when it was due."""
    announced = due = None
    for now in range(start, until):
        plan = auto.plan(float(now), look(float(now), **more), on=True)
        announced = now if plan.off_at is not None and announced is None else announced
        if plan.is_due:
            due = now
            break
    return announced, due


def test_power_goes_off_after_idle_time_cold_and_an_announcement():
    assert run(automatic(), 4000) == (1800, 1860)


def test_power_stays_on_while_printing_heating_hot_or_silent():
    for more in (
        {"busy": True},
        {"ready": False},
        {"known": False},
        {"commanded": None},
        {"age": FRESH_S + 0.1},
        {"heaters": {}},
        {"heaters": {"bed": HeaterReading(20.0, 0.0)}},
        {"heaters": {"tool0": HeaterReading(20.0, 0.0), "bed": HeaterReading(20.0, 60.0)}},
        {"heaters": {"tool0": HeaterReading(20.0, math.nan)}},
        {"heaters": {"tool0": HeaterReading(20.0, None)}},
        {"heaters": {"tool0": HeaterReading(None, 0.0)}},
        {"heaters": {"tool0": HeaterReading(math.nan, 0.0)}},
        {"heaters": {"tool0": HeaterReading(-14.0, 0.0)}},
        {"heaters": {"tool0": HeaterReading(50.0, 0.0)}},
        {"heaters": {"tool0": HeaterReading(20.0, 0.0), "tool1": HeaterReading(80.0, 0.0)}},
    ):
        assert run(automatic(), 4000, **more) == (None, None), more


def test_a_sensor_without_a_heater_does_not_keep_the_power_on():
    assert run(automatic(), 4000, heaters=COLD | {"chamber": HeaterReading(30.0, None)}) == (1800, 1860)


def test_idle_time_is_not_counted_while_the_switch_is_unknown():
    auto = automatic()
    for on in (False, None):
        for now in range(4000):
            assert auto.plan(float(now), printer_at(float(now)), on=on).off_at is None
    assert run(auto, 9000, start=4000) == (5799, 5859)


def test_a_command_during_the_announcement_cancels_power_off():
    auto = automatic()
    assert run(auto, 1830) == (1800, None)
    assert auto.plan(1830.0, printer_at(1830.0, commanded=1829.5), on=True).off_at is None
    assert run(auto, 4000, start=1831, commanded=1829.5) == (3630, 3690)


def test_a_user_cancels_power_off():
    auto = automatic()
    run(auto, 1830)
    assert auto.cancel(1830.0)
    assert not auto.cancel(1831.0)
    assert run(auto, 4000, start=1831) == (3631, 3691)


def test_a_lost_connection_restarts_the_idle_time():
    auto = automatic()
    run(auto, 1700)
    auto.plan(1700.0, printer_at(1700.0, ready=False), on=True)
    assert run(auto, 4000, start=1701) == (3500, 3560)


def test_a_hotend_that_cools_slowly_is_waited_for():
    def cooling(now):
        return printer_at(now, heaters={"tool0": HeaterReading(250 - now / 10, 0.0)})

    assert run(automatic(), 9000, look=cooling) == (2001, 2061)


readings = st.one_of(st.none(), st.floats(), st.floats(-20, 300))
cold_readings = st.builds(HeaterReading, st.floats(1, 49), st.just(0.0))
unheated_readings = st.builds(HeaterReading, readings, st.just(0.0))
ANYTHING = (
    st.floats(0.1, 700),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.dictionaries(st.sampled_from(["tool0", "tool1", "bed"]), st.builds(HeaterReading, readings, readings)),
    st.floats(0, 30),
    st.none() | st.floats(-10, 4000),  # s since the last command
    st.sampled_from([True, False, None]),
)
IDLE = (
    st.floats(60, 700),
    st.sampled_from([True]),
    st.sampled_from([True]),
    st.sampled_from([False]),
    st.fixed_dictionaries({"tool0": cold_readings}, optional={"tool1": cold_readings, "bed": unheated_readings}),
    st.floats(0, 2),
    st.just(1e6),
    st.sampled_from([True]),
)
NEARLY_IDLE = st.integers(1, len(IDLE) - 1).flatmap(lambda at: st.tuples(*IDLE[:at], ANYTHING[at], *IDLE[at + 1 :]))
STEPS = st.sampled_from([*[st.tuples(*IDLE)] * 8, NEARLY_IDLE, st.tuples(*ANYTHING)]).flatmap(lambda step: step)


@given(st.lists(STEPS, min_size=10, max_size=40))
def test_power_off_is_due_only_if_every_condition_holds(steps):
    auto, now, quiet_since = automatic(), 0.0, 0.0
    for after, known, ready, busy, heaters, age, since_command, on in steps:
        now += after
        commanded = None if since_command is None else now - since_command
        what = PrinterReading(known, ready, busy, "", heaters, now - age, commanded)
        plan = auto.plan(now, what, on=on)
        holds = known and ready and not busy and commanded is not None and now - (now - age) <= FRESH_S and on is True
        holds = holds and all(each.target in (None, 0) for each in heaters.values())
        if not holds:
            quiet_since = now
        elif commanded > quiet_since:
            quiet_since = min(commanded, now)
        tools = [each for name, each in heaters.items() if name.startswith("tool")]
        cold = bool(tools) and all(
            each.target == 0 and each.actual is not None and 0 < each.actual < 50 for each in tools
        )
        if plan.is_due:
            assert holds
            assert cold
            assert now - quiet_since >= 1860.0
        if plan.off_at is not None:
            assert holds and cold  # noqa: PT018 - one thing


def test_a_user_may_not_switch_off_a_printing_or_hot_printer():
    def why(*, is_locked=True, **more):
        return why_not_off(printer_at(100.0, **more), 100.0, 50.0, is_locked=is_locked)

    assert "busy (Printing)" in why(busy=True)
    assert "tool0 is heating to 210 °C" in why(heaters={"tool0": HeaterReading(20.0, 210.0)})
    assert "bed is heating" in why(heaters={"tool0": HeaterReading(20.0, 0.0), "bed": HeaterReading(20.0, 60.0)})
    assert "tool0 is at 180 °C" in why(heaters={"tool0": HeaterReading(180.0, 0.0)})
    assert "does not answer" in why(known=False)
    assert why(busy=True, is_locked=False) is None
    assert why() is None
    assert why(ready=False) is None  # a printer that is not connected may be switched off
    # but a lost connection does not cool a hotend
    assert (
        why(ready=False, heaters={"tool0": HeaterReading(180.0, 200.0)}, age=60.0)
        == "tool0 is heating to 200 °C, 60 s ago"
    )
    assert why(ready=False, heaters={"tool0": HeaterReading(180.0, 200.0)}, age=700.0) is None
    # a firmware that probes or tunes is silent for a minute, which does not mean that it is cold
    assert why(heaters={"tool0": HeaterReading(180.0, 200.0)}, age=60.0) == "tool0 is heating to 200 °C, 60 s ago"
    assert "tool0 is at 180 °C, 60 s ago" in why(heaters={"tool0": HeaterReading(180.0, 0.0)}, age=60.0)
    assert why(age=60.0) is None
