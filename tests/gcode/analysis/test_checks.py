import pytest

from gcode.analysis.machine import ANYWHERE, Machine
from gcode.dialect import KLIPPER, MARLIN, REPRAPFIRMWARE, SPRINTER, TEACUP
from support.analysed import analyse, sliced

HEAD = "M104 S200\nG28\n"
TAIL = "M104 S0\nM84\n"
BODY = "G1 X50 Y50 Z.3 F6000\nG1 X60 E1\n"


def findings(text: str, **machine) -> tuple[list[str], list[str]]:
    analysis = analyse(text, Machine(**machine))
    return list(analysis.errors), list(analysis.warnings)


def test_a_good_file_has_no_findings():
    assert findings(HEAD + BODY + TAIL) == ([], [])


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (HEAD + "G1 X250 Y10 E1\n" + TAIL, "prints outside the build volume: X from 0 to 250, allowed 0 to 200"),
        (
            HEAD + "G1 Z-1\n" + BODY.replace("Z.3 ", "") + TAIL,
            "prints outside the build volume: Z from -1 to -1, allowed 0 to 200",
        ),
        ("M104 S350\n" + HEAD + BODY + TAIL, "the file heats tool0 to 350 °C, but the profile allows 300 °C (line 1)"),
        ("M190 S150\n" + HEAD + BODY + TAIL, "the file heats bed to 150 °C, but the profile allows 120 °C (line 1)"),
        ("G28\nM104 S100\n" + BODY + TAIL, "extrudes while the hotend's target is below 170 °C (line 4)"),
        (
            HEAD + BODY + "M104 S0\n" + "".join(f"G1 X{50 + n} E{n}\n" for n in range(2, 40)) + TAIL,
            "extrudes after the hotend was turned off (line 6 and 37 more)",
        ),
        (HEAD + BODY + "M112\n" + TAIL, "M112 would stop the printer at once; it is left out (line 5)"),
        (HEAD + BODY + "M502\n" + TAIL, "M502 resets the printer's settings (line 5)"),
        (HEAD + BODY + "M997\n" + TAIL, "M997 starts a firmware update (line 5)"),
        (
            HEAD + BODY + "G1 X55." + "0" * 90 + "\n" + TAIL,
            "a command has 97 characters, but the firmware reads 83 (line 5)",
        ),
    ],
)
def test_each_error_is_found(text, error):
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
        (HEAD + BODY + "M110 N5\n" + TAIL, "M110 is left out: it would disturb the connection (line 5)"),
        (
            HEAD + "G1 X250 F6000\nG1 X0\n" + BODY + TAIL,
            "moves outside the build volume: X from 0 to 250, allowed 0 to 200",
        ),
        (HEAD + BODY + "M117 " + "x" * 90 + "\n" + TAIL, "a text is cut: the firmware reads 83 characters (line 5)"),
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
def test_each_warning_is_found(text, warning):
    errors, warnings = findings(text)
    assert warning in warnings
    assert errors == []


def test_heating_a_missing_heated_bed_is_found():
    text = "M140 S60\n" + HEAD + BODY + TAIL
    assert "the profile says cannot be heated" in findings(text, heated_bed=False)[1][0]
    assert findings(text) == ([], [])


def test_cold_extrusion_can_be_allowed():
    assert findings("G28\nM302 P1\nM104 S20\n" + BODY + TAIL) == ([], [])


def test_a_file_cut_off_in_the_middle_is_found():
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


def test_a_delta_has_its_origin_in_the_middle():
    volume = ((-100.0, 100.0), (-100.0, 100.0), (0.0, 200.0))
    assert findings(HEAD + "G1 X-50 Y-50 Z.3 F6000\nG1 X-60 E1\n" + TAIL, volume=volume) == ([], [])


SQUARE = "".join(f"G1 X{x} Y{y} E1\n" for x, y in ((70, 50), (70, 70), (50, 70), (50, 50)))
PART = "M83\n" + "".join(f"G1 Z{z / 5 + 0.2:g}\nG1 X50 Y50 F6000\n{SQUARE}" for z in range(5))
PURGE = "G1 X-3 Y-4 Z.3\nG1 X100 E9\nG92 E0\n"


def test_a_purge_line_beside_the_bed_is_allowed():
    errors, warnings = findings(HEAD + PURGE + PART + TAIL)
    assert errors == []
    assert "moves outside the build volume: X from -3 to 100, allowed 0 to 200" in warnings


def test_a_part_beside_the_bed_is_found_after_a_purge_line():
    outside = PART.replace("X70", "X270")
    for mark in ("", ";LAYER_CHANGE\n"):
        errors, _ = findings(HEAD + PURGE + mark + outside + TAIL)
        assert errors == ["prints outside the build volume: X from 50 to 270, allowed 0 to 200"]


def test_a_printer_of_unknown_size_refuses_no_position():
    result = findings(HEAD + BODY.replace("X60", "X-600") + TAIL, volume=(ANYWHERE, ANYWHERE, ANYWHERE))
    assert result == ([], [])


