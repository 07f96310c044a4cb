import json
import math
import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gcode import planner
from gcode.analysis import blocks, timeline
from gcode.analysis.analyser import Analyser, BinaryGcodeError
from gcode.analysis.blocks import BLOCK
from gcode.analysis.machine import Machine
from gcode.analysis.settings import limits_from_part
from gcode.dialect import KLIPPER, MARLIN, REPRAPFIRMWARE
from gcode.errors import CommandError
from gcode.planner import MotionLimits
from support.analysed import SLICED, analyse, limits_of, sliced
from support.reading import read_whole

CUBE = sliced("cube20")
WHOLE = analyse(CUBE)
HEAD = "G28\nM104 S200\nG90\nM82\nG92 E0\n"


@pytest.mark.parametrize("name", SLICED)
def test_print_time_matches_the_slicer_for_the_same_limits(name):
    data = sliced(name)
    analysis = analyse(data, Machine(limits=limits_of(data)))
    assert analysis.motion_s == pytest.approx(SLICED[name], rel=0.01)
    assert analysis.slicer_estimate_s == SLICED[name]
    assert analysis.slicer == "PrusaSlicer 2.5.0"
    assert (analysis.errors, analysis.warnings) == ((), ())


@pytest.mark.parametrize("name", SLICED)
def test_filament_matches_the_slicer(name):
    analysis = analyse(sliced(name))
    assert analysis.filament_mm == pytest.approx(float(analysis.settings["filament used [mm]"]), abs=0.01)
    volume = analysis.tools[0].volume_mm3 / 1000
    assert volume == pytest.approx(float(analysis.settings["filament used [cm3]"]), abs=0.01)


def test_the_layers_of_the_cube_are_found():
    analysis = analyse(sliced("cube20"))
    assert len(analysis.layers) == 99
    assert (analysis.layers[0].z, analysis.layers[0].height, analysis.layers[-1].z) == (0.35, 0.35, 19.95)
    data = sliced("cube20")
    assert all(data[layer.offset :].startswith(b";LAYER_CHANGE") for layer in analysis.layers)
    whole = analysis.before_first_layer_s + sum(layer.duration_s for layer in analysis.layers)
    assert whole == pytest.approx(analysis.duration_s)
    ends = [layer.start_s + layer.duration_s for layer in analysis.layers]
    assert [layer.start_s for layer in analysis.layers[1:]] == pytest.approx(ends[:-1])


def test_layers_without_marks_are_found_by_height():
    data = sliced("cube20").replace(b";LAYER_CHANGE", b";")
    marked, guessed = analyse(sliced("cube20")), analyse(data)
    assert [layer.z for layer in guessed.layers] == [layer.z for layer in marked.layers]
    for a, b in zip(marked.layers, guessed.layers, strict=True):
        assert b.duration_s == pytest.approx(a.duration_s, abs=2.0)  # the way to it counts to the layer below


def test_the_timeline_runs_from_start_to_end():
    analysis = analyse(sliced("knob"))
    offsets, times = zip(*analysis.timeline, strict=True)
    assert list(offsets) == sorted(offsets)
    assert list(times) == sorted(times)
    assert 500 < len(offsets) <= 2048
    assert analysis.duration_s * 0.98 < times[-1] <= analysis.duration_s  # it ends homing: nothing is queued


@settings(max_examples=20)
@given(st.lists(st.integers(0, 170_000), max_size=4))
def test_the_result_is_the_same_however_a_file_is_split(cuts):
    assert analyse(CUBE, cuts=tuple(sorted(cuts))) == WHOLE


def test_a_long_file_gives_the_same_result_at_once_and_in_small_pieces():
    data = sliced("knob")
    assert len(data) > 3 * BLOCK
    assert analyse(data, cuts=tuple(range(4096, len(data), 4096))) == analyse(data)


