"""Where in a file a lost print is to go on, found and told: for the command line, and for the process of the service.

Reads whole files.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon.config import ScriptsConfig
from daemon.errors import FileError, NoSuchPlace
from daemon.front.resuming.place import ResumePlace, in_steps, place_behind, start_sequence
from daemon.rest_of_print import MARK
from gcode.firmware_traits import EMode
from gcode.frozen import frozen
from gcode.reader import Reader

if TYPE_CHECKING:
    from gcode.analysis.result import Layer

BLOCK = 1024 * 1024  # bytes

POWER_LOSS = "If the firmware offers to resume the print itself (M413, at its panel), let it: it knows the exact move."

_LAYER = 0.2  # mm, where nobody knows how thick one is
_CLOSE = 0.01  # mm


@frozen
class ResumeTarget:
    """Where a print is to go on; one of them.

    Attributes:
        layer: the first that is printed; 1 is the first of the file.
        height: mm; the layer above it is the first.
        line: the first that is printed, as an editor counts.
        offset: in bytes; the layer that has this place is the first.
    """

    layer: int | None = None
    height: float | None = None
    line: int | None = None
    offset: int | None = None


@frozen
class Proposal:
    """A place at which a print may go on, and what goes before it. Lengths in mm, heat in °C.

    Attributes:
        offset: of the first line that is printed, in bytes.
        line: the same, as an editor counts.
        layer: in which it is; None: nobody has counted.
        layers: how many the file has.
        height: of that layer.
        top: of what was printed last: where the nozzle has to stand.
        highest: of all that has been printed; more where objects are printed one after the other.
        at: where the axes are then.
        temperatures: by heater.
        extruded: filament, up to there.
        sequence: the commands that go before the rest of the file.
        size: of the file that was read,
        mtime_ns: and when it was changed.
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
        """Return it as JSON."""
        return asdict(self)

    def head(self, name: str) -> bytes:
        """Return what goes before the rest of the file of this name; the first line is its mark."""
        about = "".join(char if char.isprintable() else "?" for char in name)
        mark = f"{MARK.decode()}{about}, from line {self.line} (byte {self.offset}) on"
        return "".join(f"{line}\n" for line in (mark, *self.sequence)).encode()


def propose(path: Path, wanted: ResumeTarget, layers: Sequence["Layer"], e_mode: EMode | None) -> Proposal:
    """Return how a print of this file goes on there.

    Args:
        path: of the file, which is a text.
        wanted: the place.
        layers: of the file.
        e_mode: of the firmware; None: nobody knows it.

    Raises:
        NoSuchPlace: there is none, or nobody could go on from it.
        FileError: the file cannot be read.
    """
    try:
        state = path.stat()
        offset = _offset(path, wanted, layers)
        if layers and offset <= layers[0].offset:
            raise NoSuchPlace(f"that is the first layer of {path.name}, and no part is below it: print the whole file")
        place = place_behind(_commands(path), offset, e_mode)
        _require_heat(path.name, place)
        layer = sum(each.offset <= offset for each in layers) or None
        top = _top(path.name, place, layers[: layer or 0], offset)
        _require_one_frame(path, place, layers[: layer or 0], top, offset)
        return Proposal(
            offset,
            _line_at(path, offset),
            layer,
            len(layers),
            layers[layer - 1].z if layer else None,
            top,
            max(place.highest, top),
            {axis: round(place.axes[axis], 5) for axis in "XYZ"},
            {name: target for name, target in place.targets.items() if target},
            round(place.extruded, 2),
            tuple(start_sequence(place, top)),
            state.st_size,
            state.st_mtime_ns,
        )
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}") from error


def _top(name: str, place: ResumePlace, layers: Sequence["Layer"], offset: int) -> float:
    """Return how high the part is, by the layers up to the one that has the place; all else would be a crash.

    Material may have been laid beside the part, at any height; so the layer below says it, and has to be just below.
    """
    laid, last = place.top or 0.0, layers[-1] if layers else None
    if last is None or last.z is None:
        raise NoSuchPlace(f"cannot tell how high the part is there: {name} has no layer at that place")
    most = 2 * (last.height or _LAYER) + _CLOSE
    if last.offset < offset and abs(laid - last.z) < _CLOSE:
        return laid  # in the middle of a layer, behind material of its own
    below = next((each.z for each in reversed(layers[:-1]) if each.z is not None), None)
    if below is None or not 0 < last.z - below <= most:
        before = laid if below is None else below
        raise NoSuchPlace(
            f"cannot tell how high the part is there: layer {len(layers)} of {name} is at {last.z:g} mm, and what "
            f"was printed before it is at {before:g} mm"
        )
    return below


