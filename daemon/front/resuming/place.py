"""Going on with a print that was lost: what held at a place of its file, and the commands that bring a printer there.

Pure: commands in, commands out. The printer is cold and has forgotten where it is; the part stands on its bed, so it
must not home Z. What is known of Z is the user's: the nozzle touches the top of what has been printed.
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
from gcode.heating import SETS_TARGET
from gcode.modes import Modes, may_change_modes

LIFT = 5.0  # mm above all that has been printed, before anything moves sideways
PRIME = 5.0  # mm of filament, at the corner where the axes home: what oozed in the heat-up is replaced
TRAVEL = "F6000"  # mm/min
DOWN = "F600"
EXTRUDE = "F150"
RETRACT = "F1800"

_MOST_DRAWN = 20.0  # mm pulled back; more is the change of a filament
_MOVES = frozenset({"G0", "G1", "G2", "G3"})
_WORDS = re.compile(r"(?<![A-Z_])([A-Z_]+)=\S+|([A-Z])\s*[+-]?[\d.]*")
_OFFSET = "SET_GCODE_OFFSET"  # Klipper's
_BY = re.compile(r"(?<![A-Z_])([XYZE])(_ADJUST)?=([+-]?[\d.]+)")
_ORIGINS = frozenset({"G52", "G53", "G55", "G56", "G57", "G58", "G59", "M428"})
"""Codes by which coordinates count from elsewhere than from where the axes home."""

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
"""Commands that hold until they are changed, and change what is laid or how fast; and which word of each says for which
tool, fan or extruder."""

_ALL_EMODES: tuple[EMode, ...] = ("last", "either", "own")


def in_steps(height: float) -> int:
    """Return a height in hundredths of a mm: a spiral vase would have as many as it has moves."""
    return round(height * 100)


@mutable
class ResumePlace:
    """What holds at a place of a file, as the commands before it have left it. Lengths in mm, heat in °C.

    Attributes:
        e_mode: of the firmware, see `gcode.modes`; None: nobody knows it.
        modes: how the next lines are read.
        axes: X, Y, Z and E, as the file counts them.
        top: height of the material laid last; None: there is none. It may have been laid beside the part (a purge).
        laid: the heights at which material was laid, see `in_steps`.
        highest: of all that was laid; above `top` where objects are printed one after the other.
        targets: by heater: `tool0`, `bed`, `chamber`.
        settings: the commands that still hold of those that set speeds, factors and the like, in their order.
        renamed: X, Y or Z have another origin than homing gives them.
        unclear: E was moved where it depends on the firmware how that is read.
        offsets: of X, Y, Z and E by Klipper's SET_GCODE_OFFSET: a later one is counted from what holds then.
        macro: the first line that is no G-code, and may do anything.
        extruded: filament in all, what was drawn back taken off.
    """

    e_mode: EMode | None = "last"
    modes: Modes = field(default_factory=Modes)
    axes: dict[str, float] = field(default_factory=lambda: dict.fromkeys("XYZE", 0.0))
    top: float | None = None
    highest: float = 0.0
    laid: set[int] = field(default_factory=set)
    targets: dict[str, float] = field(default_factory=dict)
    settings: dict[tuple[str, ...], str] = field(default_factory=dict)
    renamed: bool = False
    unclear: bool = False
    offsets: dict[str, float] = field(default_factory=dict)
    macro: str = ""
    extruded: float = 0.0
    _most: float = 0.0  # extruded at any time
    _homed: set[str] = field(default_factory=set)
    _feed_aside: str | None = None
    _others: list[Modes] = field(default_factory=list)  # as other firmwares have them

    def __post_init__(self) -> None:
        self.modes.e_mode = self.e_mode or "last"
        if self.e_mode is None:
            self._others = [Modes(e_mode=each) for each in _ALL_EMODES[1:]]

    @property
    def drawn(self) -> float:
        """The mm of filament that are pulled back."""
        drawn = self._most - self.extruded
        return drawn if drawn <= _MOST_DRAWN else 0.0

    @property
    def extrudes_cold(self) -> bool:
        """The file has said that filament may be moved in the cold (M302), as of paste."""
        return any(code == "M302" for code, *_ in self.settings)

    def note(self, command: bytes) -> None:
        """Follow one command."""
        if may_change_modes(command):
            self.modes.note(command)
            for each in self._others:
                each.note(command)
        try:
            asked = parse(command)
        except CommandError:
            self._note_macro(command)
            return
        code = asked.code
        if code in _MOVES:
            self._move(asked)
        elif code == "G92":
            self._rename(asked)
        elif code == "G28":
            self._home(asked)
        elif code in SETS_TARGET:
            self._heat(SETS_TARGET[code], asked)
        elif code in _ORIGINS or (code == "G10" and "L" in asked):
            self.renamed = True
        else:
            self._note_setting(code, command)

    def _note_macro(self, command: bytes) -> None:
        """Take a line that is no G-code: one of Klipper's commands, or a macro."""
        text = command.decode("ascii", "replace")
        word = text.split(None, 1)[0].upper()
        self._note_setting(word, command)
        if word == _OFFSET:
            self._shift(text.upper())
        elif word not in _SETTINGS and not self.macro:
            self.macro = text

    def _note_setting(self, code: str, command: bytes) -> None:
        """Take a setting; it takes the place of the earlier ones that set no other words for the same tool."""
        if code not in _SETTINGS:
            return
        text = command.decode("ascii", "replace")
        words = {each[1] or each[2]: each[0] for each in _WORDS.finditer(text.upper(), len(code))}
        of = words.pop(_SETTINGS[code], "")
        if code == "G10" and not of:
            return  # a retraction of the firmware's
        if code in {"M106", "M107"}:
            if of in {"", "P0"}:
                return  # the part fan, which modes have
            code, words = "M106", {}
        if code == "M220" and words.keys() & {"B", "R"}:
            self._put_aside(back="R" in words)
            return
        names = frozenset(words)
        for key in [key for key in self.settings if key[:2] == (code, of) and names.issuperset(key[2:])]:
            del self.settings[key]
        self.settings[code, of, *sorted(names)] = text

    def _shift(self, text: str) -> None:
        for axis, adjusts, value in _BY.findall(text):
            with suppress(ValueError):
                self.offsets[axis] = float(value) + (self.offsets.get(axis, 0.0) if adjusts else 0.0)

    def _put_aside(self, *, back: bool) -> None:
        """Remember the factor of speeds, or put it back, as M220 B and R do."""
        key = ("M220", "", "S")
        if not back:
            self._feed_aside = self.settings.get(key)
        else:
            self.settings.pop(key, None)
            if self._feed_aside is not None:
                self.settings[key] = self._feed_aside

    def _move(self, asked: Command) -> None:
        unit = self.modes.unit
        x, y, before = self.axes["X"], self.axes["Y"], self.axes["E"]
        for axis in "XYZE":
            if (value := asked.get(axis)) is not None:
                relative = self.modes.relative_e if axis == "E" else self.modes.relative
                self.axes[axis] = value * unit + (self.axes[axis] if relative else 0.0)
        if "E" in asked and any(each.relative_e != self.modes.relative_e for each in self._others):
            self.unclear = True
        pushed = self.axes["E"] - before
        self.extruded += pushed
        self._most = max(self._most, self.extruded)
        goes_round = asked.code in {"G2", "G3"}  # perhaps to where it was
        if pushed > 0 and (goes_round or (x, y) != (self.axes["X"], self.axes["Y"])):
            self.top = self.axes["Z"]
            self.laid.add(in_steps(self.top))
            self.highest = max(self.highest, self.top)

    def _rename(self, asked: Command) -> None:
        unit = self.modes.unit
        for axis in "XYZE":
            if (value := asked.get(axis)) is not None:
                self.renamed = self.renamed or self._gets_other_origin(axis, value * unit)
                self.axes[axis] = value * unit

    def _gets_other_origin(self, axis: str, value: float) -> bool:
        if axis == "E":
            return False
        if axis == "Z" and axis not in self._homed and self.top is None:
            return False  # so begins the rest of a print: it says how high the nozzle is, and Z never homes
        return axis not in self._homed or value != self.axes[axis]

    def _home(self, asked: Command) -> None:
        for axis in [axis for axis in "XYZ" if axis in asked] or "XYZ":
            self.axes[axis] = 0.0
            self._homed.add(axis)

    def _heat(self, heater: str, asked: Command) -> None:
        target = asked.get("S", asked.get("R"))
        if target is not None:
            name = f"tool{asked.number('T', self.modes.tool or 0):.0f}" if heater == "tool" else heater
            self.targets[name] = target