_LINES = st.sampled_from(
    [
        b"G1 X10 Y10 E1 F3000",
        b"G1 X20 E2",
        b"G91",
        b"G90",
        b"M83",
        b"M82",
        b"G92 E0",
        b"G92 X1",
        b"G28",
        b"G28 X",
        b"G20",
        b"G21",
        b"G2 X20 Y10 I5",
        b"G3 X0 Y0 R9 E.1",
        b"G2",
        b"G3 I9",
        b"M204 S500",
        b"M204 P9 T9",
        b"M203 X1",
        b"M201 Z0",
        b"M205 X0",
        b"T1",
        b"T99999999999",
        b"M109 S200",
        b"M190 S60",
        b"M109 R50",
        b"M104 T7 S0",
        b"G4 P500",
        b"G4 S9e9",
        b"M220 S50",
        b"M221 S90",
        b"M200 D1.75",
        b"M400",
        b";LAYER_CHANGE",
        b";LAYER:1",
        b";Z:1e400",
        b";HEIGHT:nan",
        b"M73 P5 R10",
        b"M486 S1",
        b"M486 Afoo",
        b"EXCLUDE_OBJECT_START NAME=a",
        b"START_PRINT",
        b"; thumbnail begin 16x16 4",
        b"; QUJD",
        b"; thumbnail end",
        b"; a = b",
        b"G1 X999999999999999 Y-999999999999999 E999999999999999 F999999999999999",
        b"G1 X1" + b"0" * 400,
        b"G1 F0",
        b"G1 F-5 X1",
        b"M117",
        b"G10",
        b"G11",
        b"G10 P0 S200",
        b"M207 S9 F1" + b"0" * 400 + b" Z1",
        b"M208 S-9 F60",
    ]
)


@given(st.one_of(st.binary(max_size=300), st.lists(_LINES, max_size=30).map(b"\n".join)))
def test_any_bytes_give_a_result_or_a_clear_error(data):
    if data.startswith(b"GCDE"):
        with pytest.raises(CommandError, match="bgcode"):
            analyse(data)
        return
    analysis = analyse(data)
    assert 0 <= analysis.duration_s < math.inf
    assert analysis.size == len(data)
    assert analysis.commands == len(read_whole(data))
    parts = analysis.motion_s + analysis.heating_s + analysis.homing_s + analysis.dwell_s
    assert analysis.duration_s == pytest.approx(parts, rel=1e-6, abs=1e-6)
    assert (
        analysis.before_first_layer_s + sum(layer.duration_s for layer in analysis.layers)
        <= analysis.duration_s * 1.000001 + 1e-6
    )


def test_binary_gcode_is_recognised_in_pieces_of_any_size():
    for cuts in ((), (1,), (1, 2, 3)):
        with pytest.raises(BinaryGcodeError, match="has to be unpacked first"):
            analyse(b"GCDE\x01\x00\x00\x00", cuts=cuts)
    assert analyse(b"GCD").size == 3


def test_relative_and_absolute_coordinates_are_followed():
    analysis = analyse(
        "G28\nM104 S200\nG1 X10 Y10 Z.2\nG91\nG1 X5 E1\nG90\nG1 X30 E2\nM83\nG1 X40 E1\nG92 X0\nG1 X10 E1\n"
    )
    assert analysis.bounds.printing.min[0] == 10
    assert analysis.bounds.printing.max[0] == 50
    assert analysis.filament_mm == pytest.approx(1 + 1 + 1 + 1)


@pytest.mark.parametrize(
    ("spoken", "g91_after_m82", "g90_after_m83"),
    [(MARLIN, 2.5, 2), (KLIPPER, 2.5, 4), (REPRAPFIRMWARE, 1.5, 4)],
    ids=["the last", "either", "its own"],
)
def test_g91_affects_the_extruder_as_in_each_firmware(spoken, g91_after_m82, g90_after_m83):
    machine, head = Machine(dialect=spoken), "G28\nM104 S200\nM82\nG92 E0\nG1 X10 E1\n"
    assert analyse(head + "G91\nG1 X5 E1.5\n", machine).filament_mm == pytest.approx(g91_after_m82)
    analysis = analyse(head + "M83\nG91\nG1 X5 E1\nG90\nG1 X30 E2\n", machine)
    assert analysis.filament_mm == pytest.approx(g90_after_m83)


def test_inches_are_converted():
    analysis = analyse("G20\nG1 X1 Y1 F10 E.1\nG21\nG1 X30\n")
    assert analysis.bounds.printing.max == (25.4, 25.4, 0.0)
    assert analysis.filament_mm == pytest.approx(2.54)


