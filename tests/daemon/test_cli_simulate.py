"""`nozzled simulate`, from the command line."""

import json
import re
import subprocess
import sys
from importlib.util import find_spec

import pytest

from daemon.cli import main
from hal.session_file import PRINTER, read
from support import bgcode
from support.processes import EXAMPLE, cannot_run, environment, nozzled

SQUARE = """\
; a square of one layer
M104 S200
M109 S200
G28
G92 E0
G1 Z0.2 F600
G1 X50 Y50 F6000
G1 X70 Y50 E1 F1200
G1 X70 Y70 E2
G1 X50 Y70 E3
G1 X50 Y50 E4
M104 S0
"""


@pytest.fixture
def square(tmp_path):
    path = tmp_path / "square.gcode"
    path.write_text(SQUARE)
    return path


def simulate(capsys, *arguments):
    """Run the command in this process; return its exit code and output."""
    code = main(["simulate", *map(str, arguments)])
    return code, capsys.readouterr()


def refusal(capsys, *arguments):
    """Return the message of a command line that is refused."""
    with pytest.raises(SystemExit) as refused:
        simulate(capsys, *arguments)
    assert refused.value.code == 2
    return capsys.readouterr().err


def test_the_result_is_described_in_words(capsys, square):
    code, printed = simulate(capsys, square, "--link", "115200")
    assert code == 0
    assert printed.out.startswith("square.gcode: printed, every line exactly once\n  part       came out\n")
    assert re.search(r"lines +11 of 11, 0 resend requests", printed.out)
    assert re.search(r"material +0\.004 m of filament", printed.out)
    assert re.search(r"tool0 +up to 2\d\d\.\d °C, target 200 °C, reached after 0:0\d:\d\d", printed.out)
    assert printed.err == ""
    assert list(square.parent.iterdir()) == [square]  # and nothing is left beside it


def test_packed_files_are_unpacked(capsys, tmp_path):
    binary, broken = tmp_path / "square.bgcode", tmp_path / "broken.bgcode"
    binary.write_bytes(bgcode.whole(SQUARE.encode(), compression=bgcode.HEATSHRINK_12))
    code, printed = simulate(capsys, binary, "--json")
    result = json.loads(printed.out)
    assert (code, result["exact"], result["filament_mm"]) == (0, True, 4.0)
    broken.write_bytes(binary.read_bytes()[:-1])
    code, printed = simulate(capsys, broken)
    assert code == 1
    assert "broken.bgcode: binary G-code: the file is cut off in block 5 (G-code)" in printed.err


def test_the_result_is_one_object_of_json(capsys, square):
    code, printed = simulate(capsys, square, "--json")
    result = json.loads(printed.out)
    assert code == 0
    assert result["exact"] is True
    assert (result["lines"], result["layers"], result["filament_mm"]) == (11, 1, 4.0)
    assert (result["underruns"], result["faults"]) == (0, [])
    assert result["duration_s"] > result["moving_s"] > 4


def test_an_inexact_print_fails_with_the_reason(capsys, square, tmp_path):
    scenario = tmp_path / "kill.toml"
    scenario.write_text('[[fault]]\nwhat = "kill"\nline = 9\n')
    code, printed = simulate(capsys, square, "--scenario", scenario, "--json")
    result = json.loads(printed.out)
    assert code == 1
    assert (result["exact"], [each["what"] for each in result["faults"]]) == (False, ["kill"])
    code, printed = simulate(capsys, square, "--scenario", scenario)
    assert code == 1
    assert printed.out.startswith("square.gcode: NOT printed exactly: ")
    assert "  events\n" in printed.out
    assert "connection lost" in printed.out


