"""A file on disk through `gcode.analysis`. Imports NumPy: for the worker process and the command line only."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from daemon.config import ProfileConfig
from daemon.errors import FileError, NotPrintable
from daemon.packed import SNIFF, kind
from gcode.analysis import settings
from gcode.analysis.analyser import Analyser, Driven
from gcode.analysis.machine import Machine
from gcode.analysis.result import Analysis
from gcode.command import parse
from gcode.planner import Limits

_PIECE = 256 * 1024  # bytes


def machine(profile: ProfileConfig, settings_: Sequence[str] = ()) -> Machine:
    """Return the printer that a profile describes.

    Args:
        profile: what is configured.
        settings_: M201, M203, M204 and M205, as the printer itself tells them.
    """
    limits = Limits()
    for each in map(parse, settings_):
        limits.note(each)
        if each.code == "M205":
            limits.classic_jerk = "J" not in each
    return Machine(
        limits=limits,
        volume=((0.0, profile.width_mm), (0.0, profile.depth_mm), (0.0, profile.height_mm)),
        max_hotend=profile.max_hotend_c,
        max_bed=profile.max_bed_c,
        heated_bed=profile.heated_bed,
        tools=profile.extruders,
    )


def analyse(
    path: Path, printer: Machine, *, limits_known: bool = False, watch: Callable[[Driven], None] | None = None
) -> Analysis:
    """Return what is known of a file.

    Args:
        path: the file.
        printer: it is for.
        limits_known: the printer's limits are its own answers, and not a profile's; else the file's come first.
        watch: see `Analyser`.

    Raises:
        FileError: it cannot be read.
        NotPrintable: it is packed; see `daemon.unpacking`.
    """
    try:
        with path.open("rb", buffering=0) as file:
            source = "printer" if limits_known else "profile"
            if packed := kind(file.read(SNIFF)):
                raise NotPrintable(f"{path.name} is {packed}, and not a text: upload it, then it is unpacked")
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - settings.TAIL))
            found = None if limits_known else settings.limits_from_tail(file.read(settings.TAIL), printer.limits)
            if found is not None:
                printer, source = replace(printer, limits=found), "file"
            analyser = Analyser(printer, limits_from=source, watch=watch)
            file.seek(0)
            while piece := file.read(_PIECE):
                analyser.feed(piece)
            return analyser.finish()
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}") from error