def test_retractions_count_once():
    analysis = analyse(HEAD + "G1 X10 E5 F3000\nG1 E3\nG1 X20\nG1 E5\nG1 X30 E6\nG1 E4\n")
    assert analysis.filament_mm == pytest.approx(6.0)


def test_each_tool_has_its_filament():
    analysis = analyse(HEAD + "G1 X10 E5\nT1\nG92 E0\nG1 X20 E2\nT0\nG92 E0\nG1 X30 E1\n", Machine(tools=2))
    assert [(use.tool, use.length_mm) for use in analysis.tools] == [(0, pytest.approx(6.0)), (1, pytest.approx(2.0))]


def test_speed_and_flow_factors_apply():
    slow = analyse("G1 X100 E10 F600\n")
    fast = analyse("M220 S200\nM221 S50\nG1 X100 E10 F600\n")
    assert slow.motion_s == pytest.approx(10, rel=0.01)
    assert fast.motion_s == pytest.approx(5, rel=0.01)
    assert fast.filament_mm == pytest.approx(5)


def test_flow_is_that_of_the_filament_that_the_file_names():
    body = "M83\nG1 X60 E5 F600\n"
    usual, thick = analyse(body), analyse("; filament_diameter = 2.85\n" + body)
    assert thick.max_flow == pytest.approx(usual.max_flow * (2.85 / 1.75) ** 2)
    assert thick.tools[0].volume_mm3 == pytest.approx(usual.tools[0].volume_mm3 * (2.85 / 1.75) ** 2)


def test_an_implausible_diameter_does_not_move_those_of_later_tools():
    body = "M83\nT0\nG1 X60 E5 F600\nT1\nG1 X0 E5\nT2\nG1 X60 E5\n"
    volumes = [each.volume_mm3 for each in analyse("; filament_diameter = 1.75,0,2.85\n" + body).tools]
    assert volumes[1] == pytest.approx(volumes[0])
    assert volumes[2] == pytest.approx(volumes[0] * (2.85 / 1.75) ** 2)


def test_limits_change_within_the_file():
    line = "G91\n" + "G1 X100 F6000\nG1 X-100\n" * 50
    quick = analyse(line).motion_s
    late = analyse(line + "M204 T100\n" + line).motion_s
    assert late == pytest.approx(quick + 100 * 2.0, rel=0.02)  # at 100 mm/s² 100 mm take 1 s up and 1 s down


def test_a_full_circle_takes_its_circumference():
    radius, speed = 20.0, 30.0
    analysis = analyse(f"G1 X100 Y100 F9000\nG2 X100 Y100 I{radius} F{speed * 60}\n")
    before = analyse("G1 X100 Y100 F9000\n").motion_s
    assert analysis.motion_s - before == pytest.approx(math.tau * radius / speed, rel=0.005)
    assert analysis.bounds.travel.max == pytest.approx((140, 120, 0), abs=0.1)


def test_an_arc_without_a_centre_goes_nowhere():
    assert analyse("G2 X100 Y0 F600\n").motion_s == 0.0


@pytest.mark.parametrize(("stop", "seconds"), [("G4 P1500", 1.5), ("M400", 0.0)])
def test_dwells_and_waits_for_motion_stop_the_head(stop, seconds):
    through = analyse("G1 X50 F3000\nG1 X100\n").motion_s
    analysis = analyse(f"G1 X50 F3000\n{stop}\nG1 X100\nG4 S2\n")
    assert analysis.dwell_s == seconds + 2
    assert analysis.motion_s > through + 0.01


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        # trapezoids with 3000 mm/s², capped by the extruder's 25 mm/s
        ("", 3 / 25 + 25 / 3000 + 3 / 8 + 8 / 3000),
        ("M207 S1 F1200", 1 / 20 + 20 / 3000 + 1 / 8 + 8 / 3000),
        ("M207 S1 F1200\nM208 S0.5 F600", 1 / 20 + 20 / 3000 + 1.5 / 10 + 10 / 3000),
        ("M203 E10\nM204 R100", 3 / 10 + 10 / 100 + 3 / 8 + 8 / 100),
        ("M207 Z0.2", 3 / 25 + 25 / 3000 + 3 / 8 + 8 / 3000 + 2 * 2 * math.sqrt(0.2 / 100)),
        ("G20\nM207 S0.1 F60", 2.54 / 25 + 25 / 3000 + 2.54 / 8 + 8 / 3000),
        ("M207 S0", 0.0),
    ],
)
def test_retraction_by_the_firmware_takes_time_and_no_filament(settings, seconds):
    analysis = analyse(f"{settings}\nG11\nG10\nG10\nG11\nG10 P0 S200\nG11\n")
    assert analysis.motion_s == pytest.approx(seconds)
    assert analysis.filament_mm == 0


