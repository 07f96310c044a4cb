"""Commands for too much heat, in the words of every firmware, and files with them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcode.analysis.analyser import Analyser
from gcode.analysis.machine import Machine
from gcode.reader import clean
from gcode.too_hot import PLAIN, doubt, excess

HOTEND, BED, CHAMBER = 300.0, 120.0, 60.0

TOO_HOT = [
    # all firmwares
    "M104 S301", "m109 t1 s999", "M109 R400", "M190 S121", "M140 R121", "M141 S61", "M191 R61", "M104S999",
    "M104 S 999", "M104 S+999", "M0104 S999", "M104 S.5e4", "N5 M104 S999*101", "M104 S200 S999", "M104 S999 S200",
    # Marlin 1, Sprinter, Prusa: strtod; M104.1 is M104 without subcodes; more than one of a line
    "M104 S1e3", "M104 S1E+3", "M140 S2.e2", "M104.1 S999", "M104.0S999", "M+104 S999", "M1.04e2 S999",
    # newlib's strtof: Smoothieware, Marlin before it cut numbers at X
    "M104 S0x3E7", "M104 Sinf", "M104 SNAN",
    # Marlin 2: highest of AUTOTEMP, materials, patterns, filament change, tuning
    "M109 S200 B500 F1", "M145 S0 H999", "M145 S0 H200 B999 F0", "M145 S1 C99", "G26 H999", "G26 B121", "M600 R400",
    "M303 E-1 S200 C8", "M303 E0 S400", "M810 G28|M104 S999",
    # RepRapFirmware: tools, lists, expressions, further commands of a line, the limit itself
    "G10 P0 S999", "G10 P0 R999", "g10 p0 s999", "M568 P0 S999", "M568 P0 R999", "M568 P0 S200:999", "T0 M104 S999",
    "T0 m104 s999", "G1 X10 G10 P0 S999", "M104 S{999}", "M104 S{200+799}", "M104 S{ 2 * (250 + 1) }",
    "M104 S{-1*-999}", "M104 S{global.x + 999}", "M104 X{ S999", "M568 P0 S{200,999}", 'M104 S"999"', "M143 H1 S999",
    # comments in the midst of it
    "M104 S(9)999", "M1(x)04 S999",
    # Klipper and its kin
    "SET_HEATER_TEMPERATURE HEATER=extruder TARGET=999", "set_heater_temperature heater=heater_bed target=121",
    'SET_HEATER_TEMPERATURE HEATER="extruder1" TARGET="1e3"', "SET_HEATER_TEMPERATURE HEATER=chamber TARGET=61",
    "SET_HEATER_TEMPERATURE HEATER=x TARGET=1_000", "SET_HEATER_TEMPERATURE HEATER=extruder TARGET=nan",
    "PID_CALIBRATE HEATER=extruder TARGET=999", "PID_PROFILE CALIBRATE=a HEATER=extruder TARGET=999",
    "MPC_CALIBRATE HEATER=extruder TARGET=999", "TEMPERATURE_WAIT SENSOR=extruder MINIMUM=999",
    # Smoothieware's shell
    "set_temp hotend 999", "set_temp bed 121",
    # longer than any firmware reads, so that it is found soon
    "M568 P0 S" + "200:" * 100 + "200", "M104" + " S200" * 60,
]  # fmt: skip

DOUBTFUL = [
    "PRINT_START EXTRUDER=999", "START_PRINT BED_TEMP=200 EXTRUDER_TEMP=200", "_PRINT_START BED=60 HOTEND=1e3",
    "PRINT_START CHAMBER=61", "START BEDTEMP=200", "START TEMPERATURE_0=999",
    "M104 S{global.hot}", "M568 P0 S{heat.heaters[1].active}",
]  # fmt: skip

HARMLESS = [
    "M104 S300", "M140 S120", "M141 S60", "M104", "M104 S0", "M1040 S999", "M303 E0 S240 C8", "M145 S0 H200 B60 F255",
    "M117 M104 S999", "M118 M104 S999", "M486 A M104 S999", "G1 S999", "M106 S999", "G4 S999", "G10", "G10 S1",
    "G10 L2 P1 X300 S999", "M73 P99 R999", "M205 S999", "M204 S9000", "M600 X300 Y300", "M143 H1 S315", "M568 P0 A2",
    "G26 B60 H200 R5", "M104 S{190+10}", "M104 S2e2", "T0", "M308 S0 B3950", "M851 Z999",
    "SET_HEATER_TEMPERATURE HEATER=extruder TARGET=300", "SET_HEATER_TEMPERATURE HEATER=extruder",
    "TEMPERATURE_WAIT SENSOR=extruder MINIMUM=200 MAXIMUM=999", "SET_PRINT_STATS_INFO TOTAL_LAYER=999",
    "PRINT_START EXTRUDER=210 BED=60 TOTAL_LAYER=999 SIZE=0_0_220_220 MATERIAL=PLA", "SET_VELOCITY_LIMIT ACCEL=9000",
    "BED_MESH_CALIBRATE MESH_MIN=5,5 MESH_MAX=300,300", "G28", "START TEMPLATE=999 ATTEMPTS=999",
    "ACTIVATE_EXTRUDER EXTRUDER=extruder1",
]  # fmt: skip


def reason(line: str) -> str | None:
    return excess(clean(line.encode()), HOTEND, BED, CHAMBER)


def analysed(line: str):
    analyser = Analyser(Machine(max_hotend=HOTEND, max_bed=BED, max_chamber=CHAMBER))
    analyser.feed(f"G28\n{line}\nG1 X10 Y10 E1\n".encode())
    return analyser.finish()


@pytest.mark.parametrize("line", TOO_HOT)
def test_a_temperature_too_hot_is_never_sent_and_an_error_of_the_file(line):
    assert "the profile allows" in reason(line)
    assert not PLAIN(clean(line.encode()))  # or it would be sent without a look at it
    assert any("the profile allows" in error for error in analysed(line).errors)


@pytest.mark.parametrize("line", DOUBTFUL)
def test_possibly_too_hot_is_reported(line):
    assert reason(line) is None
    assert doubt(line.encode(), HOTEND, BED, CHAMBER)
    assert any(line in warning for warning in analysed(line).warnings)
    assert not analysed(line).errors


@pytest.mark.parametrize("line", HARMLESS)
def test_temperatures_within_the_limits_are_not_reported(line):
    assert reason(line) is None
    assert doubt(line.encode(), HOTEND, BED, CHAMBER) is None
    report = analysed(line)
    assert not any("profile allows" in text or "work out" in text for text in [*report.errors, *report.warnings])


@given(st.text("GMSRTHBE0123456789.+-*/(){}:,=\"'_ \txeinfa", max_size=120))
def test_the_check_raises_for_no_line(line):
    excess(clean(line.encode()), HOTEND, BED, CHAMBER)
    doubt(clean(line.encode()), HOTEND, BED, CHAMBER)


@given(st.text("GMSRTHBE0123456789.+- ", max_size=40))
def test_plain_moves_are_never_too_hot(line):
    command = clean(line.encode())
    assert not (PLAIN(command) and excess(command, HOTEND, BED, CHAMBER))


def test_the_limit_of_the_firmware_may_be_higher_than_that_of_the_profile_by_its_overshoot():
    assert reason("M143 H1 S999") == (
        "M143 H1 S999 sets the firmware's limit to 999 °C, but the profile allows 300 °C, and 15 °C more for that limit"
    )
