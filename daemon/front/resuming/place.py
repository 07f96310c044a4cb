"""ResumePlace: the printer's state at a place in a file, and the commands that restore it to print the rest.

Pure: commands in, commands out. The printer is cold and has lost its position. The part stands on the bed, so Z must
not be homed: instead, the user lowers the nozzle until it touches the top of the part, whose height is known.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import field

from daemon.errors import NoSuchPlace
from gcode.command import Command, parse
from gcode.errors import CommandError
from gcode.firmware_traits import EMode
from gcode.frozen import mutable
from gcode.heating import HEATERS_BY_COMMAND
from gcode.modes import Modes, may_change_modes

LIFT = 5.0  # mm by which the nozzle is raised above everything printed, before any sideways move
PRIME = 5.0  # mm of filament, extruded in the corner where X and Y home, to replace what oozed during the heat-up
TRAVEL = "F6000"  # this and the next three in mm/min
DOWN = "F600"
EXTRUDE = "F150"
RETRACT = "F1800"

_MAX_RETRACTED = 20.0  # mm; more is a filament change
_MOVES = frozenset({"G0", "G1", "G2", "G3"})
_NAMED_WORDS = re.compile(r"(?<![A-Z_])([A-Z_]+)=(\S+)")  # of Klipper's commands
_SET_OFFSET = "SET_GCODE_OFFSET"  # Klipper's
_OFFSET_WORDS = re.compile(r"(?<![A-Z_])([XYZE])(_ADJUST)?=([+-]?[\d.]+)")
_ORIGIN_CODES = frozenset({"G52", "G53", "G55", "G56", "G57", "G58", "G59", "M428"})
"""Codes that move the origin of the axes away from where they home."""

_SETTINGS: dict[str, str] = dict.fromkeys(
    (
        "M92", "M200", "M201", "M203", "M204", "M205", "M206", "M207", "M208", "M209", "M211", "M218", "M220", "M221",
        "M302", "M404", "M405", "M406", "M425", "M566", "M569", "M572", "M592", "M593", "M605", "M900", "M906",
    ),
    "T",
) | {
    "G10": "P", "M106": "P", "M107": "P", "M163": "S", "M164": "S", "M165": "", "M166": "",
    "SET_PRESSURE_ADVANCE": "EXTRUDER", "SET_RETRACTION": "", "SET_VELOCITY_LIMIT": "",
}  # fmt: skip
"""Commands that stay in effect and change what is extruded or how fast, with the word that names tool, fan or extruder;
"" if there is none."""

_ALL_EMODES: tuple[EMode, ...] = ("last", "either", "own")


def in_hundredths(height: float) -> int:
    """Return a height in hundredths of a mm: exact heights of a spiral vase would be as many as its moves."""
    return round(height * 100)


@mutable
class ResumePlace:
    """The printer's state at a place in a file, after all commands before it. Lengths in mm, temperatures in °C.

    Attributes:
        e_mode: the firmware's, see `gcode.modes`; None: unknown.
        modes: the modes in which the next lines are read.
        axes: X, Y, Z and E, in the file's coordinates.
        top: height of the last extrusion, which may have been beside the part (a purge); None: there was none.
        laid_heights: all heights of extrusions, see `in_hundredths`.
        highest: the largest height; above `top` if objects are printed one after the other.
        targets: by heater: `tool0`, `bed`, `chamber`.
        settings: the commands in effect that set speeds, factors and the like, in their order.
        has_moved_origin: X, Y or Z has another origin than after homing.
        is_e_ambiguous: E was moved in a mode that depends on the firmware.
        offsets: of X, Y, Z and E by Klipper's SET_GCODE_OFFSET.
        macro: the first line that is not G-code, and so may do anything.
        extruded: net length of filament.
    """

    e_mode: EMode | None = "last"
    modes: Modes = field(default_factory=Modes)
    axes: dict[str, float] = field(default_factory=lambda: dict.fromkeys("XYZE", 0.0))
    top: float | None = None
    highest: float = 0.0
    laid_heights: set[int] = field(default_factory=set)
    targets: dict[str, float] = field(default_factory=dict)
    settings: dict[tuple[str, ...], str] = field(default_factory=dict)
    has_moved_origin: bool = False
    is_e_ambiguous: bool = False
    offsets: dict[str, float] = field(default_factory=dict)
    macro: str = ""
    extruded: float = 0.0
    _max_extruded: float = 0.0  # the largest value of `extruded` so far
    _homed_axes: set[str] = field(default_factory=set)
    _stored_feedrate: str | None = None
    _other_modes: list[Modes] = field(default_factory=list)  # by the E modes of other firmwares

    def __post_init__(self) -> None:
        self.modes.e_mode = self.e_mode or "last"
        if self.e_mode is None:
            self._other_modes = [Modes(e_mode=each) for each in _ALL_EMODES[1:]]

    @property
    def retracted(self) -> float:
        """The length of filament that is retracted, in mm."""
        retracted = self._max_extruded - self.extruded
        return retracted if retracted <= _MAX_RETRACTED else 0.0

    @property
    def extrudes_cold(self) -> bool:
        """Whether the file allows cold extrusion (M302), for paste for example."""
        commands = [parse(text) for (code, *_), text in self.settings.items() if code == "M302"]
        return bool(commands) and _allows_cold_extrusion(commands[-1])

    def note(self, line: bytes) -> None:
        """Follow one command of the file."""
        if may_change_modes(line):
            self.modes.note(line)
            for each in self._other_modes:
                each.note(line)
        try:
            command = parse(line)
        except CommandError:
            self._note_macro(line.decode("ascii", "replace"))
            return
        code = command.code
        if code in _MOVES:
            self._move(command)
        elif code == "G92":
            self._set_axes(command)
        elif code == "G28":
            self._home(command)
        elif code in HEATERS_BY_COMMAND:
            self._heat(HEATERS_BY_COMMAND[code], command)
        elif code in _ORIGIN_CODES or (code == "G10" and "L" in command):
            self.has_moved_origin = True
        elif code in _SETTINGS:
            words = {letter: "" if value is None else f"{value:g}" for letter, value in command.params.items()}
            self._note_setting(code, words, line.decode("ascii", "replace"))

    def _note_macro(self, text: str) -> None:
        """Follow a line that is not G-code: one of Klipper's commands, or a macro."""
        name = text.split(None, 1)[0].upper()
        if name in _SETTINGS:
            self._note_setting(name, dict(_NAMED_WORDS.findall(text.upper())), text)
        elif name == _SET_OFFSET:
            self._adjust_offsets(text.upper())
        elif not self.macro:
            self.macro = text

    def _note_setting(self, code: str, words: dict[str, str], text: str) -> None:
        """Store a setting; it replaces earlier settings of the same tool that set no other words."""
        index = words.pop(_SETTINGS[code], "")
        if code == "G10" and not index:
            return  # the firmware's own retraction
        if code in {"M106", "M107"}:
            if index in {"", "0"}:
                return  # the part fan, which is one of the modes
            code, words = "M106", {}
        if code == "M220" and words.keys() & {"B", "R"}:
            self._store_feedrate(restore="R" in words)
            return
        names = frozenset(words)
        for key in [key for key in self.settings if key[:2] == (code, index) and names.issuperset(key[2:])]:
            del self.settings[key]
        self.settings[code, index, *sorted(names)] = text

    def _adjust_offsets(self, text: str) -> None:
        for axis, adjusts, value in _OFFSET_WORDS.findall(text):
            with suppress(ValueError):
                self.offsets[axis] = float(value) + (self.offsets.get(axis, 0.0) if adjusts else 0.0)

    def _store_feedrate(self, *, restore: bool) -> None:
        """Store the feedrate factor, or restore it, as M220 B and R do."""
        key = ("M220", "", "S")
        if not restore:
            self._stored_feedrate = self.settings.get(key)
        else:
            self.settings.pop(key, None)
            if self._stored_feedrate is not None:
                self.settings[key] = self._stored_feedrate

    def _move(self, command: Command) -> None:
        unit = self.modes.unit
        x, y, e = self.axes["X"], self.axes["Y"], self.axes["E"]
        for axis in "XYZE":
            if (value := command.get(axis)) is not None:
                relative = self.modes.relative_e if axis == "E" else self.modes.relative
                self.axes[axis] = value * unit + (self.axes[axis] if relative else 0.0)
        if "E" in command and any(each.relative_e != self.modes.relative_e for each in self._other_modes):
            self.is_e_ambiguous = True
        extruded = self.axes["E"] - e
        self.extruded += extruded
        self._max_extruded = max(self._max_extruded, self.extruded)
        is_arc = command.code in {"G2", "G3"}  # a full circle ends where it began
        if extruded > 0 and (is_arc or (x, y) != (self.axes["X"], self.axes["Y"])):
            self.top = self.axes["Z"]
            self.laid_heights.add(in_hundredths(self.top))
            self.highest = max(self.highest, self.top)

    def _set_axes(self, command: Command) -> None:
        unit = self.modes.unit
        for axis in "XYZE":
            if (value := command.get(axis)) is not None:
                self.has_moved_origin = self.has_moved_origin or self._moves_origin(axis, value * unit)
                self.axes[axis] = value * unit

    def _moves_origin(self, axis: str, value: float) -> bool:
        if axis == "E":
            return False
        if axis == "Z" and axis not in self._homed_axes and self.top is None:
            return False  # the file is itself the rest of a print: such files begin by setting Z instead of homing it
        return axis not in self._homed_axes or value != self.axes[axis]

    def _home(self, command: Command) -> None:
        for axis in [axis for axis in "XYZ" if axis in command] or "XYZ":
            self.axes[axis] = 0.0
            self._homed_axes.add(axis)

    def _heat(self, heater: str, command: Command) -> None:
        target = command.get("S", command.get("R"))
        if target is not None:
            name = f"tool{command.number('T', self.modes.tool or 0):.0f}" if heater == "tool" else heater
            self.targets[name] = target