@pytest.mark.parametrize(
    ("firmware", "name"),
    [
        ("marlin", b"Marlin"),
        ("prusa", b"Prusa-Firmware"),
        ("repetier", b"Repetier"),
        ("smoothie", b"Smoothieware"),
        ("klipper", b"Klipper"),
    ],
)
def test_another_firmware_is_simulated(capsys, square, tmp_path, firmware, name):
    record = tmp_path / "session.jsonl.gz"
    code, printed = simulate(capsys, square, "--firmware", firmware, "--record", record)
    assert code == 0, printed.out
    said = b"".join(each.data for each in read([record]).records if each.kind == PRINTER)
    assert b"FIRMWARE_NAME:" + name in said


def test_a_session_can_be_recorded_and_replayed(capsys, square, tmp_path):
    record = tmp_path / "session.jsonl.gz"
    assert simulate(capsys, square, "--record", record)[0] == 0
    assert main(["replay", "--show", str(record)]) == 0
    shown = capsys.readouterr().out
    assert "1970-01-01" in shown
    assert re.search(r"-> N\d+G1X70Y50 ?E1 ?F1200\*\d+\n", shown)
    assert main(["replay", str(record)]) == 0  # with the settings of the connection, which are in the recording
    assert "no difference" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--link", "fast", "a whole number like 115200"),
        ("--link", "0", "a whole number like 115200"),
        ("--speed", "0", "max, or a number above 0"),
        ("--speed", "nan", "max, or a number above 0"),
        ("--seed", "-1", "a whole number, 0 or more"),
    ],
)
def test_a_wrong_option_is_refused_with_the_allowed_ones(capsys, square, option, value, message):
    assert message in refusal(capsys, square, f"{option}={value}")


def test_an_impossible_simulation_is_refused_before_it_begins(capsys, square, tmp_path):
    bad = tmp_path / "bad.toml"
    bad.write_text('[[fault]]\nwhat = "fire"\n')
    for arguments, message in (
        ([tmp_path / "none.gcode"], "there is no file"),
        ([tmp_path], "is a folder"),
        ([square, "--firmware", "hal9000"], "nozzled: firmware is 'hal9000'; allowed: "),
        ([square, "--scenario", bad], f"nozzled: scenario {bad}: fault 1: what is 'fire'; allowed: "),
        ([square, "--scenario", tmp_path / "none.toml"], "No such file"),
        ([square, "--report", tmp_path / "none" / "r.html"], "there is no folder"),
        ([square, "--record", tmp_path], "it is a folder"),
        ([square, "--record", square], "it is the file to simulate"),
        ([square, "--report", square], "it is the file to simulate"),
        ([square, "--record", "/proc/session"], "/proc/session cannot be written"),
    ):
        code, printed = simulate(capsys, *arguments)
        assert code == 1, arguments
        assert message in printed.err
        assert printed.out == ""


def test_a_full_disk_is_reported_after_the_print(capsys, square):
    code, printed = simulate(capsys, square, "--record", "/dev/full")
    assert code == 1
    assert printed.err == "nozzled: /dev/full cannot be written: No space left on device\n"


