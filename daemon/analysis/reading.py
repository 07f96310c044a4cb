"""A file on disk through `gcode.analysis`. Imports NumPy: for the worker process and the command line only."""

import ctypes
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from daemon.config import ProfileConfig
from daemon.errors import FileError, NotPrintable
from daemon.packed import SNIFF, kind
from gcode.analysis import settings
from gcode.analysis.analyser import Analyser, Driven
from gcode.analysis.machine import ANYWHERE, Machine, Range
from gcode.analysis.result import Analysis
from gcode.command import parse
from gcode.dialect import (
    KLIPPER,
    MALYAN,
    MARLIN,
    MARLIN_1_0,
    PRUSA,
    PRUSA_BUDDY,
    REPETIER,
    REPRAPFIRMWARE,
    SMOOTHIE,
    TEACUP,
    UNKNOWN,
    recognise,
)
from gcode.firmware_traits import Dialect
from gcode.planner import Limits

_PIECE = 256 * 1024  # bytes
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
_KEPT = 64 * 1024 * 1024  # bytes


def machine(profile: ProfileConfig, settings_: Sequence[str] = (), firmware: str = "") -> Machine:
    """Return the printer that a profile describes.

    Args:
        profile: what is configured.
        settings_: M201, M203, M204 and M205, as the printer itself tells them.
        firmware: as the printer that is connected calls it; empty: none is.
    """
    limits = Limits()
    for each in map(parse, settings_):
        limits.note(each)
        if each.code == "M205":
            limits.classic_jerk = "J" not in each
    dialect = _DIALECTS.get(profile.firmware) if not firmware else recognise(firmware)
    known = dialect is not None and dialect is not UNKNOWN
    dialect = dialect if dialect is not None and known else MARLIN
    return Machine(
        limits=limits,
        volume=_volume(profile),
        radius=_radius(profile),
        centre=(0.0, 0.0) if profile.origin == "center" else (profile.width_mm / 2, profile.depth_mm / 2),
        max_hotend=profile.max_hotend_c,
        max_bed=profile.max_bed_c,
        max_chamber=profile.max_chamber_c,
        min_extrusion=_min_extrusion(profile, dialect),
        heated_bed=profile.heated_bed,
        tools=profile.extruders,
        shared_nozzle=profile.shared_nozzle,
        dialect=dialect,
        dialect_known=known,
        tool_change=profile.tool_change_s,
        filament_change=profile.filament_change_s,
        probing=profile.probing_s,
    )


def _volume(profile: ProfileConfig) -> tuple[Range, Range, Range]:
    """Return how far the nozzle gets: the bed, or beyond it where limits say so."""
    middle = profile.origin == "center"
    x, y = (_reach(size, middle=middle) for size in (profile.width_mm, profile.depth_mm))
    z = _reach(profile.height_mm, middle=False)
    return (
        _wider(x, profile.x_min_mm, profile.x_max_mm),
        _wider(y, profile.y_min_mm, profile.y_max_mm),
        _wider(z, profile.z_min_mm, profile.z_max_mm),
    )


def _reach(size: float, *, middle: bool) -> Range:
    if not size:
        return ANYWHERE
    return (-size / 2, size / 2) if middle else (0.0, size)


def _wider(edge: Range, least: float, most: float) -> Range:
    low, high = edge
    return (least or low, most or high)


def _radius(profile: ProfileConfig) -> float | None:
    """Return that of a round bed; its nozzle gets no further, as far as is known."""
    round_ = profile.shape == "circular" and profile.width_mm > 0
    return max(profile.width_mm / 2, profile.x_max_mm, profile.y_max_mm) if round_ else None


def _min_extrusion(profile: ProfileConfig, dialect: Dialect) -> float | None:
    if profile.min_extrusion_c < 0:
        return dialect.min_extrude
    return profile.min_extrusion_c or None


_DIALECTS = {
    "marlin": MARLIN,
    "marlin-1.0": MARLIN_1_0,
    "prusa": PRUSA,
    "prusa-buddy": PRUSA_BUDDY,
    "repetier": REPETIER,
    "smoothie": SMOOTHIE,
    "reprapfirmware": REPRAPFIRMWARE,
    "teacup": TEACUP,
    "malyan": MALYAN,
    "klipper": KLIPPER,
}


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
    _keep_freed_memory()
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


def _keep_freed_memory() -> None:
    """Have arrays that are freed serve the next ones: to fetch them from the system each time takes a tenth longer."""
    with suppress(OSError, AttributeError):  # another C library
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, _KEPT)
        library.mallopt(_M_TRIM_THRESHOLD, _KEPT)
