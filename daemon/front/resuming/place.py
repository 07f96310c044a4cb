"""Going on with a print that was lost: what held at a place of its file, and the commands that bring a printer there.

Pure: commands in, commands out. The printer is cold and has forgotten where it is; the part stands on its bed, so it
must not home Z. What is known of Z is the user's: the nozzle touches the top of what has been printed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from daemon.errors import NoSuchPlace
from gcode.command import Command, parse
from gcode.errors import CommandError
from gcode.heating import SETS_TARGET
from gcode.modes import Modes

LIFT = 5.0  # mm above the part, before anything moves sideways
PRIME = 5.0  # mm of filament, at the corner where the axes home: what oozed in the heat-up is replaced
TRAVEL = "F6000"  # mm/min
DOWN = "F600"
EXTRUDE = "F150"
RETRACT = "F1800"

_INCH = 25.4  # mm
_MOST_DRAWN = 20.0  # mm pulled back; more is the change of a filament
_MOVES = frozenset({"G0", "G1", "G2", "G3"})
_SETTINGS = frozenset(
    {"M201", "M203", "M204", "M205", "M207", "M208", "M220", "M221", "M572", "M593", "M900"}  # they hold until changed
)


@dataclass(slots=True)
class ResumePlace:
    """What holds at a place of a file, as the commands before it have left it. Lengths in mm, heat in °C.

    Attributes:
        modes: how the next lines are read.
        axes: X, Y, Z and E, as the file counts them.
        top: height of the material laid last; None: there is none.
        targets: by heater: `tool0`, `bed`, `chamber`.
        settings: the last command of each code that sets speeds, factors and the like.
        renamed: G92 has given X, Y or Z another origin than homing.
        extruded: filament in all, what was drawn back taken off.
    """

    modes: Modes = field(default_factory=Modes)
    axes: dict[str, float] = field(default_factory=lambda: dict.fromkeys("XYZE", 0.0))
    top: float | None = None
    targets: dict[str, float] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    renamed: bool = False
    extruded: float = 0.0
    _most: float = 0.0  # extruded at any time
    _homed: set[str] = field(default_factory=set)

    @property
    def drawn(self) -> float:
        """The mm of filament that are pulled back."""
        drawn = self._most - self.extruded
        return drawn if drawn <= _MOST_DRAWN else 0.0

    def note(self, command: bytes) -> None:
        """Follow one command."""
        self.modes.note(command)
        try:
            asked = parse(command)
        except CommandError:
            return  # a macro's line
        code = asked.code
        if code in _MOVES:
            self._move(asked)
        elif code == "G92":
            self._rename(asked)
        elif code == "G28":
            self._home(asked)
        elif code in SETS_TARGET:
            self._heat(SETS_TARGET[code], asked)
        elif code in _SETTINGS:
            self.settings[code] = command.decode()

    def _move(self, asked: Command) -> None:
        unit = _INCH if self.modes.inches else 1.0
        before = self.axes["E"]
        for axis in "XYZE":
            if (value := asked.get(axis)) is not None:
                relative = self.modes.relative_e if axis == "E" else self.modes.relative
                self.axes[axis] = value * unit + (self.axes[axis] if relative else 0.0)
        pushed = self.axes["E"] - before
        self.extruded += pushed
        self._most = max(self._most, self.extruded)
        if pushed > 0 and ("X" in asked or "Y" in asked):
            self.top = self.axes["Z"]

    def _rename(self, asked: Command) -> None:
        unit = _INCH if self.modes.inches else 1.0
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


def place_behind(commands: Iterable[tuple[int, bytes]], offset: int) -> ResumePlace:
    """Return what holds before the line at this offset.

    Args:
        commands: of the whole file, as `gcode.reader` gives them.
        offset: bytes from the start of the file.

    Raises:
        NoSuchPlace: the print cannot go on there.
    """
    place = ResumePlace()
    for at, command in commands:
        if at >= offset:
            break
        place.note(command)
    if place.top is None:
        raise NoSuchPlace("nothing is printed before that place: print the whole file")
    if place.renamed:
        raise NoSuchPlace("the file moves the origin of its axes (G92 X, Y or Z): nobody can tell where it is by then")
    return place


def start_sequence(place: ResumePlace) -> Iterator[str]:
    """Give the commands that bring the printer there. The nozzle touches the top of the part when they begin."""
    yield "G21"
    yield "G90"
    yield from place.settings.values()
    yield from _heat_up(place)
    yield f"G92 Z{_number(place.top or 0.0)}"  # first, so that a lift of the firmware's own is counted too
    yield "G91"
    yield f"G1 Z{LIFT:g} {DOWN}"
    yield "G90"
    yield "G28 X Y"
    yield from _to_the_place(place)


def _heat_up(place: ResumePlace) -> Iterator[str]:
    """Bed first: cold, the part comes off it, while a hot nozzle would melt into the part all that time."""
    targets = {name: target for name, target in place.targets.items() if target > 0}
    for code, name in (("M190", "bed"), ("M191", "chamber")):
        if name in targets:
            yield f"{code} S{_number(targets[name])}"
    tools = {int(name[4:]): target for name, target in targets.items() if name.startswith("tool")}
    for code in ("M104", "M109"):
        for tool, target in tools.items():
            yield f"{code}{f' T{tool}' if tools.keys() != {0} else ''} S{_number(target)}"


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