def test_homing_takes_time():
    parked = 60 / 50 * 2 + 45 / 4  # s for the way home from where the machine stands at first
    assert analyse("G28\n").homing_s == pytest.approx(parked + 15 / 50 * 2 + 10 / 4)
    assert analyse("G28\nG28\n").homing_s == pytest.approx(parked + 2 * (15 / 50 * 2 + 10 / 4))
    assert analyse("G28 X\nG1 X100 F6000\nG28 X\n").homing_s == pytest.approx((60 + 15 + 115) / 50)


def test_heating_takes_time():
    analysis = analyse("M140 S60\nM109 S200\nG1 X10 F600\nM190 S60\nM104 S0\nM109 R50\n")
    hotend, bed = analysis.temperatures["tool0"], analysis.temperatures["bed"]
    assert (hotend, bed) == ([200, 50], [60])
    up = 80 * math.log((350 - 21) / (350 - 200)) + 10
    assert analyse("M109 S200\n").heating_s == pytest.approx(up)
    assert analysis.heating_s > up + 60  # the bed is not hot yet, and cooling takes its time


def test_a_heater_already_hot_takes_no_time():
    assert analyse("M109 S200\nM109 S180\n").heating_s == analyse("M109 S200\n").heating_s


def test_objects_progress_and_thumbnails_are_found():
    png = "; thumbnail begin 16x16 8\n; iVBORw0K\n; thumbnail end\n"
    qoi = "; thumbnail_QOI begin 9x8 4\n; cW9p\n; thumbnail_QOI end\n"
    analysis = analyse(png + qoi + "M486 S0\nM486 S-1\nM486 Alid\nEXCLUDE_OBJECT_DEFINE NAME=cup\nM73 P3 R12\nM73 Q5\n")
    assert analysis.objects == ("lid", "cup")
    assert [(each[1], each[2]) for each in analysis.m73] == [(3.0, 720.0)]
    assert [(each.format, each.width, each.height) for each in analysis.thumbnails] == [("png", 16, 16), ("qoi", 9, 8)]
    assert analysis.thumbnails[1].data == b"qoi"


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ("; estimated printing time (normal mode) = 1d 2h 3m 4s", 93784),
        (";TIME:6666", 6666),
        (";   Build time: 1 hours 2 minutes", 3720),
        ("; model printing time: 1h; total estimated time: 1h 1m 1s", 3661),
        ("; total estimated time: 1h 1m 1s", 3661),
        ("; total estimated time = nonsense", None),
    ],
)
def test_estimates_of_slicers_are_read(line, seconds):
    assert analyse(line + "\n").slicer_estimate_s == seconds


def test_memory_does_not_grow_with_layers_or_objects():
    analysis = analyse("".join(f";LAYER:{n}\nM486 A{n}\nG1 X{n % 50} F6000\n" for n in range(30_000)))
    assert len(analysis.layers) <= 20_000
    assert len(analysis.objects) <= 1000


def peak_with_waits(count):
    """Return the most memory that a file of nothing but waits takes, in bytes."""
    hostile = "".join(f"M104 T{n % 99} S{n % 250}\nG4 P1\nM140 S{n % 60}\n" for n in range(count))
    analyser = Analyser(Machine())
    tracemalloc.start()
    try:
        analyser.feed(b"G28\n" + hostile.encode())
        analysis = analyser.finish()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert analysis.dwell_s == pytest.approx(count / 1000)
    return peak


def test_memory_does_not_grow_with_waits(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 4096)
    monkeypatch.setattr(timeline, "MAX_PENDING_WAITS", 256)
    assert peak_with_waits(3000) < 1.8e6  # 2.4e6 if all are stored


