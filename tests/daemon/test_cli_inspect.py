import gzip
import json
import math
import re
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from daemon.cli import inspect, main
from daemon.cli.options import EXIT_UNFIT
from daemon.front.analysis.plot import Samples
from gcode.analysis.analyser import Analyser
from gcode.analysis.machine import Machine
from support import bgcode, slicers
from support.analysed import ROOT, sliced
from support.processes import cannot_run

CUBE = ROOT / "examples/cube20.gcode"
KEYS = {"duration_s", "layers", "filament_mm", "bounds", "slicer", "warnings", "errors"}


@pytest.fixture(autouse=True)
def no_configuration(monkeypatch, tmp_path):
    empty = tmp_path / "empty.toml"
    empty.touch()
    monkeypatch.setenv("NOZZLED_CONFIG", str(empty))


def inspect_file(capsys, *words):
    code = main(["inspect", *map(str, words)])
    output = capsys.readouterr()
    return code, output.out, output.err


def test_an_analysis_is_a_table(capsys):
    code, out, _ = inspect_file(capsys, CUBE)
    assert code == 0
    rows = dict(line.split("  ", 1) for line in out.splitlines())
    assert rows["slicer"].strip() == "PrusaSlicer 2.5.0"
    assert rows["layers"].strip().startswith("99, up to 19.95 mm; the slowest is layer 99")
    assert rows["filament T0"].strip() == "1.50 m, 3.6 cm³"
    assert "19 min 07 s motion" in rows["time"]


def test_an_analysis_is_printed_as_json(capsys):
    code, out, _ = inspect_file(capsys, CUBE, "--json")
    result = json.loads(out)
    assert code == 0
    assert set(result) >= KEYS
    assert result["filament_mm"] == pytest.approx(1504.88, abs=0.01)
    assert result["bounds"]["printing"]["max"] == [116.625, 116.625, 19.95]


def test_errors_in_a_file_are_shown_and_have_their_own_exit_code(capsys, tmp_path):
    path = tmp_path / "bad.gcode"
    path.write_text("G28\nM104 S999\nG1 X10 E5\n")
    code, out, _ = inspect_file(capsys, path)
    assert code == EXIT_UNFIT
    assert "error: the file heats tool0 to 999 °C, but the profile allows 300 °C (line 2)" in out
    assert "warning: nothing turns heaters or motors off" in out


def test_the_profile_is_that_of_the_configuration(capsys, tmp_path):
    config = tmp_path / "small.toml"
    config.write_text("[profile]\nwidth_mm = 100.0\n")
    _, out, _ = inspect_file(capsys, CUBE, "--config", config)
    assert "error: prints outside the build volume: X from 83.375 to 116.625, allowed 0 to 100" in out


def test_a_missing_or_binary_file_is_reported(capsys, tmp_path):
    assert inspect_file(capsys, tmp_path / "none.gcode")[::2] == (
        1,
        f"nozzled: cannot read {tmp_path}/none.gcode: No such file or directory\n",
    )
    binary = tmp_path / "a.bgcode"
    binary.write_bytes(b"GCDE" + bytes(50))
    code, _, err = inspect_file(capsys, binary)
    assert code == 1
    assert "a.bgcode: binary G-code of version 0 is unknown; version 1 is supported" in err
    picture = tmp_path / "a.gcode"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    assert inspect_file(capsys, picture)[::2] == (1, f"nozzled: {picture} is not G-code: it is not text\n")


def test_packed_files_are_unpacked(capsys, tmp_path):
    text = (slicers.FOLDER / "prusaslicer.gcode").read_bytes()
    plain = json.loads(inspect_file(capsys, slicers.FOLDER / "prusaslicer.gcode", "--json")[1])
    for name, data in (
        ("a.bgcode", bgcode.head() + bgcode.gcode(text, bgcode.HEATSHRINK_12)),
        ("a.gcode.gz", gzip.compress(text)),
        ("a.gcode", text.decode().encode("utf-16")),
    ):
        path = tmp_path / name
        path.write_bytes(data)
        code, out, _ = inspect_file(capsys, path, "--json")
        result = json.loads(out)
        assert code == 0
        assert (result["about"], result["objects"]) == (plain["about"], plain["objects"])
        assert result["duration_s"] == plain["duration_s"]
    code, _, err = inspect_file(capsys, path, "--plate", "1")
    assert (code, "only a 3MF has plates" in err) == (1, True)


def test_metadata_of_the_slicer_is_shown(capsys):
    _, out, _ = inspect_file(capsys, slicers.FOLDER / "prusaslicer.gcode")
    rows = dict(line.split("  ", 1) for line in out.splitlines() if "  " in line)
    shown = {name: value.strip() for name, value in rows.items()}
    assert shown["slicer"] == "PrusaSlicer 2.8.1+linux-x64"
    assert shown["printer"] == "MK9"
    assert shown["layer height"] == "0.2 mm, first 0.3 mm"
    assert shown["nozzle"] == "0.4 mm"
    assert shown["first layer"] == "hotend 215 °C, bed 60 °C"
    assert shown["material T0"] == "PLA, Made PLA, #FF8000, 4.50 g, costs 0.12"
    assert (shown["objects"], shown["thumbnails"]) == ("part.stl", "2x2 png")