def _require_one_frame(path: Path, place: ResumePlace, layers: Sequence["Layer"], top: float, offset: int) -> None:
    """See that moves are where the file's comments say that its layers are.

    A Z offset of the slicer's may be in the one and not in the other, and the part is as high as the moves made it.
    """
    at = layers[-1]
    if at.z is None:
        return  # `_top` has refused it
    behind = deepcopy(place)
    behind.top = None
    for begins, command in _commands(path):
        if begins >= offset:
            behind.note(command)
            if behind.top is not None:
                break
    thick, steps = at.height or _LAYER, in_steps(top)
    spiral = any(each in place.laid for each in range(in_steps(top - thick) + 3, steps - 2))
    near = thick if spiral else 2 * _CLOSE
    if not {steps - 1, steps, steps + 1} & place.laid or behind.top is None or abs(behind.top - at.z) > near:
        raise NoSuchPlace(
            f"cannot tell how high the part is there: the comments of {path.name} have layer {len(layers)} at "
            f"{at.z:g} mm above one at {top:g} mm, and its moves do not"
        )


def _require_heat(name: str, place: ResumePlace) -> None:
    """See that the file has said how hot the nozzle is to be, or that it may be cold."""
    hot = any(target > 0 and heater.startswith("tool") for heater, target in place.targets.items())
    if not (hot or place.extrudes_cold):
        macro = f": it may be {place.macro!r} that does" if place.macro else ""
        raise NoSuchPlace(
            f"{name} does not say how hot the nozzle is there{macro}; the print cannot be resumed from it"
        )


def _offset(path: Path, wanted: ResumeTarget, layers: Sequence["Layer"]) -> int:
    """Return where the first line to print begins, in bytes."""
    name = path.name
    if wanted.line is not None:
        return _offset_of_line(path, wanted.line)
    if wanted.height is not None:
        above = [each for each in layers if each.z is not None and each.z - (each.height or _LAYER) / 2 > wanted.height]
        if not above:
            raise NoSuchPlace(f"{name} has no layer above {wanted.height:g} mm")
        if [each for each in layers if each.offset > above[0].offset] != above[1:]:
            raise NoSuchPlace(
                f"{name} prints objects one after the other, so a height is not enough: name the layer or the line"
            )
        return above[0].offset
    number = wanted.layer
    if number is None:
        number = sum(each.offset <= (wanted.offset or 0) for each in layers)
        if not number:
            raise NoSuchPlace(f"{name} had not begun its first layer: print the whole file")
    if not 1 <= number <= len(layers):
        raise NoSuchPlace(f"{name} has layers 1 to {len(layers)}, not {number}")
    return layers[number - 1].offset


def _offset_of_line(path: Path, wanted: int) -> int:
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if number == wanted:
                return offset
            offset += len(line)
    raise NoSuchPlace(f"{path.name} has no line {wanted}")


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


def heated(targets: dict[str, float]) -> str:
    """Return temperatures as people read them; empty where nothing is heated."""
    return ", ".join(f"{name} {target:g} °C" for name, target in targets.items())


def warnings(proposal: Proposal, scripts: ScriptsConfig, reached: int | None = None) -> list[str]:
    """Return what somebody has to think of besides; `reached` is the layer in which the print has ended."""
    found = []
    if scripts.before_start:
        found.append("scripts.before_start is left out, as it may home Z: " + "; ".join(scripts.before_start))
    if proposal.highest > proposal.top + _LAYER:
        found.append(
            f"the nozzle has to touch the part that was being printed, {proposal.top:g} mm high, and not what else was "
            f"laid, up to {proposal.highest:g} mm (another object, a purge)"
        )
    if reached is not None and proposal.layer is not None and proposal.layer > reached + 1:
        found.append(f"the print has ended in layer {reached}: the layers up to {proposal.layer} would be missing")
    return found
