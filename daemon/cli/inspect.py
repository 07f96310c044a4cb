"""`nozzled inspect`: analyses a file before it is printed."""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from daemon.cli.options import EXIT_UNFIT, add_config, add_preset, configured
from daemon.config import ProfileConfig
from daemon.errors import FileError
from daemon.packing.as_text import open_unpacked
from gcode.analysis.about import FileMetadata
from gcode.analysis.result import Analysis, Box

if TYPE_CHECKING:
    from gcode.analysis.machine import Machine

EXAMPLE = "nozzled inspect cube.gcode --plot cube.png"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the G-code: text, .bgcode, .gcode.gz or .gcode.3mf")
    parser.add_argument("--json", action="store_true", help="print all results as JSON")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="plot speed, flow and layer times to this file")
    parser.add_argument("--thumbnail", type=Path, metavar="PNG", help="write the file's largest picture to this file")
    parser.add_argument(
        "--layer", type=int, metavar="N", default=1, help="the layer whose path is plotted (default: 1)"
    )
    parser.add_argument("--plate", type=int, metavar="N", default=None, help="which plate of a .gcode.3mf")
    add_config(parser)
    add_preset(parser)
    parser.add_argument("--printer", metavar="A", help="address of a printer to ask for its limits (M503)")


def run(args: argparse.Namespace) -> int:
    """Analyse and show; return EXIT_UNFIT if the file has errors and would not be printed."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # no linear algebra here; starting threads would take longer
    # NumPy, Pillow, matplotlib and a driver are imported only where needed: the imports take most of the time
    from daemon.front.analysis.file_analysis import analyse, machine  # noqa: PLC0415 - see above

    settings, firmware = _ask_limits(args.printer) if args.printer else ((), "")
    profile = configured(args).profile
    printer = machine(profile, settings, firmware)
    with open_unpacked(args.file, args.plate) as path:
        analysis = _analyse_and_plot(path, printer, args) if args.plot else analyse(path, printer)
    if args.thumbnail:
        _write_thumbnail(args.file, analysis, args.thumbnail)
    if args.json:
        json.dump(analysis.as_json(), sys.stdout, indent=2)
        print()
    else:
        _show(args.file, analysis, profile)
    return EXIT_UNFIT if analysis.errors else 0


def _analyse_and_plot(path: Path, printer: "Machine", args: argparse.Namespace) -> Analysis:
    """Analyse the file and plot the result."""
    from daemon.front.analysis.file_analysis import analyse  # noqa: PLC0415 - NumPy
    from daemon.front.analysis.plot import Samples, draw  # noqa: PLC0415 - matplotlib

    samples = Samples(args.layer)
    analysis = analyse(path, printer, watch=samples.take)
    draw(analysis, samples, args.file.name, args.plot, printer.filament_diameter)
    return analysis


def _ask_limits(address: str) -> tuple[tuple[str, ...], str]:
    """Return the limits that a printer reports, in the same way as the daemon, and the name of its firmware.

    Raises:
        AddressError: the address cannot be used.
        PortError: the port cannot be opened, or the printer does not answer.
    """
    import asyncio  # noqa: PLC0415 - as in run

    from daemon.core.connection.printer_settings import limits_in  # noqa: PLC0415 - as in run
    from gcode.dialect import MARLIN, PRUSA, recognise  # noqa: PLC0415 - as in run
    from hal.driver import LinkSettings  # noqa: PLC0415 - as in run
    from hal.registry import create  # noqa: PLC0415 - as in run

    async def ask() -> tuple[tuple[str, ...], str]:
        printer = create(address, LinkSettings())
        await printer.open()
        try:
            knows = recognise(printer.identity.name) in (MARLIN, PRUSA)
            return limits_in(await printer.send("M503")) if knows else (), printer.identity.name
        finally:
            await printer.close()

    return asyncio.run(ask())


def _write_thumbnail(file: Path, analysis: Analysis, path: Path) -> None:
    """Write the largest readable thumbnail as PNG; if the file has none, say so.

    Raises:
        FileError: the picture cannot be written.
    """
    from daemon.front.analysis.thumbnails import as_png, largest  # noqa: PLC0415 - Pillow

    if (picture := largest(analysis.thumbnails)) is None:
        print(f"nozzled: {_plain(file.name)} has no readable picture, so {path} was not written", file=sys.stderr)
        return
    try:
        path.write_bytes(as_png(picture))
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror or error}") from error


_LIMITS = {
    "printer": "the printer's own",
    "file": "the file's",
    "profile": "the profile's",
    "defaults": "unknown; assumed: the speeds of the file, accelerations of 3000 mm/s²",
}


def _show(file: Path, analysis: Analysis, profile: ProfileConfig) -> None:
    if picture := _picture(analysis):
        print(picture)
    rows = [(name, value) for name, value in (*_rows(file, analysis), ("checked for", _checked(profile))) if value]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:{width}}  {value}")
    for level, texts in (("warning", analysis.warnings), ("error", analysis.errors)):
        for text in texts:
            print(f"{level}: {_plain(text)}")


def _checked(profile: ProfileConfig) -> str:
    if profile.has_size:
        return profile.name
    return "a printer of unknown size: choose a preset (nozzled config --preset list), or set [profile]"


def _picture(analysis: Analysis) -> str:
    """Return the largest thumbnail as text for a terminal with 24-bit colours; "" for any other terminal."""
    if not sys.stdout.isatty() or os.environ.get("COLORTERM") not in ("truecolor", "24bit"):
        return ""
    from daemon.front.analysis.thumbnails import as_text, largest  # noqa: PLC0415 - Pillow

    picture = largest(analysis.thumbnails)
    return as_text(picture) if picture else ""


def _rows(file: Path, analysis: Analysis) -> Iterator[tuple[str, str]]:
    yield "file", f"{_plain(file.name)}, {analysis.size / 1e6:.1f} MB, {analysis.commands} commands"
    yield "slicer", _plain(analysis.slicer or "")
    yield "time", _times(analysis)
    estimate = analysis.slicer_estimate_s
    comparison = f" without heating (our estimate: {_span(analysis.motion_s)})"
    yield "slicer's estimate", _span(estimate) + comparison if estimate is not None else ""
    yield (
        "limits of motion",
        _LIMITS[analysis.limits_from] + (", planned as Klipper does" if analysis.planner == "Klipper" else ""),
    )
    yield "layers", _layers(analysis)
    for tool in analysis.tools:
        yield f"filament T{tool.tool}", f"{tool.length_mm / 1000:.2f} m, {tool.volume_mm3 / 1000:.1f} cm³"
    yield "prints within", _box(analysis.bounds.printing)
    yield "moves within", _box(analysis.bounds.travel)
    yield "highest speed, flow", f"{analysis.max_speed:.0f} mm/s, {analysis.max_flow:.1f} mm³/s"
    for heater, targets in analysis.temperatures.items():
        yield heater, ", ".join(f"{target:g}" for target in targets) + (" °C" if targets else "")
    yield from _describe(analysis.about)
    yield "objects", _plain(", ".join(analysis.objects[:10])) + (" …" if len(analysis.objects) > 10 else "")  # noqa: PLR2004
    yield "thumbnails", ", ".join(f"{each.width}x{each.height} {each.format}" for each in analysis.thumbnails)


def _describe(about: FileMetadata) -> Iterator[tuple[str, str]]:
    """Yield what the slicer wrote about the file."""
    yield "printer", _plain(about.printer or "")
    heights = [("", about.layer_height), ("first ", about.first_layer_height)]
    yield "layer height", ", ".join(f"{name}{height:g} mm" for name, height in heights if height is not None)
    yield "nozzle", f"{about.nozzle:g} mm" if about.nozzle else ""
    heat = [("hotend", about.first_layer_hotend), ("bed", about.first_layer_bed), ("chamber", about.chamber)]
    yield "first layer", ", ".join(f"{name} {target:g} °C" for name, target in heat if target)
    for tool, each in enumerate(about.filaments):
        weight = f"{each.weight:.2f} g" if each.weight else ""
        cost = f"costs {each.cost:.2f}" if each.cost else ""
        parts = (each.type, each.name, each.colour, weight, cost)
        yield f"material T{tool}", _plain(", ".join(part for part in parts if part))


def _times(analysis: Analysis) -> str:
    parts = [
        f"{_span(seconds)} {name}"
        for name, seconds in (
            ("motion", analysis.motion_s),
            ("heating", analysis.heating_s),
            ("homing", analysis.homing_s),
            ("dwelling", analysis.dwell_s),
            ("probing", analysis.probing_s),
            ("changes of tool or filament", analysis.changes_s),
        )
        if seconds >= 1
    ]
    return f"{_span(analysis.duration_s)} ({', '.join(parts)})" if parts else _span(analysis.duration_s)


def _layers(analysis: Analysis) -> str:
    if not analysis.layers:
        return ""
    slowest = max(analysis.layers, key=lambda layer: layer.duration_s)
    number = analysis.layers.index(slowest) + 1
    top = analysis.layers[-1].z
    height = f", up to {top:g} mm" if top is not None else ""
    return f"{len(analysis.layers)}{height}; the slowest is layer {number}, {_span(slowest.duration_s)}"


def _box(box: Box | None) -> str:
    if box is None:
        return ""
    return ", ".join(f"{axis} {low:g} to {high:g}" for axis, low, high in zip("XYZ", box.min, box.max, strict=True))


def _span(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02} s"


def _plain(text: str) -> str:
    """Replace control characters, so that a file's text cannot steer the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