def test_a_picture_that_is_missing_or_cannot_be_written_is_named(capsys, tmp_path):
    sliced_file = slicers.FOLDER / "prusaslicer.gcode"
    picture = tmp_path / "part.png"
    assert inspect_file(capsys, sliced_file, "--thumbnail", picture)[0] == 0
    with Image.open(picture) as written:
        assert written.size == (2, 2)
    code, _, err = inspect_file(capsys, sliced_file, "--thumbnail", tmp_path / "none" / "part.png")
    assert code == 1
    assert err == f"nozzled: {tmp_path}/none/part.png cannot be written: No such file or directory\n"
    code, _, err = inspect_file(capsys, CUBE, "--thumbnail", tmp_path / "cube.png")
    assert code == 0
    assert err == f"nozzled: {CUBE.name} has no readable picture, so {tmp_path}/cube.png was not written\n"


def test_names_from_the_file_do_not_steer_the_terminal(capsys, tmp_path):
    path = tmp_path / "evil.gcode"
    path.write_text("; generated by \x1b[31mEvil\nM486 A\x1b]0;title\x07\n")
    _, out, _ = inspect_file(capsys, path)
    assert "\x1b" not in out
    assert "\x07" not in out


def test_a_plot_is_written(capsys, tmp_path):
    if find_spec("matplotlib") is None:
        cannot_run("matplotlib is not installed")
    out = tmp_path / "cube.png"
    assert inspect_file(capsys, CUBE, "--plot", out, "--layer", 3)[0] == 0
    picture = Image.open(out)
    assert picture.size == (1300, 800)
    assert len(picture.convert("RGB").getcolors(1_000_000)) > 50  # something is drawn


def test_a_plot_that_cannot_be_written_is_named_once(capsys):
    if find_spec("matplotlib") is None:
        cannot_run("matplotlib is not installed")
    code, _, err = inspect_file(capsys, CUBE, "--plot", "/proc/cube.png")
    assert code == 1
    assert err.splitlines()[-1] == "nozzled: /proc/cube.png cannot be written: No such file or directory"


def test_priming_is_no_flow_in_a_plot():
    samples = Samples(layer=1)
    analyser = Analyser(Machine(), watch=samples.take)
    analyser.feed(sliced("knob"))
    analysis = analyser.finish()
    flow = samples.curves(math.pi * 1.75**2 / 4).flow.mean
    assert 0.9 * analysis.max_flow < np.nanmax(flow) < 1.01 * analysis.max_flow


def test_a_move_is_weighted_by_its_duration():
    samples = Samples(layer=1)
    analyser = Analyser(Machine(), watch=samples.take)
    analyser.feed(b"G28\nM83\nG1 X1 F600\nG1 X200 E10 F600\nG1 X0 E10 F600\n")  # 40 s: a thousand stretches
    analyser.finish()
    speed = samples.curves(1.0).speed
    moving = speed.mean[~np.isnan(speed.mean)]
    assert np.flatnonzero(np.isnan(speed.mean)).max(initial=0) < np.flatnonzero(~np.isnan(speed.mean)).min()
    assert moving == pytest.approx(10.0, rel=0.1)


@pytest.mark.parametrize("layer", [0, 100])
def test_a_missing_layer_is_reported(capsys, tmp_path, layer):
    code, _, err = inspect_file(capsys, CUBE, "--plot", tmp_path / "out.png", "--layer", layer)
    assert (code, err) == (1, f"nozzled: there is no layer {layer}: the file has layers 1 to 99\n")
    assert list(tmp_path.glob("*.png")) == []


def test_a_file_without_moves_cannot_be_plotted(capsys, tmp_path):
    path = tmp_path / "empty.gcode"
    path.touch()
    code, _, err = inspect_file(capsys, path, "--plot", tmp_path / "out.png")
    assert code == 1
    assert "nothing to plot" in err


def test_a_thumbnail_is_drawn_if_the_terminal_can(monkeypatch, capsys, tmp_path):
    from support.pictures import with_thumbnail  # noqa: PLC0415 - only here

    path = tmp_path / "a.gcode"
    path.write_bytes(with_thumbnail("PNG", b"G28\n"))
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setattr(inspect.sys.stdout, "isatty", lambda: True)
    _, out, _ = inspect_file(capsys, path)
    assert "\x1b[38;2;255;0;0;48;2;255;0;0m▀" in out


@pytest.mark.real_time
def test_a_printer_is_asked_for_its_limits(capsys):
    code, out, err = inspect_file(capsys, CUBE, "--printer", "sim?speed=50")
    assert (code, err) == (0, "")
    assert re.search(r"limits of motion +the printer's own", out)
    code, _, err = inspect_file(capsys, CUBE, "--printer", "nothing:like-it")
    assert code == 1
    assert "unknown kind of printer" in err


def test_the_largest_thumbnail_is_written_as_png(capsys, tmp_path):
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    file, picture = tmp_path / "a.gcode", tmp_path / "a.png"
    file.write_text(f"; thumbnail begin 1x1 92\n; {pixel}\n; thumbnail end\nG28\nG1 X10 E1\n")
    main(["inspect", str(file), "--json", "--thumbnail", str(picture)])
    assert json.loads(capsys.readouterr().out)["thumbnails"] == [{"format": "png", "width": 1, "height": 1}]
    with Image.open(picture) as image:
        assert image.size == (1, 1)
