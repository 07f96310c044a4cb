import pytest

from gcode.analysis.machine import Machine
from support.analysed import analyse, sliced

HEAD = "M104 S200\nG28\n"
TAIL = "M104 S0\nM84\n"
BODY = "G1 X50 Y50 Z.3 F6000\nG1 X60 E1\n"


def findings(text: str, **machine) -> tuple[list[str], list[str]]:
    found = analyse(text, Machine(**machine))
    return list(found.errors), list(found.warnings)


def test_a_sound_file_has_none():
    assert findings(HEAD + BODY + TAIL) == ([], [])


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (HEAD + "G1 X250 Y10 E1\n" + TAIL, "prints outside the build volume: X from 0 to 250, allowed 0 to 200"),
        (
            HEAD + "G1 Z-1\n" + BODY.replace("Z.3 ", "") + TAIL,
            "prints outside the build volume: Z from -1 to -1, allowed 0 to 200",
        ),
        ("M104 S350\n" + HEAD + BODY + TAIL, "tool0 is to be heated to 350 °C, the profile allows 300 °C (line 1)"),
        ("M190 S150\n" + HEAD + BODY + TAIL, "bed is to be heated to 150 °C, the profile allows 120 °C (line 1)"),
        ("G28\nM104 S100\n" + BODY + TAIL, "extrudes while the hotend's target is below 170 °C (line 4)"),
        (HEAD + BODY + "M104 S0\nG1 X50 E2\n" + TAIL, "extrudes while the hotend's target is below 170 °C (line 6)"),
        (HEAD + BODY + "M112\n" + TAIL, "M112 would stop the printer at once; it is left out (line 5)"),
        (HEAD + BODY + "M502\n" + TAIL, "M502 drops the printer's settings (line 5)"),
        (HEAD + BODY + "M997\n" + TAIL, "M997 starts a firmware update (line 5)"),
        (
            HEAD + BODY + "G1 X55." + "0" * 90 + "\n" + TAIL,
            "a command has 97 characters, the firmware reads 83 (line 5)",
        ),
    ],
)
def test_errors(text, error):
    assert findings(text)[0] == [error]


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("G28\n" + BODY + TAIL, "extrudes before the file sets a hotend temperature (line 3)"),
        ("M104 S200\n" + BODY + TAIL, "prints before the axes are homed (line 3)"),
        (HEAD + BODY, "nothing turns heaters or motors off at the end; is the file complete?"),
        (
            HEAD + BODY + "G1 X5",
            "nothing turns heaters or motors off at the end, and the last line has no end; is the file complete?",
        ),
        (HEAD + BODY + "M500\nM500\n" + TAIL, "M500 saves settings in the printer (line 5 and 1 more)"),
        (HEAD + BODY + "M110 N5\n" + TAIL, "M110 belongs to the link; it is left out (line 5)"),
        (
            HEAD + "G1 X250 F6000\nG1 X0\n" + BODY + TAIL,
            "moves outside the build volume: X from 0 to 250, allowed 0 to 200",
        ),
        (HEAD + BODY + "M117 " + "x" * 90 + "\n" + TAIL, "a text is cut, as the firmware reads 83 characters (line 5)"),
        (
            HEAD + BODY + "G1 E500\n" + TAIL,
            "moves 499 mm of filament at once; are absolute and relative E mixed up? (line 5)",
        ),
        (
            HEAD + "M83\nG1 X10 Y10\n" + "".join(f"G1 X{n} E{n}\n" for n in range(11, 60)) + TAIL,
            "extrudes more than any nozzle can; are absolute and relative E mixed up? (line 5 and 48 more)",
        ),
        ("M104 T3 S200\n" + HEAD + BODY + TAIL, "the file heats tool3, which the profile does not have (line 1)"),
        ("; hello\n", "the file prints nothing"),
    ],
)
def test_warnings(text, warning):
    errors, warnings = findings(text)
    assert warning in warnings
    assert errors == []


def test_a_bed_that_cannot_be_heated():
    text = "M140 S60\n" + HEAD + BODY + TAIL
    assert "the profile says cannot be heated" in findings(text, heated_bed=False)[1][0]
    assert findings(text) == ([], [])


def test_cold_extrusion_may_be_allowed():
    assert findings("G28\nM302 P1\nM104 S20\n" + BODY + TAIL) == ([], [])


def test_a_macro_homes_and_heats():
    assert findings("START_PRINT BED=60\n" + BODY + "END_PRINT\n") == ([], [])


def test_cut_off_in_the_middle():
    data = sliced("cube20")
    error = "the file is cut off: the settings that PrusaSlicer writes last are missing"
    assert analyse(data[: len(data) // 2]).errors == (error,)
    at_a_line = data[: data.rindex(b"\n", 0, len(data) // 2) + 1]
    assert analyse(at_a_line).errors == (error,)
    assert analyse(data[: data.index(b"; prusaslicer_config")]).errors == (), "all of the print is there"
    old = at_a_line + b"; layer_height = 0.2\n"  # as versions before 2.3 end, without a mark
    assert analyse(old).errors == ()


def test_line_numbers_are_those_of_an_editor():
    text = (HEAD + BODY + "M500\n" + TAIL).replace("\n", "\r\n")
    assert findings(text)[1] == ["M500 saves settings in the printer (line 5)"]


def test_a_delta_printer_has_its_origin_in_the_middle():
    volume = ((-100.0, 100.0), (-100.0, 100.0), (0.0, 200.0))
    assert findings(HEAD + "G1 X-50 Y-50 Z.3 F6000\nG1 X-60 E1\n" + TAIL, volume=volume) == ([], [])
