"""The oracle: layers, filament, underruns, and whether the commands are those of the file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal.simulated import oracle as oracle_module
from hal.simulated.file_check import Verdict
from hal.simulated.oracle import Oracle, Underrun
from support.printer_bench import PrinterBench

SQUARE = ("G1 X10 E1 F3000", "G1 Y10 E2", "G1 X0 E3", "G1 Y0 E4", "G92 E0")


@pytest.fixture
def printer():
    bench = PrinterBench(volume=(200, 200, 1000))
    bench.tell("G28", "M203 Z100", "G92 E0")
    return bench


def layer(z):
    return (f"G1 Z{z} F3000", *SQUARE)


# ── layers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_layer_begins_with_the_first_material_at_another_height(printer):
    printer.tell(*layer(0.3), *layer(0.5), "G1 Z0.7", "G4 S2", *layer(0.7), "G1 Z10", "M400")
    layers = list(printer.oracle.layers)
    assert [each.z for each in layers] == [0.3, 0.5, 0.7]
    assert [each.extruded for each in layers] == pytest.approx([4, 4, 4])
    assert [each.began for each in layers] == sorted(each.began for each in layers)
    assert layers[0].began + layers[0].seconds == layers[1].began
    assert layers[1].seconds == pytest.approx(layers[0].seconds + 2, abs=0.3)
    last = printer.oracle.path[-1]
    assert layers[2].began + layers[2].seconds == pytest.approx(last.time + last.seconds)


def test_travel_above_the_part_is_no_layer(printer):
    hop = ("G1 E-1 F3000", "G1 Z2", "G1 X30 Y30", "G1 Z0.3", "G1 E0", "G92 E0")
    printer.tell(*layer(0.3), *hop, *SQUARE, "M400")
    assert [each.z for each in printer.oracle.layers] == [0.3]


def test_a_spiral_has_a_layer_for_each_height(printer):
    printer.tell(*layer(0.3), *layer(0.5))
    z = 0.5
    for turn in range(40):
        z = round(z + 0.013, 3)
        printer.tell(f"G1 X{(turn + 1) % 2 * 10} Z{z} E{turn + 1}", f"G1 Y{(turn + 1) % 2 * 10} E{turn + 1.5}")
    printer.tell("M400")
    assert [each.z for each in printer.oracle.layers] == pytest.approx([0.3, 0.5, 0.7, 0.9])


def test_layers_of_sequential_objects_are_counted(printer):
    printer.tell(*layer(0.3), *layer(0.5), "G1 Z20", *layer(0.3), *layer(0.5), "M400")
    assert [each.z for each in printer.oracle.layers] == [0.3, 0.5, 0.3, 0.5]


# ── filament, path, underruns ───────────────────────────────────────────────────────────────────────────────────────


def test_retracted_and_primed_filament_counts_once(printer):
    printer.tell("G1 X10 E5 F3000", "G1 E3", "G1 X20", "G1 E5", "G1 X30 E9", "G1 E6", "M400")
    assert printer.oracle.extruded == {0: pytest.approx(9)}


def test_the_path_is_kept_on_request(printer):
    assert Oracle().path == []
    printer.oracle.path.clear()
    printer.tell("G1 X10 Y5 Z1 E1 F600", "M400")
    (step,) = printer.oracle.path
    assert (step.x, step.y, step.z, step.extruded, step.tool) == (10, 5, 1, pytest.approx(1), 0)
    assert step.seconds > 1
    quiet = PrinterBench(oracle=Oracle(keep=0))
    quiet.tell("G1 X10", "M400")
    assert quiet.oracle.path == []
    assert quiet.oracle.position == (10, 0, 0)


def test_an_underrun_has_its_place_and_length(printer):
    number = 7
    frames = [f"N{n} G1 X{n} F6000" for n in range(number)]
    printer.tell("M110 N-1", *(f"{each}*{_checksum(each)}" for each in frames[:-1]))
    ended = printer.board.planner.idle_at(printer.now)
    printer.now = ended + 0.4
    printer.tell(f"{frames[-1]}*{_checksum(frames[-1])}")
    (underrun,) = printer.oracle.underruns
    assert underrun == (pytest.approx(ended), number - 1, pytest.approx(0.4))
    assert printer.oracle.counters.underruns == 1


def _checksum(text):
    total = 0
    for byte in text.encode():
        total ^= byte
    return total


# ── is it the file? ─────────────────────────────────────────────────────────────────────────────────────────────────

FILE = b"; a part\nG28 ; home\n\nM109 S200\nG1 X10\nG1 X20 ; there\nG1 X10\nM0\n"
LINES = ["G28", "M109 S200", "G1 X10", "G1 X20", "G1 X10", "M0"]


def oracle_of(lines):
    oracle = Oracle(keep=None)
    for number, line in enumerate(lines, 1):
        oracle.accept(number, line, 0.0)
    return oracle


def test_a_file_printed_exactly_once_is_recognised():
    verdict = oracle_of(["M115", *LINES[:3], "M105", *LINES[3:], "M105"]).same_as_file(FILE)
    assert verdict
    assert verdict == Verdict(exact=True, lines=6, total=6)


@pytest.mark.parametrize(
    ("lines", "difference"),
    [
        (LINES[:4] + LINES[5:], "line N5 is 'M0', where the file has 'G1 X10' at byte 53"),
        ([*LINES[:4], "G1 X20", *LINES[4:]], "line N5 is 'G1 X20', where the file has 'G1 X10' at byte 53"),
        ([*LINES[:3], "G1 X2", *LINES[4:]], "line N4 is 'G1 X2', where the file has 'G1 X20' at byte 38"),
        ([*LINES, "G28"], "line N7 is 'G28', after the file's end"),
        (LINES[:5], "'M0' at byte 60 of the file never came"),
    ],
)
def test_the_first_difference_is_reported(lines, difference):
    verdict = oracle_of(lines).same_as_file(FILE)
    assert not verdict
    assert verdict.difference == difference
    assert verdict.total == 6


def test_additional_commands_can_be_allowed():
    lines = ["M117 hello", "T0", *LINES, "M104 S0"]
    assert not oracle_of(lines).same_as_file(FILE)
    assert oracle_of(lines).same_as_file(FILE, besides={"M117", "T0", "M104 S0"})


def test_a_host_that_waits_for_heat_itself_is_recognised():
    lines = ["G28", "M104 S200", "G1 X10", "G1 X20", "G1 X10"]
    assert oracle_of(lines).same_as_file(FILE, host_waits=True)
    assert oracle_of(LINES[:5]).same_as_file(FILE, host_waits=False)
    assert not oracle_of(LINES).same_as_file(FILE, host_waits=False)


def test_a_running_comparison_stores_no_commands(tmp_path):
    path = tmp_path / "part.gcode"
    path.write_bytes(FILE)
    oracle = Oracle(keep=0)
    oracle.expect(path, {"M117"})
    for line in ["M117 begin", *LINES]:
        assert not oracle.verdict
        oracle.accept(None, line, 0.0)
    assert oracle.verdict
    oracle.accept(None, "G1 X10", 0.0)
    assert oracle.verdict.difference == "a line without number is 'G1 X10', after the file's end"


def test_a_line_with_a_damaged_n_is_no_command():
    oracle = oracle_of(LINES[:2])
    for number, line in [(None, "^3 G1 X10"), *enumerate(LINES[2:], 3)]:
        oracle.accept(number, line, 0.0)
    assert oracle.same_as_file(FILE)


def test_underruns_beyond_those_that_are_listed_count_too(monkeypatch):
    monkeypatch.setattr(oracle_module, "_MAX_UNDERRUNS", 2)
    oracle = Oracle()
    for n in range(3):
        oracle.record_underrun(Underrun(float(n), n, 0.5))
    assert (oracle.counters.underruns, oracle.counters.underruns_s) == (3, 1.5)
    assert len(oracle.underruns) == 2


def test_discarded_commands_cannot_be_compared():
    oracle = Oracle(keep=2)
    for line in LINES:
        oracle.accept(None, line, 0.0)
    with pytest.raises(LookupError, match="only 2 of 6"):
        oracle.same_as_file(FILE)
    with pytest.raises(LookupError):
        Oracle().verdict  # noqa: B018 - a property that raises


_LINES = st.lists(st.sampled_from(["G1 X1", "G1 X2", "G1 X3", "M105", "G28"]), max_size=30)


@given(_LINES, _LINES)
def test_two_lists_are_equal_if_they_differ_only_in_host_commands(file, arrived):
    source = "\n".join(each for each in file if each != "M105").encode()
    same = [each for each in file if each != "M105"] == [each for each in arrived if each != "M105"]
    assert oracle_of(arrived).same_as_file(source).exact == same
