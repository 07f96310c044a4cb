"""What is wrong with a file, or may be: findings, each told once with the line where it is found first."""

import math
import re
from dataclasses import dataclass
from enum import Enum

import numpy as np

from gcode.analysis.arrays import Bools, Floats
from gcode.analysis.machine import Machine
from gcode.analysis.result import Bounds, Box
from gcode.command import TEXT_COMMANDS, Command

LONGEST_EXTRUSION = 200.0  # mm in one move; Marlin's EXTRUDE_MAXLENGTH
_MOST_FILAMENT = 2.0  # mm of filament for a mm of path; a thick line of a 1 mm nozzle takes 0.5
_MUDDLED = 10  # such moves that are no accident
_OUTSIDE = 0.01  # mm beyond the volume that is rounding
_TOUCHING = 0.2  # mm below the bed to which a first layer may be pressed

# Macros with which a printer homes and heats by itself.
_START_MACRO = re.compile(r"(?:START_PRINT|PRINT_START|_?START_GCODE)\b", re.IGNORECASE)
_END_MACRO = re.compile(r"(?:END_PRINT|PRINT_END|_?END_GCODE)\b", re.IGNORECASE)

_REFUSED = {
    "M112": "M112 would stop the printer at once; it is left out",
    "M997": "M997 starts a firmware update",
    "M502": "M502 drops the printer's settings",
}
_DOUBTFUL = {
    "M500": "M500 saves settings in the printer",
    **{code: f"{code} belongs to the link; it is left out" for code in ("M110", "M28", "M29", "M575", "M999")},
}
_ENDS = frozenset({"M84", "M18", "M2", "M30", "M107"})  # that stand behind the last layer of a whole file
_FOOTERS = ("prusaslicer_config", "superslicer_config", "orcaslicer_config", "bambuslicer_config")
_OF_FOOTERS = (*_FOOTERS, "layer_height")  # versions before 2.3 write no mark, but the settings


class Level(Enum):
    """How bad a finding is: an error keeps the file from being printed."""

    WARNING = "warning"
    ERROR = "error"


@dataclass(slots=True)
class _Finding:
    level: Level
    text: str
    line: int
    count: int = 1

    def sentence(self) -> str:
        where = f" (line {self.line}" if self.line else ""
        more = f" and {self.count - 1} more" if self.count > 1 else ""
        return f"{self.text}{where}{more})" if where else self.text