def test_a_round_bed_has_no_corners():
    round_ = {"radius": 100.0, "volume": ((-100.0, 100.0), (-100.0, 100.0), (0.0, 200.0))}
    corner = HEAD + "G1 X50 Y50 Z.3\nG1 X90 Y90 E1\n" + TAIL
    [error] = findings(corner, **round_)[0]
    assert error == "prints outside the build volume: distance from the middle from 0 to 127.28, allowed 0 to 100"
    assert findings(corner.replace("Y90", "Y40"), **round_) == ([], [])


def test_cold_moves_are_counted_over_the_whole_file():
    moves = "".join(f"G1 X{n % 100} Y{n // 100 % 100} E{n / 20:.2f}\n" for n in range(1, 20_001))
    assert findings("G28\nM104 S100\n" + moves + TAIL)[0] == [
        "extrudes while the hotend's target is below 170 °C (line 3 and 19999 more)"
    ]


@pytest.mark.parametrize("name", ["_PRINT_START", "START_PRINT BED=60", "PRINT_START_V2", "START T=200", "BEGIN_PRINT"])
def test_a_start_macro_homes_and_heats(name):
    assert findings(f"{name}\n{BODY}END_PRINT\n") == ([], [])


@pytest.mark.parametrize("name", ["EXCLUDE_OBJECT_START NAME=a", "TIMELAPSE_START", "SET_PRESSURE_ADVANCE ADVANCE=.1"])
def test_other_macros_do_not_home_or_heat(name):
    warnings = findings(f"{name}\n{BODY}END_PRINT\n")[1]
    assert {each.partition(" (")[0] for each in warnings} == {
        "extrudes before the file sets a hotend temperature",
        "prints before the axes are homed",
    }


def test_a_long_line_is_measured_as_the_firmware_reads_it():
    long_ = HEAD + BODY + "G1 X55." + "0" * 120 + "\n" + TAIL
    assert findings(long_, dialect=KLIPPER) == ([], [])
    assert findings(long_, dialect=REPRAPFIRMWARE) == ([], [])
    object_ = "EXCLUDE_OBJECT_DEFINE NAME=a POLYGON=" + "[1,2]," * 3000
    [error] = findings(f"{object_}\n{HEAD}{BODY}{TAIL}", dialect=KLIPPER)[0]
    assert "characters" in error, "the print would fail at it"
    errors, warnings = findings(long_, dialect_known=False)
    assert (errors, warnings) == ([], ["a command has 127 characters, but many firmwares read only 83 (line 5)"])
    assert findings("EXCLUDE_OBJECT_DEFINE NAME=" + "x" * 99 + "\n" + HEAD + BODY + TAIL, dialect_known=False) == (
        [],
        [],
    )
    assert findings("START_PRINT A=" + "1" * 99 + "\n" + BODY + TAIL, dialect_known=False) == ([], [])


@pytest.mark.parametrize("command", ["M486 A" + "x" * 90, "G1 X55 (" + "x" * 90 + ")", "M117 " + "x" * 90])
def test_a_long_name_or_comment_is_shortened(command):
    assert findings(HEAD + BODY + command + "\n" + TAIL)[0] == []


@pytest.mark.parametrize(
    "command",
    ["M104 S99 S999", "M104 S999 S99", "G10 P0 S999", "M568 P0 S999 R100", "T0 M104 S999", "M104 R999", "m104s999"],
)
def test_a_temperature_too_hot_for_any_firmware_is_found(command):
    [error] = findings(HEAD + BODY + command + "\n" + TAIL)[0]
    assert "999 °C" in error


@pytest.mark.parametrize("command", ["M106 S255", "G10 S1", "M117 M104 S999", "M486 AM104 S999", "G4 S999", "T0 S999"])
def test_other_numbers_are_not_temperatures(command):
    assert findings(HEAD + BODY + command + "\n" + TAIL)[0] == []


def test_a_chamber_has_a_limit_of_its_own():
    assert findings(HEAD + BODY + "M141 S70\n" + TAIL, max_chamber=60.0)[0] == [
        "the file heats chamber to 70 °C, but the profile allows 60 °C (line 5)"
    ]


def test_the_cold_extrusion_limit_is_the_printers():
    cold = "G28\nM104 S150\n" + BODY + TAIL
    assert findings(cold, min_extrusion=140.0) == findings(cold, min_extrusion=None) == ([], [])
    assert findings(cold, dialect_known=False)[0] == []


def test_tools_may_share_one_hotend():
    file = HEAD + "T0\n" + BODY + "T1\nM109 S205\nG1 X70 E1\n" + TAIL
    assert findings(file, tools=5, shared_nozzle=True) == ([], [])
    assert list(analyse(file, Machine(tools=5, shared_nozzle=True)).temperatures) == ["tool0"]
    [warning] = findings(file)[1]
    assert warning == "the file uses T1, but the profile has extruders = 1 (line 6)"


