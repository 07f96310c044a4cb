"""The limits of motion that apply, and small files of real slicers and printers."""

from pathlib import Path

import pytest

from daemon.config import ProfileConfig
from daemon.config.presets import find
from daemon.front.analysis.file_analysis import analyse, machine

HEAD = "M104 S200\nG28\n"
TAIL = "M104 S0\nM84\n"
MOVES = "M83\n" + "".join(f"G1 X{n % 2 * 100} Y{n} E1 F30000\n" for n in range(60))
ORCA = """; CONFIG_BLOCK_START
; machine_max_acceleration_x = 20000,20000
; machine_max_acceleration_y = 20000,20000
; machine_max_acceleration_extruding = 20000,20000
; machine_max_speed_x = 500
; CONFIG_BLOCK_END
"""
M503 = ("M203 X100 Y100 Z5 E25", "M201 X500 Y500 Z100 E5000", "M204 P500 R500 T500", "M205 X8 Y8 Z0.4 E5")
CASES = Path(__file__).parents[1] / "data/gcode/cases"


def analyse_text(tmp_path, text, profile=None, settings=(), firmware=""):
    path = tmp_path / "a.gcode"
    path.write_text(text)
    return analyse(path, machine(profile or ProfileConfig(), settings, firmware))


def test_limits_come_from_the_printer_then_the_file_then_the_preset(tmp_path):
    file, plain, mk3s = HEAD + ORCA + MOVES + TAIL, HEAD + MOVES + TAIL, find("mk3s").profile
    analyses = [
        analyse_text(tmp_path, file, mk3s, M503, "Marlin 2.1"),
        analyse_text(tmp_path, file, mk3s),
        analyse_text(tmp_path, plain, mk3s),
        analyse_text(tmp_path, plain),
    ]
    assert [each.limits_from for each in analyses] == ["printer", "file", "profile", "defaults"]
    by_printer, by_file, by_preset, _ = (each.motion_s for each in analyses)
    assert by_file < by_preset < by_printer


def test_metadata_is_read_from_the_head_and_the_end_of_a_file(tmp_path):
    head, tail = (analyse_text(tmp_path, text) for text in (ORCA + HEAD + MOVES + TAIL, HEAD + MOVES + TAIL + ORCA))
    assert head.motion_s == pytest.approx(tail.motion_s)
    assert head.limits_from == tail.limits_from == "file"


def test_defaults_do_not_cap_what_the_file_asks_for(tmp_path):
    slow = analyse_text(tmp_path, HEAD + MOVES + TAIL)
    fast = analyse_text(tmp_path, HEAD + "M204 S20000\n" + MOVES + TAIL)
    assert slow.max_speed == fast.max_speed == 500
    assert fast.motion_s < 0.7 * slow.motion_s
    stated = analyse_text(tmp_path, HEAD + "M201 X20000 Y20000\nM204 S20000\n" + MOVES + TAIL, find("mk3s").profile)
    assert stated.motion_s < analyse_text(tmp_path, HEAD + MOVES + TAIL, find("mk3s").profile).motion_s


@pytest.mark.parametrize(
    "mark", ["; gcode_flavor = klipper\n", "PRINT_START BED=60\n", "SET_VELOCITY_LIMIT ACCEL=3000\n"]
)
def test_a_file_for_klipper_is_timed_by_klippers_planner(tmp_path, mark):
    assert analyse_text(tmp_path, HEAD + mark + MOVES + TAIL).planner == "Klipper"
    assert analyse_text(tmp_path, HEAD + mark + MOVES + TAIL, firmware="Marlin 2.1.2").planner == "Marlin"
    assert analyse_text(tmp_path, HEAD + MOVES + TAIL, firmware="Klipper").planner == "Klipper"
    assert analyse_text(tmp_path, HEAD + MOVES + TAIL, find("voron-2-300").profile).planner == "Klipper"


def test_changes_and_probing_take_their_configured_time(tmp_path):
    profile = ProfileConfig(extruders=2, tool_change_s=20.0, filament_change_s=120.0, probing_s=90.0)
    times = analyse_text(tmp_path, HEAD + "G29\n" + MOVES + "T1\nM600\n" + TAIL, profile)
    assert (times.probing_s, times.changes_s) == (90.0, 140.0)
    parts = (times.motion_s, times.heating_s, times.homing_s, times.dwell_s, times.probing_s, times.changes_s)
    assert times.duration_s == pytest.approx(sum(parts))


@pytest.mark.parametrize(
    ("name", "preset", "warning"),
    [
        ("delta_center", "flsun-qqs-pro", ""),
        ("mk3_prime", "mk3s", ""),
        ("ender3v3se", "ender-3-v3-se", ""),
        ("e_only_start_nohome", "ender-3", "prints before the axes are homed"),
        ("preheat150", "ender-3", ""),
        ("mmu_m109", "mk3s-mmu2s", ""),
        ("klipper_start", "voron-2-300", ""),
        ("klipper_startlong", "voron-2-300", ""),
        ("m486_longname", "mk3s", "a text is cut"),
        ("delta_center", "", ""),
        ("mk3_prime", "", ""),
        ("ender3v3se", "", ""),
        ("klipper_startlong", "", ""),
        ("mmu_m109", "", "the file uses T1"),
    ],
)
def test_reported_files_have_no_false_errors_or_warnings(name, preset, warning):
    analysis = analyse(CASES / f"{name}.gcode", machine(find(preset).profile if preset else ProfileConfig()))
    assert analysis.errors == ()
    assert [each for each in analysis.warnings if not warning or warning not in each] == []
    assert bool(warning) == bool(analysis.warnings)


def test_a_delta_is_refused_where_its_origin_is_a_corner():
    analysis = analyse(CASES / "delta_center.gcode", machine(find("ender-3").profile))
    assert [each.partition(" from")[0] for each in analysis.errors] == [
        "prints outside the build volume: X",
        "prints outside the build volume: Y",
    ]


def test_fast_files_for_klipper_and_bambu_are_not_estimated_too_slow():
    """104 mm at 500 mm/s and 10,000 or 20,000 mm/s² from rest to rest."""
    for name, acceleration in (("klipper_accel", 10_000), ("m204_20000", 20_000), ("bambu_small", 10_000)):
        analysis = analyse(CASES / f"{name}.gcode", machine(ProfileConfig()))
        moves = analysis.commands - 12
        from_rest = 500 / acceleration + 104.4 / 500
        assert analysis.motion_s == pytest.approx(moves * from_rest, rel=0.12), name
