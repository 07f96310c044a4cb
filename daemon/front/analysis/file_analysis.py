"""Analyses a file on the disk. Imports NumPy: for the worker process and the command line only."""

import ctypes
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from io import RawIOBase
from pathlib import Path

from daemon.config import ProfileConfig
from daemon.errors import FileError, NotPrintable
from daemon.packing.kinds import SNIFF, packed_kind
from gcode.analysis import settings
from gcode.analysis.analyser import Analyser
from gcode.analysis.machine import ANYWHERE, Machine, Range
from gcode.analysis.result import Analysis
from gcode.analysis.timed_moves import TimedMoves
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
from gcode.errors import CommandError
from gcode.firmware_traits import Dialect
from gcode.planner import MotionLimits, convert_to_klipper, treat_as_guesses
from gcode.texts import words_of

_PIECE = 256 * 1024  # bytes
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
_MAX_FREE_MEMORY = 64 * 1024 * 1024  # bytes of freed memory that malloc does not return to the system


def dialect_of(profile: ProfileConfig, firmware: str = "") -> Dialect | None:
    """Return a printer's dialect, from the name that its firmware reports, else from the profile; None: unknown."""
    dialect = recognise(firmware) if firmware else _DIALECTS.get(profile.firmware)
    return None if dialect is UNKNOWN else dialect


def machine(profile: ProfileConfig, settings_: Sequence[str] = (), firmware: str = "") -> Machine:
    """Return the machine that a profile describes.

    Args:
        profile: the profile.
        settings_: M201, M203, M204 and M205 as the printer reports them.
        firmware: its name as the printer reports it; empty: none is connected.
    """
    known_dialect = dialect_of(profile, firmware)
    dialect = known_dialect or MARLIN
    motion = settings_ or profile.motion
    plans_as_klipper = dialect.planner == "klipper"
    limits = MotionLimits() if motion and not plans_as_klipper else treat_as_guesses(MotionLimits())
    if plans_as_klipper:
        limits = convert_to_klipper(limits)
    _apply(limits, motion)
    if motion and plans_as_klipper:
        limits.are_guesses = False
        limits.configure_extruder()
    source = "printer" if settings_ else "profile" if motion else "defaults"
    return Machine(
        limits=limits,
        limits_from=source,
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
        dialect_known=known_dialect is not None,
        tool_change=profile.tool_change_s,
        filament_change=profile.filament_change_s,
        probing=profile.probing_s,
    )


def _volume(profile: ProfileConfig) -> tuple[Range, Range, Range]:
    """Return the nozzle's reach: the bed, or the limits of the axes if the profile has them."""
    is_centred = profile.origin == "center"
    x, y = (_reach(size, is_centred=is_centred) for size in (profile.width_mm, profile.depth_mm))
    z = _reach(profile.height_mm, is_centred=False)
    return (
        _override(x, profile.x_min_mm, profile.x_max_mm),
        _override(y, profile.y_min_mm, profile.y_max_mm),
        _override(z, profile.z_min_mm, profile.z_max_mm),
    )


def _reach(size: float, *, is_centred: bool) -> Range:
    if not size:
        return ANYWHERE
    return (-size / 2, size / 2) if is_centred else (0.0, size)


def _override(reach: Range, low: float, high: float) -> Range:
    """Return the reach with the profile's own limits; 0: it has none."""
    return (low or reach[0], high or reach[1])


def _radius(profile: ProfileConfig) -> float | None:
    """Return the radius of a round bed, which limits the nozzle's reach; None: it is not round."""
    if profile.shape != "circular" or not profile.width_mm > 0:
        return None
    return max(profile.width_mm / 2, profile.x_max_mm, profile.y_max_mm)


def _min_extrusion(profile: ProfileConfig, dialect: Dialect) -> float | None:
    if profile.min_extrusion_c < 0:
        return dialect.heat.min_extrude
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


def _apply(limits: MotionLimits, commands: Sequence[str]) -> None:
    """Apply M201, M203, M204, M205 and SET_VELOCITY_LIMIT to the limits."""
    for each in commands:
        name, _, parameters = each.partition(" ")
        if name.upper() == "SET_VELOCITY_LIMIT":
            limits.note_words(words_of(parameters))
            continue
        with suppress(CommandError):
            command = parse(each)
            limits.note(command)
            if command.code == "M205":
                limits.classic_jerk = "J" not in command


def analyse(path: Path, printer: Machine, *, watch: Callable[[TimedMoves], None] | None = None) -> Analysis:
    """Analyse a file.

    The motion limits are those that the printer reports, else the file's, else the profile's.

    Args:
        path: the file.
        printer: the machine that it is for.
        watch: see `Analyser`.

    Raises:
        FileError: it cannot be read.
        NotPrintable: it is packed; see `daemon.packing.unpacking`.
    """
    _reuse_freed_memory()
    try:
        with path.open("rb", buffering=0) as file:
            if packed := packed_kind(file.read(SNIFF)):
                raise NotPrintable(f"{path.name} is {packed}, not text: upload it to have it unpacked")
            analyser = Analyser(_with_limits_from_file(file, printer), watch=watch)
            file.seek(0)
            while piece := file.read(_PIECE):
                analyser.feed(piece)
            return analyser.finish()
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}") from error


def _reuse_freed_memory() -> None:
    """Let malloc reuse the memory of freed arrays: fetching it from the system each time would take a tenth longer."""
    with suppress(OSError, AttributeError):  # another C library
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, _MAX_FREE_MEMORY)
        library.mallopt(_M_TRIM_THRESHOLD, _MAX_FREE_MEMORY)


def _with_limits_from_file(file: RawIOBase, printer: Machine) -> Machine:
    """Return the machine with the limits in the file's settings, unless the printer has reported its own."""
    if printer.limits_from == "printer":
        return printer
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - settings.PART_SIZE))
    tail = file.read(settings.PART_SIZE) or b""
    file.seek(0)
    head = file.read(settings.PART_SIZE) or b""
    plans_as_klipper = printer.dialect.planner == "klipper"
    if not printer.dialect_known:
        plans_as_klipper = settings.is_for_klipper(head) or settings.is_for_klipper(tail)
    base = treat_as_guesses(MotionLimits())  # missing values limit nothing
    limits = settings.limits_from_part(tail, base) or settings.limits_from_part(head, base)
    if limits is not None:
        return replace(printer, limits=convert_to_klipper(limits) if plans_as_klipper else limits, limits_from="file")
    if plans_as_klipper and not printer.limits.square_corner:
        return replace(printer, limits=convert_to_klipper(printer.limits))
    return printer