def test_relative_extrusion_read_as_absolute_is_found():
    moves = [f"G1 X{50 + n % 9} Y{50 + n % 7} E.{10 + n * 7 % 23}\n" for n in range(60)]
    mixed = "hardly any filament is extruded although the moves have an E: are absolute and relative E mixed up?"
    assert findings(HEAD + "".join(moves) + TAIL)[1] == [mixed]
    assert findings(HEAD + "".join(f"G1 X{50 + n % 9} E.05\n" for n in range(60)) + TAIL)[1] == [mixed]
    assert findings(HEAD + "M83\n" + "".join(moves) + TAIL) == ([], [])


def test_a_truncated_file_of_cura_is_found():
    layers = "".join(f";LAYER:{n}\nG1 X{50 + n} Z{n / 5 + 0.2:g} E{n + 1}\n" for n in range(5))
    head = ";Generated with Cura_SteamEngine 5.6.0\n;LAYER_COUNT:5\n" + HEAD
    assert findings(head + layers + TAIL) == ([], [])
    [error] = findings(head + layers[: layers.index(";LAYER:3")])[0]
    assert error == "the file is cut off: it has 3 of its 5 layers"


def test_commands_unknown_to_the_firmware_but_needed_are_a_warning():
    text = HEAD + BODY + "M600\nM73 P5\nM600\n" + TAIL
    assert findings(text, dialect=SPRINTER) == (
        [], ["Sprinter does not know M600: the filament is not changed (line 5 and 1 more)"],
    )  # fmt: skip
    assert findings(text, dialect=SPRINTER, dialect_known=False) == ([], [])
    assert findings(text) == findings(text, dialect=KLIPPER) == ([], [])  # it depends on the build, and on macros
    assert (
        "Teacup does not know M107: the fan stays on (line 5)"
        in findings(HEAD + BODY + "M107\n" + TAIL, dialect=TEACUP)[1]
    )
    arcs = HEAD + BODY + "G1 X60 E4\nG2 X70 Y50 I5 J0 E5\nG3 X60 Y50 I-5 E6\n" + TAIL
    assert (
        "Teacup does not know G2 and G3: arcs are left out: the part will have gaps (line 6 and 1 more)"
        in findings(arcs, dialect=TEACUP)[1]
    )
    assert not any("G2" in each for each in findings(arcs)[1])


@pytest.mark.parametrize(
    ("line", "dialect"),
    [
        ("M206 X60 Y60", MARLIN),
        ("G10 L2 P1 X100 Y100", REPRAPFIRMWARE),
        ("G55", REPRAPFIRMWARE),
        ("SET_GCODE_OFFSET X=100 Y_ADJUST=50 MOVE=1", KLIPPER),
    ],
)
def test_positions_after_a_moved_origin_are_not_errors(line, dialect):
    part = ";LAYER_CHANGE\nG1 X-50 Y-50 Z.3\nG1 X-40 E1 F600\nG1 Y-40 E2\n"
    assert len(findings(HEAD + part + TAIL, dialect=dialect)[0]) == 2
    errors, warnings = findings(HEAD + line + "\n" + part + TAIL, dialect=dialect)
    assert errors == []
    assert warnings[0] == (
        f"prints outside the build volume: X from -50 to -40, allowed 0 to 200; {line.split()[0]} in the file "
        "moves the origin, so this may be wrong"
    )
    only_z = HEAD + "SET_GCODE_OFFSET Z=0.1\nM206\nM206 Z1\nG10 S1\n" + part + TAIL
    assert len(findings(only_z, dialect=dialect)[0]) == 2


def test_a_start_file_of_reprapfirmware_homes_and_heats():
    for name in ("start.g", "0:/macros/print_start.g"):
        assert findings(f'M98 P"{name}"\n' + BODY + TAIL, dialect=REPRAPFIRMWARE) == ([], [])
    assert len(findings('M98 P"lights.g"\n' + BODY + TAIL, dialect=REPRAPFIRMWARE)[1]) == 2


@pytest.mark.parametrize("count", [1, 300])  # a few, and as many as are read together
def test_a_comment_between_words_hides_no_word(count):
    plain = analyse(HEAD + BODY + "G1 X60 Y60 E2 F1800\nG1 X50 Y50 E1\n" * count)
    analysis = analyse(HEAD + BODY + "G1 X60 (E99) Y60 E2 F1800\ng01 x50 (a) y50 (b) (c) e1 (d)\n" * count)
    assert (analysis.filament_mm, analysis.bounds, analysis.motion_s) == (
        plain.filament_mm,
        plain.bounds,
        plain.motion_s,
    )


@pytest.mark.parametrize("line", ["T1000", "T255", "T65535"])
def test_a_tool_number_that_unloads_filament_is_not_a_tool(line):
    assert findings(f"M104 S200\nG28\n{line}\nT0\n" + BODY + f"{line}\n" + TAIL) == ([], [])


def test_a_truncated_file_of_bambustudio_is_found():
    head = "; BambuStudio 01.09.00.00\n; layer_height = 0.2\n; EXECUTABLE_BLOCK_START\n" + HEAD + BODY
    error = "the file is cut off: its block of commands (EXECUTABLE_BLOCK) has no end"
    assert findings(head) == ([error], [])
    assert findings(head + TAIL) == ([], []), "it turns its heaters off, though it has been shortened"
    assert findings(head + "; EXECUTABLE_BLOCK_END\n")[0] == []
