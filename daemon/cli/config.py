"""`nozzled config`: the configuration with every key explained, and the known printers."""

import argparse
import os
from collections.abc import Iterator

from daemon.cli.options import PRESET, add_config, add_preset, configured
from daemon.companions import sections
from daemon.config.presets import presets
from daemon.config.writing import render

EXAMPLE = "nozzled config --preset mk3s > nozzled.toml"

LIST = "list"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add_config(parser)
    add_preset(parser)


def run(args: argparse.Namespace) -> int:
    """Print the configuration, or the known printers."""
    if getattr(args, PRESET) == LIST:
        print("\n".join(_preset_lines()))
    else:
        parts = [render(configured(args)), *sections.render(args.config, os.environ)]
        print("\n".join(parts), end="")
    return 0


def _preset_lines() -> Iterator[str]:
    width = max(map(len, presets()))
    for name, each in sorted(presets().items()):
        profile = each.profile
        size = f"{profile.width_mm:g} x {profile.depth_mm:g} x {profile.height_mm:g} mm"
        tools = f", {profile.extruders} tools" if profile.extruders > 1 else ""
        yield f"{name:{width}}  {each.name}, {size}{tools}, {profile.firmware}"