def _allows_cold_extrusion(command: Command) -> bool:
    """Tell whether an M302 allows cold extrusion at any temperature: by P1, S0 or, in old firmwares, no word."""
    flag = command.get("P")
    return not command.get("S") if flag is None else flag != 0


def place_before(commands: Iterable[tuple[int, bytes]], offset: int, e_mode: EMode | None = "last") -> ResumePlace:
    """Return the state before the line at this offset.

    Args:
        commands: all of the file, from `gcode.reader`.
        offset: in bytes.
        e_mode: the firmware's; None: unknown.

    Raises:
        NoSuchPlace: the print cannot be resumed there.
    """
    place = ResumePlace(e_mode)
    for at, command in commands:
        if at >= offset:
            break
        place.note(command)
    if place.top is None:
        raise NoSuchPlace("nothing is printed before that place: print the whole file")
    if place.has_moved_origin:
        raise NoSuchPlace("the file moves the origin of its axes (G92 X, Y or Z), so its position there is unknown")
    if place.is_e_ambiguous:
        raise NoSuchPlace(
            "the file has G90 or G91 after M82 or M83, and firmwares differ in what that means for E: connect the "
            "printer, or name its firmware (profile.firmware)"
        )
    return place


def start_sequence(place: ResumePlace, top: float) -> Iterator[str]:
    """Yield the commands that restore the state. At first the nozzle is on top of the part, at this height in mm.

    The nozzle stays there, cold, until the bed is hot: the part would come off a cold bed, and Z may sink while its
    motor is off. Only in the corner, away from the part, is the nozzle heated.
    """
    targets = {name: target for name, target in place.targets.items() if target > 0}
    yield "G21"
    yield "G90"
    yield from place.settings.values()
    if place.offsets:  # before G92 Z: the part was printed with them
        yield " ".join([_SET_OFFSET, *(f"{axis}={_number(value)}" for axis, value in sorted(place.offsets.items()))])
    for code, name in (("M190", "bed"), ("M191", "chamber")):
        if name in targets:
            yield f"{code} S{_number(targets[name])}"
    yield f"G92 Z{_number(top)}"  # before the homing, so that a lift by the firmware counts
    yield "G91"
    yield f"G1 Z{_number(max(place.highest, top) - top + LIFT)} {DOWN}"
    yield "G90"
    yield "G28 X Y"
    tools = {int(name[4:]): target for name, target in targets.items() if name.startswith("tool")}
    for code in ("M104", "M109"):
        for tool, target in tools.items():
            yield f"{code}{f' T{tool}' if tools.keys() != {0} else ''} S{_number(target)}"
    yield from _approach(place)


def _approach(place: ResumePlace) -> Iterator[str]:
    axes, retracted = place.axes, place.retracted
    if place.modes.tool is not None:
        yield f"T{place.modes.tool}"  # before the nozzle is primed
    yield "M83"
    yield f"G1 E{PRIME:g} {EXTRUDE}"
    if retracted > 0:
        yield f"G1 E-{_number(retracted)} {RETRACT}"
    yield f"G1 X{_number(axes['X'])} Y{_number(axes['Y'])} {TRAVEL}"
    yield f"G1 Z{_number(axes['Z'])} {DOWN}"
    yield f"G92 E{_number(axes['E'])}"
    yield from place.modes.commands_to_restore_all()


def _number(value: float) -> str:
    """Format a number without an exponent, which firmware cannot read."""
    return f"{value:.5f}".rstrip("0").rstrip(".")
