"""The report of a simulated print, as a page."""

import re

import pytest

from daemon.report import write
from daemon.report.page import _table
from daemon.report.plots import _material_square
from daemon.simulation.run import Simulation, SimulationPlan
from daemon.simulation.witness import MovedPath
from hal.simulated import clock
from hal.simulated.config import FirmwareConfig
from hal.simulated.scenario import Fault, Scenario

PRINT = ["M109 S200", "G28", "G92 E0", *(f"G1 Z{z / 5:.1f}\nG1 X60 E{z}\nG1 X50 E{z + 0.5}" for z in range(1, 20))]


def report(folder, lines, *faults, name="part.gcode"):
    """Print these lines and return the report."""
    path, page = folder / name, folder / "report.html"
    path.write_text("".join(f"{line}\n" for line in lines))
    plan = SimulationPlan(path, FirmwareConfig(scenario=Scenario(faults)), keep_path=True)

    async def run():
        simulation = Simulation(plan, lambda _: None)
        return simulation, await simulation.run()

    write(page, plan, *clock.run(run()))
    return page.read_text("utf-8")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return report(tmp_path_factory.mktemp("report"), PRINT, Fault("lose_ok", line=12))


def test_the_report_has_all_its_plots(page):
    sections = re.findall(r'<section id="(\w+)"><h2>[^<]+</h2><svg', page)
    assert sections == ["temperatures", "rate", "layers", "paths"]
    for text in ("°C", "tool0", "lines/s", "moves in the planner", "layer 1, Z 0.20", "layer 19, Z 3.80"):
        assert text in page


def test_the_report_loads_nothing_from_the_network(page):
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!#)""", page)
    assert "<script" not in page
    assert "url(http" not in page


def test_faults_are_listed_in_a_table(page):
    assert re.search(r"<tr><td>0:\d\d:\d\d</td><td>lose_ok</td><td>12</td></tr>", page)


def test_foreign_text_is_escaped(tmp_path):
    text = "Error:<script>alert(1)</script>"
    page = report(tmp_path, PRINT[:6], Fault("text", text=text, line=8), name="<b>&.gcode")
    assert "<title>&lt;b&gt;&amp;.gcode, simulated</title>" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in page


def test_a_print_without_extrusion_has_no_path(tmp_path):
    page = report(tmp_path, ["G28"])
    assert 'id="paths"' not in page
    assert 'id="temperatures"' in page


def test_a_long_table_is_cut_with_the_number_of_missing_rows():
    table = _table("Events", ("number",), [(number,) for number in range(250)])
    assert table.count("<td>") == 200
    assert "… and 50 more" in table
    assert _table("Events", ("number",), []) == ""


def test_a_layer_is_shown_from_where_its_first_move_begins():
    moves = MovedPath()
    for began, (x, y, e) in enumerate(((10, 10, 0), (100, 10, 5), (100, 100, 5))):
        moves.x.append(x)
        moves.y.append(y)
        moves.extruded.append(e)
        moves.began.append(began)
    x, y = _material_square(moves, 0.0, float("inf"))
    assert x == pytest.approx((7.3, 102.7))
    assert y == pytest.approx((7.3, 102.7))
