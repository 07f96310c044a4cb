"""Files sliced for a printer's own preset are never refused on it: by PrusaSlicer, as in Debian."""

import shutil
import subprocess
from pathlib import Path

import pytest

from daemon.config import ProfileConfig
from daemon.config.presets import find
from daemon.errors import ConfigError
from daemon.front.analysis.file_analysis import analyse, machine
from support.processes import cannot_run

PROFILES = Path("/usr/share/PrusaSlicer/profiles")
FACES = ((0, 2, 1), (1, 2, 3), (4, 5, 6), (5, 7, 6), (0, 1, 4), (1, 5, 4),
         (2, 6, 3), (3, 6, 7), (0, 4, 2), (2, 4, 6), (1, 3, 5), (3, 7, 5))  # fmt: skip
NOT_SETTINGS = {"inherits", "compatible_printers_condition", "compatible_prints_condition", "renamed_from",
                "default_print_profile", "default_filament_profile"}  # fmt: skip


def sections(path: Path) -> dict[str, dict[str, str]]:
    by_title, now = {}, {}
    for line in path.read_text("utf-8", "replace").splitlines():
        if line.startswith("["):
            now = by_title.setdefault(line.strip("[] "), {})
        elif "=" in line and not line.startswith(("#", ";")):
            key, _, value = line.partition("=")
            now[key.strip()] = value.strip()
    return by_title


def resolved(known: dict, kind: str, name: str) -> dict[str, str]:
    own, values = known[f"{kind}:{name}"], {}
    for parent in filter(None, map(str.strip, own.get("inherits", "").split(";"))):
        if f"{kind}:{parent}" in known:
            values |= resolved(known, kind, parent)
    return values | own


def printers() -> dict[str, tuple[str, dict[str, str]]]:
    """Return one preset of each printer model: its names, and everything that it is sliced with."""
    models = {}
    for path in sorted(PROFILES.glob("*.ini")):
        known = sections(path)
        for section in known:
            if not section.startswith("printer:") or "*" in section:
                continue
            printer = resolved(known, "printer", section[8:])
            model = printer.get("printer_model")
            usual = printer.get("nozzle_diameter", "0.4").startswith("0.4")
            if not model or printer.get("printer_technology") == "SLA" or ((path.stem, model) in models and not usual):
                continue
            everything = {}
            for kind, name in (
                ("print", printer.get("default_print_profile")),
                ("filament", printer.get("default_filament_profile", "").split(";")[0].strip('" ')),
            ):
                if f"{kind}:{name}" in known:
                    everything |= resolved(known, kind, name)
            title = known.get(f"printer_model:{model}", {}).get("name", model).replace("&&", "&")
            models[path.stem, model] = (title, everything | printer)
    return {f"{vendor} {model}": each for (vendor, model), each in models.items()}


def cube(path: Path) -> None:
    corners = [(x, y, z) for z in (0, 12) for y in (0, 20) for x in (0, 20)]
    faces = "".join(
        "facet normal 0 0 0\nouter loop\n"
        + "".join("vertex {} {} {}\n".format(*corners[each]) for each in face)
        + "endloop\nendfacet\n"
        for face in FACES
    )
    path.write_text(f"solid cube\n{faces}endsolid cube\n")


def sliced(folder: Path, settings: dict[str, str]) -> Path | None:
    """Return the slicer's G-code for a cube; None if it refuses its own preset."""
    config, out = folder / "printer.ini", folder / "out.gcode"
    config.write_text("".join(f"{key} = {value}\n" for key, value in settings.items() if key not in NOT_SETTINGS))
    bed = [tuple(map(float, each.split("x"))) for each in settings.get("bed_shape", "0x0,200x200").split(",")]
    x, y = ((min(values) + max(values)) / 2 for values in zip(*bed, strict=True))
    command = ["prusa-slicer", "--export-gcode", "--load", config, "--center", f"{x:g},{y:g}", "-o", out]
    lower = ["--first-layer-height", "0.2"]  # some presets do not go with their own defaults
    for more in ([], lower, [*lower, "--layer-gcode", "G92 E0"]):
        subprocess.run([*command, *more, folder / "cube.stl"], capture_output=True, check=False)
        if out.exists():
            return out
    return None


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_no_file_is_refused_on_the_printer_it_was_sliced_for(tmp_path):
    if not shutil.which("prusa-slicer") or not PROFILES.is_dir():
        cannot_run("Debian's prusa-slicer is missing: apt-get install prusa-slicer")
    refused, checked = {}, 0
    cube(tmp_path / "cube.stl")
    for name, (title, settings) in printers().items():
        folder = tmp_path / name.replace("/", "_").replace(" ", "_")
        folder.mkdir()
        (folder / "cube.stl").symlink_to(tmp_path / "cube.stl")
        if (file := sliced(folder, settings)) is None:
            continue
        try:
            profile = find(settings["printer_model"]).profile
        except ConfigError:
            profile = find(title).profile
        for each in (profile, ProfileConfig()):
            if errors := analyse(file, machine(each)).errors:
                refused[name, each.preset] = errors
        checked += 1
    assert checked > 100
    assert refused == {}
