"""Toolpaths in a real browser: they are read as the analysis wrote them, and drawn in the right place."""

import re
import urllib.request

import pytest
from playwright.sync_api import expect

from support.processes import TOKEN, until
from support.toolpaths import read
from support.waiting import TIMEOUT

pytestmark = pytest.mark.real_time

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}

# Two layers: a square of 40 mm around (60, 60), and a segment through its middle, from left to right.
SMALL = (
    "M104 S200\nM140 S60\nG28\nG92 E0\nM83\nM109 S200\nG1 Z5 F6000\nG1 X40 Y40 F3000\n"
    ";LAYER_CHANGE\n;Z:0.2\n;HEIGHT:0.2\nG1 Z.2\n;TYPE:External perimeter\n"
    "G1 X80 E1 F1200\nG1 Y80 E1\nG1 X40 E1\nG1 Y40 E1\n"
    ";LAYER_CHANGE\n;Z:0.4\n;HEIGHT:0.2\nG1 Z.4\n;TYPE:Internal infill\nG1 Y60\nG1 X80 E1 F60\n"
    "G1 Z10\nM104 S0\nM140 S0\nM84\n"
)

READ = """async path => {
  const {src} = document.querySelector("script[src*=app]");
  const {positionAt, Toolpath, verticesDone} = await import(src.replace("app.mjs", "toolpath_data.mjs"));
  const end = new AbortController();
  const toolpath = await Toolpath.open(path, end.signal);
  const found = {layers: toolpath.firsts.map((first, index) => [first, toolpath.heights[index], toolpath.starts[index],
    toolpath.offsets[index]]), vertices: [], box: toolpath.box, size: toolpath.fileSize, drawn: [], reached: []};
  await toolpath.each(chunk => {
    for (let index = 0; index < chunk.count; index += 1)
      found.vertices.push([chunk.x[index], chunk.y[index], chunk.z[index], chunk.kind[index]]);
  }, end.signal);
  for (let index = 0; index < toolpath.layers; index += 10) {
    const layer = await toolpath.layer(index);
    const {x, y, kind, points} = layer;
    found.drawn.push([index, [...x], [...y], [...kind]]);
    for (const which of ["times", "offsets"]) layer[which].forEach((at, place) => {
      const [before, then] = [verticesDone(layer, at - 0.001, which), verticesDone(layer, at, which)];
      found.reached.push([before, points[place] + 1, then, positionAt(layer, x.length)]);
    });
  }
  return found;
}"""

COLOURS = """canvas => {
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const style = getComputedStyle(canvas);
  const found = {};
  for (const name of ["--k2", "--k5", "--ghost", "--rest", "--done"]) {
    const colour = style.getPropertyValue(name).trim();
    const rgb = [1, 3, 5].map(at => parseInt(colour.slice(at, at + 2), 16));
    const rows = new Set(), columns = new Set();
    for (let at = 0; at < data.length; at += 4)
      if (data[at + 3] === 255 && rgb.every((part, index) => data[at + index] === part)) {
        rows.add(Math.floor(at / 4 / canvas.width));
        columns.add((at / 4) % canvas.width);
      }
    found[name] = [rows.size / canvas.height, columns.size / canvas.width];
  }
  return found;
}"""


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.gcode"
    path.write_text(SMALL)
    return path


def uploaded(service, path):
    """Upload a file, wait for its analysis, and return the address of its toolpath."""
    data = path.read_bytes()
    assert service.upload(path.name, len(data), [data])[0] == 201
    return until(lambda: service.get(f"/api/files/local/{path.name}").get("toolpath"), "a toolpath")


def blob(service, address):
    host, port = service.address
    request = urllib.request.Request(f"http://{host}:{port}/{address}", headers={"X-Api-Key": TOKEN})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        return answer.read()


def test_the_page_reads_toolpaths_as_the_analysis_wrote_them(new_tab, service, part):
    path = part("whole.gcode", 4000)
    address = uploaded(service, path)
    toolpath = read(blob(service, address))
    tab = new_tab().open()
    result = tab.page.evaluate(READ, address)
    units = [[round(each.x * 100), round(each.y * 100), round(each.z * 100), each.kind] for each in toolpath.vertices]
    assert result["vertices"] == units
    assert result["layers"] == [
        [each.first, round(each.z * 100), round(each.start * 100), each.offset] for each in toolpath.layers
    ]
    assert (result["size"], [each / 100 for each in result["box"]]) == (path.stat().st_size, list(toolpath.box))
    ends = [each.first for each in toolpath.layers[1:]] + [len(units)]
    for index, x, y, kind in result["drawn"]:
        layer = units[toolpath.layers[index].first : ends[index]]
        assert [x, y, kind] == [[each[axis] for each in layer] for axis in (0, 1, 3)]
    assert len(result["reached"]) > 2 * len(result["drawn"])
    assert all(before <= place <= then for before, place, then, _ in result["reached"])
    positions = {(x, y) for x, y, _, _ in units}
    assert all(tuple(each[3]) in positions for each in result["reached"])


def test_layers_of_a_file_are_drawn_one_by_one_and_in_3d(new_tab, service, small):
    address = uploaded(service, small)
    tab = new_tab(**PHONE).open("files")
    tab.page.locator("button.what", has_text="small.gcode").click()
    canvas = tab.page.locator(".toolpath canvas")
    expect(canvas).to_have_attribute("data-layer", "2")
    assert canvas.get_attribute("aria-label") == "Layer 2 of 2, 0.40 mm"
    colours = canvas.evaluate(COLOURS)
    high, wide = colours["--k5"]
    assert (0 < high < 0.05, wide > 0.5) == (True, True)  # from left to right
    assert min(colours["--ghost"]) > 0.5  # the square below
    assert colours["--k2"] == [0, 0]

    slider = tab.page.get_by_role("slider", name="Layer")
    slider.press("ArrowLeft")
    expect(canvas).to_have_attribute("aria-label", "Layer 1 of 2, 0.20 mm")
    expect(canvas).to_have_attribute("data-layer", "1")
    colours = canvas.evaluate(COLOURS)
    assert min(colours["--k2"]) > 0.5
    assert (colours["--k5"], colours["--ghost"]) == ([0, 0], [0, 0])
    tab.page.get_by_role("checkbox", name="Outer wall").uncheck()
    assert canvas.evaluate(COLOURS)["--k2"] == [0, 0]
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 360

    tab.button("Show in 3D").click()
    solid = tab.page.locator(".orbit canvas")
    expect(solid).to_have_attribute("data-vertices", str(len(read(blob(service, address)).vertices)))
    solid.press("ArrowLeft")
    tab.button("Zoom in").click()
    expect(tab.page.get_by_role("slider", name="From layer")).to_be_visible()
    tab.button("Show one layer").first.click()
    expect(canvas).to_have_attribute("data-layer", "2")


@pytest.mark.nightly  # a print in its own time, which takes 8 s
def test_the_current_layer_is_shown_with_its_progress(new_tab, service, small):
    small.write_text(SMALL.replace("F60\n", "F6\n"))  # some seconds on this printer
    service.print_file(small)
    tab = new_tab().open()
    canvas = tab.page.locator(".toolpath canvas[role=img]")
    expect(canvas).to_have_attribute("aria-label", re.compile(r"Layer 1 of 2, 0.20 mm, [3-7]\d % of it done"))
    expect(tab.page.locator(".toolpath h2")).to_have_text("Layer 1 of 2, 0.20 mm")
    colours = canvas.evaluate(COLOURS)
    assert colours["--done"][1] > 0.2  # the side in front
    assert colours["--rest"][0] > 0.2
