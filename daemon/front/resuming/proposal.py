"""Proposal: where in its file a lost print can be resumed, for the command line and the service's worker process.

This module reads whole files.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon.config import ScriptsConfig
from daemon.errors import FileError, NoSuchPlace
from daemon.front.resuming.place import ResumePlace, in_hundredths, place_before, start_sequence
from daemon.rest_of_print import MARK
from gcode.firmware_traits import EMode
from gcode.frozen import frozen
from gcode.reader import Reader

if TYPE_CHECKING:
    from gcode.analysis.result import Layer

BLOCK = 1024 * 1024  # bytes

POWER_LOSS = "If the firmware offers to resume the print itself (M413, on its panel), let it: it knows the exact move."

_DEFAULT_LAYER = 0.2  # mm, for layers of unknown height
_TOLERANCE = 0.01  # mm


@frozen
class ResumeTarget:
    """Where to resume; exactly one attribute is set.

    Attributes:
        layer: at the beginning of this layer, counted from 1.
        height: at the first layer whose middle is above this height, in mm: a measured height is not exact.
        line: at this line, counted from 1.
        offset: at the beginning of the layer that contains this byte.
    """

    layer: int | None = None
    height: float | None = None
    line: int | None = None
    offset: int | None = None


@frozen
class Proposal:
    """A place from which a print can be resumed. Lengths in mm, temperatures in °C.

    Attributes:
        offset: the first byte of the first line to print.
        line: the number of that line, counted from 1.
        layer: its layer; None: unknown.
        layers: the number of the file's layers.
        height: of that layer.
        top: the height of the part, on which the nozzle has to be placed.
        highest: the height of everything printed; above `top` if objects are printed one after the other.
        at: the nozzle's position at this place.
        temperatures: by heater.
        extruded: the filament used before this place.
        sequence: the commands that precede the rest of the file.
        size: of the file, in bytes.
        mtime_ns: of the file.
    """

    offset: int
    line: int
    layer: int | None
    layers: int
    height: float | None
    top: float
    highest: float
    at: dict[str, float]
    temperatures: dict[str, float]
    extruded: float
    sequence: Sequence[str]
    size: int
    mtime_ns: int

    def as_json(self) -> dict[str, Any]:
        """Return the proposal as JSON."""
        return asdict(self)

    def head(self, name: str) -> bytes:
        """Return the text that precedes the rest of this file; its first line is the mark of such files."""
        printable = "".join(char if char.isprintable() else "?" for char in name)
        mark = f"{MARK.decode()}{printable}, from line {self.line} (byte {self.offset}) on"
        return "".join(f"{line}\n" for line in (mark, *self.sequence)).encode()


def propose(path: Path, target: ResumeTarget, layers: Sequence["Layer"], e_mode: EMode | None) -> Proposal:
    """Return the proposal for a place in a file.

    Args:
        path: the file, which is text.
        target: the place.
        layers: the file's layers.
        e_mode: the firmware's; None: unknown.

    Raises:
        NoSuchPlace: there is no such place, or the print cannot be resumed there.
        FileError: the file cannot be read.
    """
    try:
        state = path.stat()
        offset = _offset(path, target, layers)
        if layers and offset <= layers[0].offset:
            raise NoSuchPlace(f"that is the first layer of {path.name}: print the whole file")
        place = place_before(_commands(path), offset, e_mode)
        _require_heat(path.name, place)
        layer = sum(each.offset <= offset for each in layers) or None
        top = _top(path.name, place, layers[: layer or 0], offset)
        _require_same_heights(path, place, layers[: layer or 0], top, offset)
        return Proposal(
            offset,
            _line_at(path, offset),
            layer,
            len(layers),
            layers[layer - 1].z if layer else None,
            top,
            max(place.highest, top),
            {axis: round(place.axes[axis], 5) for axis in "XYZ"},
            {name: degrees for name, degrees in place.targets.items() if degrees},
            round(place.extruded, 2),
            tuple(start_sequence(place, top)),
            state.st_size,
            state.st_mtime_ns,
        )
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}") from error


def _top(name: str, place: ResumePlace, layers: Sequence["Layer"], offset: int) -> float:
    """Return the height of the part, in mm: a wrong one would crash the nozzle into it.

    The last extrusion may have been beside the part, at any height. The place is in the last of `layers`. If
    that layer has begun and the last extrusion is at its height, this is the height of the part. Otherwise it is the
    height of the layer below, and if these two layers are not adjacent, the place is refused.
    """
    height, last = place.top or 0.0, layers[-1] if layers else None
    if last is None or last.z is None:
        raise NoSuchPlace(f"cannot tell how high the part is there: {name} has no layer at that place")
    max_step = 2 * (last.height or _DEFAULT_LAYER) + _TOLERANCE
    if last.offset < offset and abs(height - last.z) < _TOLERANCE:
        return height  # the place is within a layer that has begun
    below = next((each.z for each in reversed(layers[:-1]) if each.z is not None), None)
    if below is None or not 0 < last.z - below <= max_step:
        before = height if below is None else below
        raise NoSuchPlace(
            f"cannot tell how high the part is there: layer {len(layers)} of {name} is at {last.z:g} mm, but the layer "
            f"before it is at {before:g} mm"
        )
    return below


def _require_same_heights(path: Path, place: ResumePlace, layers: Sequence["Layer"], top: float, offset: int) -> None:
    """Require that the moves have the heights that the file's comments give its layers.

    A Z offset in the slicer may be in the moves and not in the comments; the part is as high as the moves made it.
    """
    layer = layers[-1]
    if layer.z is None:
        return  # `_top` has refused it
    next_place = deepcopy(place)
    next_place.top = None
    for line_offset, command in _commands(path):
        if line_offset >= offset:
            next_place.note(command)
            if next_place.top is not None:
                break
    layer_height, top_hundredths = layer.height or _DEFAULT_LAYER, in_hundredths(top)
    is_spiral = any(
        each in place.laid_heights for each in range(in_hundredths(top - layer_height) + 3, top_hundredths - 2)
    )
    tolerance = layer_height if is_spiral else 2 * _TOLERANCE
    is_laid = {top_hundredths - 1, top_hundredths, top_hundredths + 1} & place.laid_heights
    if not is_laid or next_place.top is None or abs(next_place.top - layer.z) > tolerance:
        raise NoSuchPlace(
            f"cannot tell how high the part is there: by the comments of {path.name}, layer {len(layers)} is at "
            f"{layer.z:g} mm and the layer below it at {top:g} mm, but the moves are at other heights"
        )


def _require_heat(name: str, place: ResumePlace) -> None:
    """Require that the file sets a hotend's temperature, or allows cold extrusion."""
    hot = any(target > 0 and heater.startswith("tool") for heater, target in place.targets.items())
    if not (hot or place.extrudes_cold):
        macro = f" (perhaps {place.macro!r} does)" if place.macro else ""
        raise NoSuchPlace(f"cannot resume there: {name} does not set a temperature of the hotend{macro}")