class Checks:
    """Looks at commands and moves as they come, and at the whole file in the end."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._homed = math.inf  # the first line that homes
        self._heated_by_macro = False
        self._ended = 0  # the last line that does what stands behind the last layer of a whole file
        self._printed: tuple[int, int] | None = None  # the first and the last line that lay material
        self._cold_allowed = False
        self._targets: dict[int, float] = {}
        self._found: dict[str, _Finding] = {}

    def add(self, level: Level, key: str, text: str, line: int = 0, count: int = 1) -> None:
        """Note a finding; of those with one key the first is told, and how many."""
        if known := self._found.get(key):
            known.count += count
        else:
            self._found[key] = _Finding(level, text, line, count)

    def sentences(self, level: Level) -> tuple[str, ...]:
        """Return the findings of a level."""
        return tuple(each.sentence() for each in self._found.values() if each.level is level)

    def command(self, command: Command, line: int) -> None:
        """Look at a command that is no plain move."""
        code = command.code
        if code in _REFUSED:
            self.add(Level.ERROR, code, _REFUSED[code], line)
        elif code in _DOUBTFUL:
            self.add(Level.WARNING, code, _DOUBTFUL[code], line)
        elif code == "G28":
            self._homed = min(self._homed, line)
        elif code == "M302":
            self._cold_allowed = command.number("P", 0.0) > 0 or command.get("S") == 0
        elif code in _ENDS:
            self._ended = line

    def macro(self, text: str, line: int) -> None:
        """Look at a line that is no command of letter and number."""
        if _START_MACRO.match(text):
            self._homed = min(self._homed, line)
            self._heated_by_macro = True
        elif _END_MACRO.match(text):
            self._ended = line

    def length(self, command: bytes, line: int) -> None:
        """Look at how long a command is."""
        most = self.machine.longest_command
        if len(command) <= most:
            return
        if command.upper().startswith(tuple(code.encode() for code in TEXT_COMMANDS)):
            self.add(Level.WARNING, "long text", f"a text is cut, as the firmware reads {most} characters", line)
        else:
            text = f"a command has {len(command)} characters, the firmware reads {most}"
            self.add(Level.ERROR, "long command", text, line)

    def target(self, heater: str, target: float, line: int) -> None:
        """Look at a temperature asked for."""
        most = {"bed": self.machine.max_bed}.get(heater, self.machine.max_hotend)
        if heater.startswith("tool"):
            self._targets[int(heater[4:])] = target
            if int(heater[4:]) >= self.machine.tools:
                self.add(Level.WARNING, heater, f"the file heats {heater}, which the profile does not have", line)
        if target > most:
            text = f"{heater} is to be heated to {target:g} °C, the profile allows {most:g} °C"
            self.add(Level.ERROR, f"hot {heater}", text, line)
        elif heater == "bed" and target > 0 and not self.machine.heated_bed:
            self.add(Level.WARNING, "no bed", "the file heats the bed, which the profile says cannot be heated", line)
        if target == 0:
            self._ended = line

    def may_extrude(self, tool: int) -> bool | None:
        """Tell whether the hotend is warm enough by what the file said; None: it said nothing."""
        if self._cold_allowed or self._heated_by_macro:
            return True
        target = self._targets.get(tool)
        return None if target is None else target >= self.machine.min_extrusion

    def cold(self, *, known: bool, line: int) -> None:
        """It extrudes with a cold hotend, or one of which the file says nothing."""
        if known:
            least = self.machine.min_extrusion
            self.add(Level.ERROR, "cold", f"extrudes while the hotend's target is below {least:g} °C", line)
        else:
            self.add(Level.WARNING, "unheated", "extrudes before the file sets a hotend temperature", line)

    def moves(self, delta: Floats, printing: Bools, line: Floats) -> None:
        """Look at how much moves extrude."""
        extruded = np.abs(delta[3])
        way = np.hypot(delta[0], delta[1])
        long_ = np.flatnonzero(extruded > LONGEST_EXTRUSION)
        if len(long_):
            text = f"moves {extruded[long_[0]]:.0f} mm of filament at once; are absolute and relative E mixed up?"
            self.add(Level.WARNING, "long extrusion", text, int(line[long_[0]]), len(long_))
        much = np.flatnonzero(printing & (extruded > _MOST_FILAMENT * way))
        if len(much) > _MUDDLED:
            text = "extrudes more than any nozzle can; are absolute and relative E mixed up?"
            self.add(Level.WARNING, "much extrusion", text, int(line[much[0]]), len(much))

    def printed(self, first: int, last: int) -> None:
        """Material is laid in these lines."""
        self._printed = (self._printed[0] if self._printed else first, last)

    def finish(self, bounds: Bounds, slicer: str | None, settings: dict[str, str], *, complete: bool) -> None:
        """Look at the file as a whole.

        Args:
            bounds: where the nozzle goes.
            slicer: what made it.
            settings: of the slicer, which some write at a file's end.
            complete: its last line has an end.
        """
        if bounds.printing is None or self._printed is None:
            self.add(Level.WARNING, "nothing", "the file prints nothing")
        else:
            if self._printed[0] < self._homed:
                self.add(Level.WARNING, "unhomed", "prints before the axes are homed", self._printed[0])
            self._inside(bounds.printing, Level.ERROR, "prints")
            self._truncated(slicer, settings, complete=complete)
        if bounds.travel is not None:
            self._inside(bounds.travel, Level.WARNING, "moves")

    def _inside(self, box: Box, level: Level, what: str) -> None:
        for axis, low, high, (least, most) in zip("XYZ", box.min, box.max, self.machine.volume, strict=True):
            slack = _TOUCHING if axis == "Z" else _OUTSIDE
            if low < least - slack or high > most + _OUTSIDE:
                text = (
                    f"{what} outside the build volume: {axis} from {low:g} to {high:g}, allowed {least:g} to {most:g}"
                )
                self.add(level, f"{what} {axis}", text)

    def _truncated(self, slicer: str | None, settings: dict[str, str], *, complete: bool) -> None:
        if self._printed and self._ended > self._printed[1]:
            return
        name = slicer.split()[0] if slicer else ""
        if f"{name.lower()}_config" in _FOOTERS and not any(each in settings for each in _OF_FOOTERS):
            # it would stop in the middle of the part, with the nozzle in it and the heaters on
            self.add(Level.ERROR, "truncated", f"the file is cut off: the settings that {name} writes last are missing")
        elif complete:
            self.add(Level.WARNING, "no end", "nothing turns heaters or motors off at the end; is the file complete?")
        else:  # programs that join their lines write none behind the last one
            text = "nothing turns heaters or motors off at the end, and the last line has no end; is the file complete?"
            self.add(Level.WARNING, "no end", text)
