"""The effects of motion commands on the machine, and the replies."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gcode.planner import MotionLimits
from support.printer_bench import PrinterBench

FAST = ("M203 X500 Y500 Z500 E500", "M201 X1000 Y1000 Z1000 E1000", "M204 P1000 R1000 T1000")


@pytest.fixture
def printer():
    bench = PrinterBench()
    bench.tell(*FAST)
    return bench


@pytest.fixture
def homed(printer):
    printer.tell("G28")
    return printer


# ── how long ────────────────────────────────────────────────────────────────────────────────────────────────────────

ALONE = 0.1  # a single move waits for more


def test_one_move_takes_what_its_trapezoid_takes(printer):
    assert printer.seconds("G1 X100 F3000") == pytest.approx(ALONE + 100 / 50 + 50 / 1000, rel=1e-3)


def test_a_short_move_is_a_triangle(printer):
    assert printer.seconds("G1 X5 F30000") == pytest.approx(ALONE + 2 * math.sqrt(5 / 1000), rel=1e-3)


@pytest.mark.parametrize(("percent", "speed"), [(50, 25), (200, 100), (1, 5)])
def test_m220_scales_the_feedrate(printer, percent, speed):
    printer.tell(f"M220 S{percent}")
    assert printer.seconds("G1 X100 F3000") == pytest.approx(ALONE + 100 / speed + speed / 1000, rel=1e-3)


def test_m220_saves_and_restores(printer):
    printer.tell("M220 S50", "M220 B", "M220 S80", "M220 R")
    assert printer.tell("M220") == ["FR:50%"]


def test_m204_sets_each_acceleration(printer):
    printer.tell("M204 P500 T250 R125")
    assert printer.seconds("G1 X100 F3000") == pytest.approx(ALONE + 2 + 50 / 250, rel=1e-3)
    assert printer.seconds("G1 X0 E1 F3000") == pytest.approx(ALONE + 2 + 50 / 500, rel=1e-3)
    assert printer.seconds("G1 E101 F3000") == pytest.approx(ALONE + 2 + 50 / 125, rel=1e-3)


def test_inches_are_converted(printer):
    assert printer.seconds("G20", "G1 X2 F100", "G21") == pytest.approx(
        ALONE + 50.8 / (2540 / 60) + 2540 / 60 / 1000, rel=1e-3
    )
    assert printer.position[0] == pytest.approx(50.8)


@pytest.mark.parametrize("line", ["G2 X60 Y40 I20", "G3 X60 Y40 I20", "G2 X60 Y40 R20", "G3 X60 Y40 R20"])
def test_half_a_circle_moves_to_its_end(homed, line):
    homed.tell("G1 X20 Y40 Z5 F6000")
    assert homed.seconds("M205 J0.3", f"{line} F1800") == pytest.approx(math.pi * 20 / 30 + 30 / 1000, rel=1e-3)
    assert homed.position[:2] == (60, 40)


@pytest.mark.parametrize(("way", "first"), [("G2", 1), ("G3", -1)])
def test_a_full_circle_returns_to_its_start(homed, way, first):
    homed.tell("G1 X20 Y40 F6000", "M205 J0.3")
    homed.finish()
    homed.oracle.path.clear()
    assert homed.seconds(f"{way} I20 F1800") == pytest.approx(math.tau * 20 / 30 + 30 / 1000, rel=1e-3)
    assert (homed.oracle.path[0].y - 40) * first > 0
    assert max(step.x for step in homed.oracle.path) == pytest.approx(60, abs=0.1)
    assert homed.oracle.position[:2] == pytest.approx((20, 40))


def test_a_helix_rises_and_extrudes_evenly(homed):
    homed.tell("G1 X20 Y40 Z1 F6000", "G92 E0", "M400")
    homed.oracle.path.clear()
    homed.tell("G2 I20 Z11 E6 F1800", "M400")
    turning = homed.oracle.path
    assert len(turning) > 100
    assert sum(step.extruded for step in turning) == pytest.approx(6)
    assert [step.z for step in turning] == pytest.approx(
        [1 + 10 * n / len(turning) for n in range(1, len(turning) + 1)]
    )


def test_an_arc_without_centre_moves_nothing(homed):
    homed.tell("G1 X20 Y20 F3000")
    assert homed.tell("G2 X40 Y40") == ["Error:G2/G3 bad parameters"]
    assert homed.position[:2] == (20, 20)


@pytest.mark.parametrize(("line", "seconds"), [("G4 S3", 3), ("G4 P1500", 1.5)])
def test_a_dwell_begins_when_the_machine_is_at_rest(printer, line, seconds):
    assert printer.seconds("G1 X10 F600", line) == pytest.approx(ALONE + 1 + 10 / 1000 + seconds, rel=1e-3)


# ── where ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_absolute_and_relative_moves_are_followed(homed):
    homed.tell("G1 X10 Y10 E2 F3000", "G91", "G1 X5 E1", "G1 Y-5 E1", "G90", "G1 X1", "M83", "G1 E1", "G1 E1")
    homed.finish()
    assert homed.position == pytest.approx((1, 5, 0, 6))


def test_g92_sets_the_position(homed):
    homed.tell("G1 X50 E5 F3000", "G92 X0 E0", "G1 X10 E1")
    homed.finish()
    assert homed.position[0] == 60
    assert homed.oracle.extruded == {0: pytest.approx(6)}
    assert homed.tell("M114")[0].startswith("X:10.00 Y:0.00 Z:0.00 E:1.00 Count X:4800")


def test_the_reported_position_is_the_end_of_moves_or_the_actual_one(homed):
    homed.tell("G1 X100 F600")
    homed.now += 5
    ends, is_at = homed.tell("M114")[0], homed.tell("M114 R")[0]
    assert ends.startswith("X:100.00")
    assert is_at.startswith("X:4")
    assert ends.split("Count")[1] == is_at.split("Count")[1]


def test_soft_endstops_keep_the_machine_on_its_bed(homed):
    homed.tell("G1 X500 Y-20 Z300 F30000")
    assert homed.position[:3] == (200, 0, 200)
    replies = homed.tell("M211 S0", "G1 X210", "M211 S1")
    assert replies[0] == "echo:Soft endstops: OFF  Min:  X0.00 Y0.00 Z0.00   Max:  X200.00 Y200.00 Z200.00"
    assert replies[-1].startswith("echo:Soft endstops: ON")
    assert homed.position[0] == 210


def test_soft_endstops_mean_nothing_before_homing(printer):
    printer.tell("G1 X-20 F3000")
    assert printer.position[0] == -20


def test_motors_off_forget_the_position(homed):
    homed.tell("M18 X")
    assert homed.board.modal.homed == {1, 2}
    homed.tell("M84 S60")
    assert homed.board.modal.homed == {1, 2}
    homed.tell("M84")
    assert not homed.board.modal.homed


# ── homing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_homing_takes_as_long_as_the_way_to_the_endstops(printer):
    first = printer.seconds("G28")
    printer.tell("G1 X50 F3000")
    # 50 mm and the bump at 50 mm/s, then the bump at half of that; from rest each time, to a stop at the switch
    assert printer.seconds("G28 X") == pytest.approx(50 / 50 + 5 / 50 + 5 / 25 + (50 + 50 + 25) / 2000, rel=1e-3)
    assert 15 < first < 20
    assert printer.position[:3] == (0, 0, 0)
    assert printer.oracle.position == (0, 0, 0)


def test_an_endstop_that_fails_halts_the_printer(printer):
    printer.board.broken_endstops.add(1)
    assert printer.tell("G28")[-2:] == ["echo:Homing Failed", "Error:Printer halted. kill() called!"]
    assert printer.firmware.halted
    assert printer.board.modal.homed == {0}


# ── guards ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_cold_extrusion_is_prevented(printer):
    assert printer.tell("M302 P0", "G1 X10 E5 F3000") == ["echo: cold extrusion prevented"]
    printer.finish()
    assert printer.oracle.extruded == {}
    assert printer.oracle.position[0] == 10
    assert printer.tell("M302") == ["echo:Cold extrudes are disabled (min temp 170C)"]
    assert printer.tell("M302 S0", "G1 E10") == []
    assert printer.tell("M302") == ["echo:Cold extrudes are enabled (min temp 0C)"]


def test_extruding_a_whole_spool_at_once_is_refused(printer):
    assert printer.tell("G1 E201 F3000") == ["echo: too long extrusion prevented"]
    printer.finish()
    assert printer.oracle.extruded == {}


def test_m221_scales_the_filament(printer):
    printer.tell("M221 S50", "G1 X10 E4 F3000")
    printer.finish()
    assert printer.oracle.extruded == {0: pytest.approx(2)}
    assert printer.tell("M221") == ["echo:E0 Flow: 50%"]


def test_limits_out_of_range_are_refused(printer):
    assert printer.tell("M205 J2") == ["Error:?J out of range (0.01 to 0.3)"]
    assert printer.board.limits.junction_deviation == 0.013
    assert printer.tell("M204")[0] == "Acceleration: P1000.00 R1000.00 T1000.00"


def test_settings_from_the_eeprom_apply_to_the_next_move():
    printer = PrinterBench(eeprom=True)
    printer.tell("M204 T500", "M205 S3 B0", "M500", "M204 T3000")
    assert printer.seconds("M501", "G1 X100 F3000") == pytest.approx(ALONE + 2 + 50 / 500, rel=1e-3)
    assert "echo:  M205 B0.00 S3.00 T0.00 J0.01" in printer.tell("M503")


def test_a_firmware_with_classic_jerk_reports_it():
    printer = PrinterBench(limits=MotionLimits(classic_jerk=True))
    assert printer.tell("M205 X8 J2") == []
    assert "echo:  M205 B20000.00 S0.00 T0.00 X8.00 Y10.00 Z0.30 E5.00" in printer.tell("M503")


# ── tools ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_missing_tool_is_refused(printer):
    assert printer.tell("T1") == ["echo:T1 Invalid extruder"]
    assert printer.tell("T0") == []


def test_a_new_nozzle_goes_where_the_old_one_was():
    printer = PrinterBench(extruders=2)
    printer.tell("G28", "M218 T1 X20 Y-5", "G1 X100 Y100 E3 F6000", "M83")
    assert printer.tell("M218") == ["echo:Hotend offsets: 0.00,0.00,0.000 20.00,-5.00,0.000"]
    assert printer.tell("T1") == ["echo:Active Extruder: 1"]
    assert printer.oracle.position[:2] == (80, 105)
    assert printer.tell("M114")[0].startswith("X:100.00 Y:100.00")
    printer.tell("G1 X110 E2", "T0", "M400")
    assert printer.oracle.position[:2] == (110, 100)
    assert printer.oracle.extruded == {0: pytest.approx(3), 1: pytest.approx(2)}


def test_a_tool_change_can_be_without_a_move():
    printer = PrinterBench(extruders=2)
    printer.tell("G28", "M218 T1 X20", "G1 X100 F6000", "T1 S1", "M400")
    assert printer.oracle.position[0] == 100
    assert printer.tell("M114")[0].startswith("X:120.00")


# ── a stop ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_quick_stop_ends_an_arc_too(homed):
    homed.tell("G1 X20 Y40 F6000", "M400")
    homed.firmware.receive(b"G2 I20 F600\n", homed.now)
    homed.firmware.advance(homed.now + 3)
    homed.firmware.receive(b"M410\n", homed.now + 3)
    homed.now += 20
    replies = homed.firmware.advance(homed.now)
    assert replies.count(b"ok") == 2
    stopped = homed.oracle.position
    assert homed.position[:2] == pytest.approx(stopped[:2])
    assert math.dist(stopped[:2], (40, 40)) == pytest.approx(20, abs=0.1)
    assert math.dist(stopped[:2], (20, 40)) == pytest.approx(28, abs=5)  # 3 s at 10 mm/s


def test_a_reset_leaves_the_machine_where_it_is(homed):
    homed.tell("G1 X100 F600")
    homed.firmware.reset(homed.now + ALONE + 5)
    assert homed.oracle.position[0] == pytest.approx(50, abs=0.1)


_LINES = st.sampled_from(
    (
        *("G28", "G1 X100 Y50 F6000", "G1 X5 Z2", "G2 X20 I10", "G3 I5 Z1", "G91", "G90", "G20", "G21", "G1 E5", "M83"),
        *("G92 X0 Y0 Z0 E0", "M82", "M220 S50", "M221 S90", "M204 P500", "M205 J0.1", "M400", "G4 P10", "T1", "T0"),
        *("M410", "M218 T1 X9", "M114", "M114 R", "M84", "G1 X1e", "G2 R", "G2 X1 Y1 I" + "9" * 60, "G1 X" + "9" * 5),
    )
)


@example(["G1 X100 Y50 F6000", "G20", "G1 X99999"])
@given(st.lists(_LINES, max_size=25))
def test_any_sequence_is_answered_and_ends_at_the_reported_position(lines):
    printer = PrinterBench(extruders=2)
    printer.tell(*lines, "M400")
    driven = printer.oracle.position
    if driven is not None and "M410" not in lines:
        assert driven == pytest.approx(printer.position[:3], rel=1e-9, abs=1e-6)
    assert printer.tell("M114")[0].startswith("X:")
