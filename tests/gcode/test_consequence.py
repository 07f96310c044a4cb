from pathlib import Path

import pytest

from gcode import dialect
from gcode.consequence import confirms_stop, consequence
from gcode.replies import parse

MARLIN, MARLIN_1_0, PRUSA, REPETIER = dialect.MARLIN, dialect.MARLIN_1_0, dialect.PRUSA, dialect.REPETIER
SMOOTHIE, KLIPPER, REPRAPFIRMWARE = dialect.SMOOTHIE, dialect.KLIPPER, dialect.REPRAPFIRMWARE
UNKNOWN = dialect.UNKNOWN

LINES = Path(__file__).parents[1] / "data/replies/lines.txt"


def known_lines():
    spoken = None
    for row in LINES.read_text("utf-8").splitlines():
        if row.endswith(":") and "  " not in row:
            spoken = {each.name: each for each in (*dialect.DIALECTS, UNKNOWN)}[row[:-1]]
        elif row and not row.startswith("#"):
            yield spoken, row[:16].strip(), row[16:31].strip(), row[31:]


@pytest.mark.parametrize(("spoken", "reply", "follows", "line"), list(known_lines()))
def test_errors_are_attributed_to_their_line(spoken, reply, follows, line):
    parsed_reply = parse(line.encode())
    assert (type(parsed_reply).__name__, consequence(spoken, parsed_reply)) == (reply, follows)


HALTS = [
    (MARLIN, "Error:Printer halted. kill() called!"),
    (MARLIN, "Error:Thermal Runaway, system stopped! Heater_ID: bed"),
    (MARLIN, "Error:MINTEMP triggered, system stopped! Heater_ID: 0"),
    (MARLIN, "Error:Heating failed, system stopped! Heater_ID: 0"),
    (MARLIN, "Error:Printer stopped due to errors. Fix the error and use M999 to restart."),
    (MARLIN, "Printer stopped due to errors. Fix the error and use M999 to restart."),  # to each move from then on
    (MARLIN_1_0, "Error:0: Extruder switched off. MAXTEMP triggered !"),
    (PRUSA, "Error: THERMAL RUNAWAY (PREHEAT HOTEND)"),
    (PRUSA, "Error:0: Heaters switched off. MINTEMP triggered!"),
    (PRUSA, "Error:Printer stopped due to errors. Supervision required."),
    (REPETIER, "fatal:Heater/sensor error - Printer stopped and heaters disabled due to this error. Fix error and"),
    (REPETIER, "Error:Printer set into dry run mode until restart!"),
    (REPETIER, "Error:Fail mode active. Send M999 to disable failed mode!"),
    (SMOOTHIE, "!!"),
    (SMOOTHIE, "Limit switch +X was hit - reset or M999 required"),
    (SMOOTHIE, "ok Emergency Stop Requested - reset or M999 required to exit HALT state"),
    (SMOOTHIE, "Entering Alarm/Halt state"),
    (SMOOTHIE, "ERROR: Temperature runaway on T (delta temp 12.0), HALT asserted, TURN POWER OFF IMMEDIATELY"),
    (SMOOTHIE, "HALTED, M999 or $X to exit HALT state"),
    (KLIPPER, "// Klipper state: Shutdown"),
    (KLIPPER, "// Printer is shutdown"),
    (KLIPPER, "!! Shutdown due to M112 command"),
    (KLIPPER, "!! Lost communication with MCU 'mcu'"),
    (REPRAPFIRMWARE, "Error: M104: Machine is halted"),
    (REPETIER, "fatal:Printer stopped by M112"),
    (UNKNOWN, "!! Shutdown due to M112 command"),
    (UNKNOWN, "fatal:Printer stopped by M112"),
    (UNKNOWN, "!!"),
    (UNKNOWN, "Error:Printer halted. kill() called!"),
    (UNKNOWN, "// Klipper state: Shutdown"),
]  # fmt: skip


@pytest.mark.parametrize(("spoken", "line"), HALTS)
def test_errors_that_halt_are_recognised(spoken, line):
    assert consequence(spoken, parse(line.encode())) == "halt"


@pytest.mark.parametrize("known", dialect.DIALECTS, ids=lambda each: each.name)
def test_whatever_halts_a_known_firmware_halts_an_unknown_one(known):
    errors = [f"Error: {text}" for text in known.errors.halt_errors]
    for line in (*errors, *known.errors.halt_lines):
        assert consequence(UNKNOWN, parse(line.encode())) == "halt", line