def _offset(path: Path, target: ResumeTarget, layers: Sequence["Layer"]) -> int:
    """Return the offset of the first line to print, in bytes."""
    name = path.name
    if target.line is not None:
        return _offset_of_line(path, target.line)
    if target.height is not None:
        above = [
            each
            for each in layers
            if each.z is not None and each.z - (each.height or _DEFAULT_LAYER) / 2 > target.height
        ]
        if not above:
            raise NoSuchPlace(f"{name} has no layer above {target.height:g} mm")
        if [each for each in layers if each.offset > above[0].offset] != above[1:]:
            raise NoSuchPlace(
                f"{name} prints objects one after the other, so a height is not enough: name the layer or the line"
            )
        return above[0].offset
    number = target.layer
    if number is None:
        number = sum(each.offset <= (target.offset or 0) for each in layers)
        if not number:
            raise NoSuchPlace(f"{name} had not begun its first layer: print the whole file")
    if not 1 <= number <= len(layers):
        raise NoSuchPlace(f"{name} has layers 1 to {len(layers)}, not {number}")
    return layers[number - 1].offset


def _offset_of_line(path: Path, line_number: int) -> int:
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if number == line_number:
                return offset
            offset += len(line)
    raise NoSuchPlace(f"{path.name} has no line {line_number}")


def _line_at(path: Path, offset: int) -> int:
    line = 1
    with path.open("rb") as file:
        while offset > 0 and (block := file.read(min(BLOCK, offset))):
            line += block.count(b"\n")
            offset -= len(block)
    return line


def _commands(path: Path) -> Iterator[tuple[int, bytes]]:
    reader = Reader()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            reader.feed(block)
            yield from reader
    reader.finish()
    yield from reader


def temperatures_text(targets: dict[str, float]) -> str:
    """Return temperatures for users to read; empty if there are none."""
    return ", ".join(f"{name} {target:g} °C" for name, target in targets.items())


def warnings(proposal: Proposal, scripts: ScriptsConfig, end_layer: int | None = None) -> list[str]:
    """Return warnings for the user.

    Args:
        proposal: where the print is to continue.
        scripts: of the configuration.
        end_layer: the layer in which the print ended, 0 before the first; None: unknown.
    """
    texts = []
    if scripts.before_start:
        texts.append("scripts.before_start is left out, as it may home Z: " + "; ".join(scripts.before_start))
    if proposal.highest > proposal.top + _DEFAULT_LAYER:
        texts.append(
            f"the nozzle has to touch the part that was being printed, which is {proposal.top:g} mm high, and nothing "
            f"else on the bed (another object, a purge), which may be {proposal.highest:g} mm high"
        )
    if end_layer is not None and proposal.layer is not None and proposal.layer > end_layer + 1:
        texts.append(
            f"the print ended in layer {end_layer}: what belongs between it and layer {proposal.layer} would be missing"
            if end_layer
            else f"the print ended before its first layer: what belongs below layer {proposal.layer} would be missing"
        )
    return texts