def place_behind(commands: Iterable[tuple[int, bytes]], offset: int, e_mode: EMode | None = "last") -> ResumePlace:
    """Return what holds before the line at this offset.

    Args:
        commands: of the whole file, as `gcode.reader` gives them.
        offset: bytes from the start of the file.
        e_mode: of the firmware; None: nobody knows it.

    Raises:
        NoSuchPlace: the print cannot go on there.
    """
    place = ResumePlace(e_mode)
    for at, command in commands:
        if at >= offset:
            break
        place.note(command)
    if place.top is None:
        raise NoSuchPlace("nothing is printed before that place: print the whole file")
    if place.renamed:
        raise NoSuchPlace("the file moves the origin of its axes (G92 X, Y or Z): its position there cannot be known")
    if place.unclear:
        raise NoSuchPlace(
            "G90 or G91 follow M82 or M83 in the file, and firmwares differ in what that means for E: connect the "
            "printer, or name its firmware (profile.firmware)"
        )
    return place


def start_sequence(place: ResumePlace, top: float) -> Iterator[str]:
    """Give the commands that bring the printer there. The nozzle touches the part, so high, when they begin.

    Until the bed is hot it stays there, cold: cold, the part would come off the bed, and an axis that is not held may
    sink. It gets hot in the corner, where it melts into nothing.
    """
    targets = {name: target for name, target in place.targets.items() if target > 0}
    yield "G21"
    yield "G90"
    yield from place.settings.values()
    if place.offsets:  # before Z is said: the part has been built with it
        yield " ".join([_OFFSET, *(f"{axis}={_number(value)}" for axis, value in sorted(place.offsets.items()))])
    for code, name in (("M190", "bed"), ("M191", "chamber")):
        if name in targets:
            yield f"{code} S{_number(targets[name])}"
    yield f"G92 Z{_number(top)}"  # first, so that a lift of the firmware's own is counted too
    yield "G91"
    yield f"G1 Z{_number(max(place.highest, top) - top + LIFT)} {DOWN}"
    yield "G90"
    yield "G28 X Y"
    tools = {int(name[4:]): target for name, target in targets.items() if name.startswith("tool")}
    for code in ("M104", "M109"):
        for tool, target in tools.items():
            yield f"{code}{f' T{tool}' if tools.keys() != {0} else ''} S{_number(target)}"
    yield from _to_the_place(place)


def _to_the_place(place: ResumePlace) -> Iterator[str]:
    axes, drawn = place.axes, place.drawn
    if place.modes.tool is not None:
        yield f"T{place.modes.tool}"  # before it is primed
    yield "M83"
    yield f"G1 E{PRIME:g} {EXTRUDE}"
    if drawn > 0:
        yield f"G1 E-{_number(drawn)} {RETRACT}"
    yield f"G1 X{_number(axes['X'])} Y{_number(axes['Y'])} {TRAVEL}"
    yield f"G1 Z{_number(axes['Z'])} {DOWN}"
    yield f"G92 E{_number(axes['E'])}"
    yield from place.modes.restore_all()


def _number(value: float) -> str:
    """Write a number as firmware reads it: never with an exponent."""
    return f"{value:.5f}".rstrip("0").rstrip(".")