GOES_ON = [
    (MARLIN, "Error:Probing Failed", "harmless"),
    (MARLIN, "Error:Failed to enable Bed Leveling", "harmless"),
    (MARLIN, "Error:EEPROM datasize error.", "harmless"),
    (MARLIN, "Error:EEPROM CRC mismatch - (stored) 1 != 2 (calculated)!", "harmless"),
    (MARLIN, "Error:volume.init failed", "harmless"),
    (MARLIN, "Error:SD read error", "harmless"),
    (MARLIN, "Error:RX BUF overflow, increase RX_BUFFER_SIZE: 127", "harmless"),
    (MARLIN, "Error:Protected Pin", "refusal"),
    (MARLIN, "Error:G2/G3 bad parameters", "refusal"),
    (MARLIN, "Error:checksum mismatch, Last Line: 2", "communication"),
    (PRUSA, "Error:openRoot failed", "harmless"),
    (REPETIER, "Error:No EEPROM support compiled.", "harmless"),
    (REPETIER, "Error:Wrong checksum", "communication"),
    (REPETIER, "Error:expected line 5 got 9", "communication"),
    (REPETIER, "Error:z-probe triggered before starting probing.", "refusal"),
    (SMOOTHIE, "Error:invalid tool: 3", "refusal"),  # the halt is reported after it
    (KLIPPER, "!! Must home axis first: 10.000 0.000 0.000 [0.000]", "refusal"),
    (KLIPPER, "!! Move out of range: 310.000 20.000 0.200 [0.000]", "refusal"),
    (KLIPPER, "// Klipper state: Ready", "none"),
    (REPRAPFIRMWARE, "Error: G0/G1: insufficient axes homed", "refusal"),
    (MARLIN, "echo:busy: processing", "none"),
    (MARLIN, "ok", "none"),
    (MARLIN, 'echo:Unknown command: "M999"', "none"),
    (UNKNOWN, "!! Must home axis first", "refusal"),
    (UNKNOWN, "Error:", "refusal"),
    (REPETIER, "info:Continue from fatal state", "none"),
    (MARLIN, "echo: cold extrusion prevented", "warning"),
    (PRUSA, "Hotend fan speed is lower than expected", "warning"),
    (PRUSA, "Invalid extruder", "warning"),
    (MARLIN, "echo:T1 Invalid extruder", "warning"),
    (REPRAPFIRMWARE, "Warning: M106: fan number 3 not found", "warning"),
    (SMOOTHIE, "// Filament Detector has detected a filament jam", "warning"),
    (UNKNOWN, "Error:Probing Failed", "harmless"),
]  # fmt: skip


@pytest.mark.parametrize(("spoken", "line", "expected"), GOES_ON)
def test_errors_that_do_not_halt_have_their_consequence(spoken, line, expected):
    assert consequence(spoken, parse(line.encode())) == expected


@pytest.mark.parametrize(
    ("spoken", "line"),
    [
        (MARLIN, "Error:Printer halted. kill() called!"),
        (MARLIN, "start"),
        (PRUSA, "M112 called. Emergency Stop."),
        (KLIPPER, "// Klipper state: Shutdown"),
        (KLIPPER, "!! Shutdown due to M112 command"),
        (SMOOTHIE, "ok Emergency Stop Requested - reset or M999 required to exit HALT state"),
        (SMOOTHIE, "HALTED, M999 or $X to exit HALT state"),
        (REPRAPFIRMWARE, "RepRapFirmware for Duet 2 is up and running."),
        (REPETIER, "start"),
    ],
)
def test_answers_that_confirm_an_emergency_stop_are_recognised(spoken, line):
    assert confirms_stop(spoken, parse(line.encode()))
    assert confirms_stop(UNKNOWN, parse(line.encode()))


@pytest.mark.parametrize("spoken", dialect.DIALECTS)
def test_no_usual_answer_confirms_an_emergency_stop(spoken):
    for line in (
        "ok",
        "ok T:20.0 /0.0",
        "T:20 /0",
        "echo:busy: processing",
        "wait",
        "Resend: 5",
        "// Klipper state: Ready",
    ):
        assert not confirms_stop(spoken, parse(line.encode()))
