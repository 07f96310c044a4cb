"""Toolpaths, read back, are the path of the nozzle."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gcode.analysis import toolpath
from gcode.analysis.features import Feature, feature_of
from support.analysed import sliced
from support.toolpaths import draw_toolpath, read

NEAR = 0.005 + 1e-9  # mm: half a unit

MARKED = (
    b"G28\nG1 Z5 F6000\nG1 X10 Y10\nM83\n;LAYER_CHANGE\n;Z:0.2\nG1 Z.2\n"
    b";TYPE:External perimeter\nG1 X20 E1\nG1 Y20 E1\n"
    b"G1 Z1\nG1 X30\nG1 Z.2\n;TYPE:Internal infill\nT1\nG1 X40 E1\n;LAYER_CHANGE\n;Z:0.4\nG1 Z.4\n"
    b";TYPE:Something new\nG1 X10 E1\nG28 X\n"
)


def laid(moves):
    """Return both ends of each move that lays material."""
    for each in moves:
        drawn_moves = each.moves
        rows = drawn_moves.printing
        starts = drawn_moves.start[:3, rows]
        ends = starts + drawn_moves.delta[:3, rows]
        yield from zip(starts.T.tolist(), ends.T.tolist(), drawn_moves.feature[rows].tolist(), strict=True)


def drawn_segments(toolpath):
    """Return both ends of each line that is drawn as laid material, and its feature."""
    before = toolpath.begin
    for each in toolpath.vertices:
        here = (each.x, each.y, each.z)
        if each.kind:
            yield before, here, each.kind - 1
        before = here


def assert_same_segments(lines, expected, near=NEAR):
    lines, expected = list(lines), list(expected)
    assert len(lines) == len(expected)
    for (a, b, feature), (start, end, mark) in zip(lines, expected, strict=True):
        assert feature == mark
        for point, want in ((a, start), (b, end)):
            assert max(abs(one - other) for one, other in zip(point, want, strict=True)) <= near


def test_a_small_file_is_drawn_line_by_line():
    analysis, blob, moves = draw_toolpath(MARKED)
    toolpath = read(blob)
    assert [(each.z, each.offset) for each in toolpath.layers] == [(layer.z, layer.offset) for layer in analysis.layers]
    assert toolpath.box == (10, 10, 40, 20)
    assert (toolpath.size, toolpath.moves) == (len(MARKED), sum(len(each.seconds) for each in moves))
    first = [(each.x, each.y, each.z, each.kind, each.tool) for each in toolpath.vertices[toolpath.layers[0].first :]]
    assert first == [
        (10, 10, 0.2, 0, 0),
        (20, 10, 0.2, 1 + Feature.OUTER_WALL, 0),
        (20, 20, 0.2, 1 + Feature.OUTER_WALL, 0),
        (30, 20, 0.2, 0, 0),  # up, over and down again
        (40, 20, 0.2, 1 + Feature.INFILL, 1),
        (40, 20, 0.4, 0, 1),
        (10, 20, 0.4, 1 + Feature.OTHER, 1),
    ]
    assert [each.first for each in toolpath.layers] == [len(toolpath.vertices) - 7, len(toolpath.vertices) - 2]
    last = toolpath.vertices[-1]
    assert last.time == pytest.approx(analysis.duration_s - analysis.homing_s, abs=analysis.homing_s)
    assert MARKED[last.offset :].startswith(b"G1 X10 E1")


@pytest.mark.parametrize("name", ["cube20", "knob"])
def test_toolpaths_of_sliced_files_are_exact_and_compact(name):
    data = sliced(name)
    analysis, blob, moves = draw_toolpath(data)
    toolpath = read(blob)
    assert_same_segments(drawn_segments(toolpath), laid(moves))
    assert [each.z for each in toolpath.layers] == [round(layer.z, 2) for layer in analysis.layers]
    assert [each.offset for each in toolpath.layers] == [layer.offset for layer in analysis.layers]
    for each, layer in zip(toolpath.layers, analysis.layers, strict=True):
        assert each.start == pytest.approx(layer.start_s, abs=0.011)
    box = analysis.bounds.printing
    assert toolpath.box == pytest.approx((*box.min[:2], *box.max[:2]), abs=NEAR)
    assert len(blob) <= min(1.3 * toolpath.moves, 0.05 * len(data))
    kinds = {each.kind - 1 for each in toolpath.vertices if each.kind}
    assert {Feature.OUTER_WALL, Feature.INNER_WALL, Feature.INFILL, Feature.SKIRT, Feature.TOP} <= kinds
    times = [each.time for each in toolpath.vertices if each.time is not None]
    assert times == sorted(times)
    assert analysis.duration_s * 0.95 < times[-1] <= analysis.duration_s + 0.01


COORDINATES = st.one_of(st.floats(-300, 300), st.floats(-9e3, 9e3), st.integers(-5, 5)).map(
    lambda value: round(value, 3)
)
LINES = st.lists(
    st.one_of(
        st.tuples(COORDINATES, COORDINATES, st.booleans()).map(lambda p: f"G1 X{p[0]:.3f} Y{p[1]:.3f}" + " E1" * p[2]),
        COORDINATES.map(lambda z: f"G1 Z{z:.3f}"),
        st.sampled_from(["G28 X", "G92 X7", ";LAYER_CHANGE", ";TYPE:Support material", "; FEATURE: Bridge"]),
    ),
    max_size=20,
)


@given(LINES, st.sampled_from([3, 64, 16_384]))
def test_any_toolpath_is_read_back(lines, chunk):
    """Whatever the moves: each line that lays material is there, within half a hundredth of a millimetre."""
    most, toolpath.CHUNK = toolpath.CHUNK, chunk
    try:
        analysis, blob, moves = draw_toolpath("\n".join(["M83", "G1 F6000", *lines]))
    finally:
        toolpath.CHUNK = most
    if blob is None:
        assert not any((each.moves.printing & (each.layer > 0)).any() for each in moves)
        return
    read_back = read(blob)
    assert_same_segments(drawn_segments(read_back), laid(moves))
    assert [each.offset for each in read_back.layers] == [layer.offset for layer in analysis.layers]
    firsts = [each.first for each in read_back.layers]
    assert firsts == sorted(firsts)
    assert read_back.chunks == list(range(0, len(read_back.vertices), chunk))


@settings(max_examples=30)
@given(st.floats(0.2, 300), st.floats(-3, 3), st.sampled_from(["G2", "G3"]))
def test_an_arc_is_drawn_round(radius, begin, code):
    x, y = 500 + radius * math.cos(begin), 500 + radius * math.sin(begin)
    centre = f"I{500 - x:.4f} J{500 - y:.4f}"
    analysis, blob, _ = draw_toolpath(f"M83\nG1 X{x:.4f} Y{y:.4f} Z.2 F6000\n{code} {centre} E5\nG1 X{x + 1:.4f} E1\n")
    read_back = read(blob)
    circle = [each for each in drawn_segments(read_back) if each[1][0] != pytest.approx(x + 1, abs=0.01)]
    assert len(circle) >= 6
    for (ax, ay, _), (bx, by, _), _ in circle:
        assert math.hypot(bx - 500, by - 500) == pytest.approx(radius, abs=0.02)
        middle = math.hypot((ax + bx) / 2 - 500, (ay + by) / 2 - 500)
        assert radius - middle <= max(toolpath.SAGITTA, radius * (1 - math.cos(math.pi / 24))) + 0.02
    assert read_back.moves > 0
    assert analysis.layers


def test_an_oversized_toolpath_is_left_out():
    data = b"M83\nG1 X5 Y5 Z.2 F6000\n" + b"".join(b"G1 X%d Y%d E1\n" % (n * n % 97, n % 89) for n in range(40_000))
    assert draw_toolpath(data, most=1000)[1] is None
    assert draw_toolpath(data)[1] is not None


@pytest.mark.parametrize("data", [b"", b"G28\n", b"G1 X5 F600\nG1 X9\n", b"\n" * 1000])
def test_a_file_without_extrusion_has_no_toolpath(data):
    assert draw_toolpath(data)[1] is None


def test_a_purge_line_is_no_layer_in_a_file_with_marks():
    filler = b";" + b"x" * 100 + b"\n"
    data = b"M83\nG1 Z.3 F6000\nG1 X50 E5\nG1 Z.6\nG1 X10 E5\n" + filler * 3000 + MARKED
    analysis, blob, _ = draw_toolpath(data)
    toolpath = read(blob)
    assert len(toolpath.layers) == len(analysis.layers) == 2
    begin = toolpath.vertices[toolpath.layers[0].first]
    assert (begin.x, begin.y, begin.z) == (10, 10, 0.2)


@pytest.mark.parametrize(
    ("comment", "feature"),
    [
        (b";TYPE:External perimeter", Feature.OUTER_WALL),  # PrusaSlicer and its kin
        (b";TYPE:Perimeter", Feature.INNER_WALL),
        (b";TYPE:Skirt/Brim", Feature.SKIRT),
        (b";TYPE:Support material interface", Feature.INTERFACE),
        (b";TYPE:Outer wall", Feature.OUTER_WALL),  # OrcaSlicer
        (b";TYPE:Internal solid infill", Feature.SOLID),
        (b"; FEATURE: Sparse infill", Feature.INFILL),  # BambuStudio
        (b"; FEATURE: Prime tower", Feature.TOWER),
        (b";TYPE:WALL-OUTER", Feature.OUTER_WALL),  # Cura, IdeaMaker
        (b";TYPE:SUPPORT-INTERFACE", Feature.INTERFACE),
        (b";TYPE:GAP-FILL", Feature.GAP),
        (b"; feature outer perimeter", Feature.OUTER_WALL),  # Simplify3D 5
        (b"; outer perimeter", Feature.OUTER_WALL),  # Simplify3D 4
        (b"; 'Perimeter Path', 1.2 [feed mm/s], 30.0 [head mm/s]", Feature.OUTER_WALL),  # KISSlicer
        (b"; 'Stacked Sparse Infill Path', 1.2 [feed mm/s]", Feature.INFILL),
        (b";structure:infill-solid", Feature.SOLID),  # FlashPrint
        (b";TYPE:of something new", Feature.OTHER),
        (b"; outer perimeters are printed first", None),
        (b";LAYER:3", None),
        (b"; bridge_speed = 60", None),
        (b";TYPE:" + b"x" * 100, None),
    ],
)
def test_types_of_extrusion_are_read_from_comments(comment, feature):
    assert feature_of(comment) == feature