def test_without_the_library_for_plots_a_report_is_refused_at_once(capsys, square, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib" or "daemon.report" in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, printed = simulate(capsys, square, "--report", tmp_path / "r.html")
    assert code == 1
    assert "nozzled[report]" in printed.err
    assert printed.out == ""


def test_a_report_that_cannot_be_written_is_an_error_of_one_line(capsys, square):
    if find_spec("matplotlib") is None:
        cannot_run("matplotlib is not installed")
    code, printed = simulate(capsys, square, "--report", "/proc/report.html")
    assert code == 1
    assert printed.err.splitlines()[-1] == "nozzled: /proc/report.html cannot be written: No such file or directory"


def test_an_empty_file_is_printed_exactly(capsys, tmp_path):
    path = tmp_path / "empty.gcode"
    path.write_text("; nothing\n")
    code, printed = simulate(capsys, path, "--json")
    result = json.loads(printed.out)
    assert (code, result["exact"], result["lines"], result["layers"]) == (0, True, 0, 0)


def test_the_example_is_simulated_in_a_process_of_its_own():
    done = nozzled("simulate", str(EXAMPLE), "--link", "250000", "--json")
    result = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert result["exact"]
    assert result["layers"] == 99
    assert result["underruns"] == 0


COPIES_FOR_10_HOURS = 32  # of the example, which takes 21 minutes, heating included


# Prints the most memory that it used. The figure of `wait4` would include the process that it was forked from.
MEASURED = """
import re, sys
from pathlib import Path
from daemon.cli import main
code = main(sys.argv[1:])
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1], file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_ten_hours_fit_in_200_mb_and_are_deterministic(tmp_path):
    path, recorded, result = tmp_path / "long.gcode", [], {}
    path.write_bytes(EXAMPLE.read_bytes() * COPIES_FOR_10_HOURS)
    for name in ("one", "two"):
        record = tmp_path / f"{name}.jsonl.gz"
        command = ["simulate", str(path), "--link", "250000", "--record", str(record), "--json"]
        process = [sys.executable, "-c", MEASURED, *command]
        done = subprocess.run(process, capture_output=True, text=True, check=True, timeout=400, env=environment())
        result = json.loads(done.stdout)
        assert int(done.stderr.split()[-1]) < 200_000  # kB
        recorded.append(record.read_bytes())
    assert result["exact"]
    assert result["duration_s"] > 10 * 3600
    assert recorded[0] == recorded[1]


CENTRED = "M104 S200\nG28\nM109 S200\nG90\nM83\nG1 X-40 Y-40 Z.2 F6000\n" + (
    "G1 X40 E2\nG1 Y40 E2\nG1 X-40 E2\nG1 Y-40 E2\n" * 3 + "M104 S0\nM84\n"
)


def test_the_simulated_printer_has_the_configured_profile(capsys, tmp_path):
    path = tmp_path / "delta.gcode"
    path.write_text(CENTRED)
    assert main(["simulate", str(path), "--preset", "flsun-qqs-pro", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["good"], result["clipped"], result["against"]) == (True, 0, [])
    assert main(["simulate", str(path), "--preset", "ender-3", "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert (result["exact"], result["good"], result["clipped_laying"]) == (True, False, 6)
    assert any("prints outside the build volume: X" in each for each in result["against"])
    assert main(["simulate", str(path), "--preset", "ender-3"]) == 1
    output = capsys.readouterr().out
    assert "every line arrived exactly once, but the part did NOT come out" in output
    config = tmp_path / "nozzled.toml"
    config.write_text('[profile]\nwidth_mm = 100\ndepth_mm = 100\norigin = "center"\n')
    assert main(["simulate", str(path), "--config", str(config)]) == 0


def test_a_print_without_extrusion_fails(capsys, tmp_path):
    path = tmp_path / "cold.gcode"
    path.write_text(CENTRED.replace("-40", "20").replace("M109 S200\n", "").replace("M104 S200", "M104 S100"))
    assert main(["simulate", str(path), "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert result["exact"]
    assert result["prevented"] > 0
    assert result["prevented_mm"] > 0
    assert any("were not extruded" in each for each in result["against"])


def test_faults_are_grouped_by_kind(capsys, square, tmp_path):
    scenario = tmp_path / "s.toml"
    scenario.write_text('[[fault]]\nwhat = "flip"\nprobability = 0.02\n')
    _, printed = simulate(capsys, square, "--scenario", scenario)
    assert re.search(r"flip \d+ times, first at 0:", printed.out)


@pytest.mark.parametrize("firmware", ["marlin", "prusa", "klipper"])
def test_a_filament_change_is_a_pause_and_no_difference(capsys, tmp_path, firmware):
    path = tmp_path / "change.gcode"
    path.write_text(
        "M104 S200\nG28\nM109 S200\nM83\nG1 X50 Y50 Z.2 F6000\nG1 X100 E3 F1200\nM600\nG1 X50 E3\nM104 S0\n"
    )
    assert main(["simulate", str(path), "--firmware", firmware, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["good"]
    assert len(result["pauses"]) >= 1