@pytest.mark.nightly  # half a minute under tracemalloc
def test_memory_for_waits_is_bounded_with_the_real_constants():
    assert peak_with_waits(40_000) < 24e6  # 16.6e6, and 35.3e6 if all are stored


_WAITS = st.sampled_from(["M104 S200", "M104 S0", "M104 T1 S99", "M109 S210", "M109 R50", "M140 S60", "M190 S50"])
_BESIDE_WAITS = st.sampled_from(["G4 P500", "M400", "G28 X", "T1", "T0", "G1 X10 F3000", "G1 X20 E1", "G1 X-5 Y3"])


@given(st.lists(_WAITS | _BESIDE_WAITS, max_size=60).map("\n".join))
def test_waits_handled_early_change_no_time(text):
    usual = analyse(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK", 64)
        patch.setattr(timeline, "MAX_PENDING_WAITS", 1)
        early = analyse(text)
    for kind in ("duration_s", "motion_s", "dwell_s", "homing_s", "heating_s"):
        assert getattr(early, kind) == pytest.approx(getattr(usual, kind))
    assert [offset for offset, _ in early.timeline] == sorted(offset for offset, _ in early.timeline)


def test_watchers_get_each_move():
    calls = []
    analyser = Analyser(Machine(limits=MotionLimits()), watch=calls.append)
    analyser.feed(sliced("knob"))
    analysis = analyser.finish()
    assert sum(each.seconds.sum() for each in calls) == pytest.approx(analysis.motion_s)
    assert calls[0].moves.start.shape[0] == calls[0].moves.delta.shape[0] == 4


_ABSURD = ("9" * 400, "1" + "0" * 200, "." + "0" * 200 + "1", "." + "0" * 330 + "1", "-" + "9" * 400, "-1", "0")


@pytest.mark.parametrize("dialect", [MARLIN, KLIPPER], ids=["marlin", "klipper"])
@pytest.mark.parametrize(
    "command",
    [
        "M220 S{}", "M221 S{}", "M200 D{}", "M73 P{} R{}", "M201 X{} E{}", "M203 X{} E{}", "M204 P{} T{} R{}",
        "M205 X{} J{} S{} B{}", "G4 S{}", "G1 X1 F{}", "SET_VELOCITY_LIMIT ACCEL={} VELOCITY={}",
        "SET_VELOCITY_LIMIT SQUARE_CORNER_VELOCITY={} ACCEL_TO_DECEL={}", "SET_VELOCITY_LIMIT MINIMUM_CRUISE_RATIO={}",
    ],
)  # fmt: skip
def test_absurd_numbers_give_finite_results(command, dialect):
    """NaN and infinity are no JSON: one such file would make the list of all files unreadable."""
    limits = (
        planner.convert_to_klipper(MotionLimits()) if dialect is KLIPPER else planner.treat_as_guesses(MotionLimits())
    )
    for number in _ABSURD:
        text = f"{HEAD}G1 X10 Y10 E1 F600\n{command.replace('{}', number)}\nG1 X50 E3 F6000\nG1 X10 Y50 Z.3 E5\n"
        analysis = analyse(text.encode(), Machine(limits=limits, dialect=dialect))
        assert 0 < analysis.duration_s < 1e9
        json.dumps(analysis.as_json(), allow_nan=False)


@pytest.mark.parametrize("number", ["1e-320", "1e-300", "1e-9", "9e8", "nan", "-1"])
@pytest.mark.parametrize("name", ["feedrate_x", "feedrate_e", "acceleration_x", "acceleration_extruding", "jerk_x"])
def test_absurd_limits_in_the_settings_of_a_file_are_ignored(name, number):
    tail = f"; machine_max_acceleration_y = 1000\n; machine_max_{name} = {number}\n".encode()
    limits = limits_from_part(tail, MotionLimits())
    analysis = analyse(CUBE, Machine(limits=limits))
    assert analysis.duration_s < 10 * WHOLE.duration_s
    json.dumps(analysis.as_json(), allow_nan=False)


def test_result_can_be_written_as_json():
    analysis = analyse(sliced("cube20"))
    assert json.loads(json.dumps(analysis.as_json()))["duration_s"] == analysis.duration_s
    assert replace(analysis, thumbnails=()).as_json()["thumbnails"] == []
