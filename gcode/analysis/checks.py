"""Checks a file: findings of certain and possible faults, each reported once with its first line."""

import math
import re
from enum import Enum, IntEnum

import numpy as np

from gcode.analysis.arrays import Bools, Floats, Ints
from gcode.analysis.comments import Comments
from gcode.analysis.machine import Machine, Range
from gcode.analysis.result import Bounds
from gcode.analysis.whereabouts import PURGE, ROUNDING, Whereabouts
from gcode.command import Command
from gcode.fitting import fit_command
from gcode.frozen import mutable
from gcode.texts import words_of
from gcode.too_hot import doubt, excess
from gcode.unknown import LOSSES, losses

MAX_EXTRUSION = 200.0  # mm in one move; Marlin's EXTRUDE_MAXLENGTH
_MAX_FILAMENT = 2.0  # mm of filament per mm of path; a thick line of a 1 mm nozzle takes 0.5
_MIN_SHARE = 0.5  # a sound file uses at least this share of what printing moves push out
_MAX_IMPLAUSIBLE = 10  # moves with an implausible E; more of them are no accident
_MAX_PRESSED = 0.2  # mm below the bed to which a first layer may be pressed

# Words in the names of macros that home and heat a printer, or end a print.
_NAME = re.compile(r"[A-Z_][A-Z0-9_]*", re.IGNORECASE)
_START_NAMES = frozenset({"START", "BEGIN", "STARTUP", "STARTGCODE", "PRINTSTART", "STARTPRINT"})
_END_NAMES = frozenset({"END", "FINISH", "FINISHED", "ENDGCODE", "PRINTEND", "ENDPRINT"})
_PART_NAMES = frozenset({"EXCLUDE", "OBJECT", "LAYER", "TIMELAPSE", "TOOL", "PAUSE", "RESUME", "MESH"})
_START_CODE = frozenset({"G28", "G29", "G80", "G32", "G34", "M109", "M190", "M191", "M116"})

# Commands that move the origin of the axes that they name, or of all axes. Positions after them are not followed.
_ORIGIN_COMMANDS = frozenset({"M206", "M428", "G68", *(f"G{number}" for number in range(55, 60))})
_ORIGIN_PREFIXES = ("G59.", "G92.")  # G59.1 to G59.3, G92.1

_REFUSED_COMMANDS = {
    "M112": "M112 would stop the printer at once; it is left out",
    "M997": "M997 starts a firmware update",
    "M502": "M502 resets the printer's settings",
}
_DOUBTFUL_COMMANDS = {
    "M500": "M500 saves settings in the printer",
    **{code: f"{code} is left out: it would disturb the connection" for code in ("M110", "M28", "M29", "M575", "M999")},
}
_END_COMMANDS = frozenset({"M84", "M18", "M2", "M30", "M107"})  # commands after the last layer of a complete file
_FOOTERS = ("prusaslicer_config", "superslicer_config", "orcaslicer_config", "bambuslicer_config")
_FOOTER_KEYS = (*_FOOTERS, "layer_height")  # versions before 2.3 write only the settings, without a mark


class Warmth(IntEnum):
    """The heat of the hotend, judging by the file's commands; UNKNOWN: no command has set a target yet."""

    WARM = 1
    COLD = 0
    UNKNOWN = -1
    OFF = 2


class FindingSeverity(Enum):
    """The severity of a finding: an error keeps the file from being printed."""

    WARNING = "warning"
    ERROR = "error"


@mutable
class _Finding:
    severity: FindingSeverity
    text: str
    line: int
    count: int = 1

    def sentence(self) -> str:
        where = f" (line {self.line}" if self.line else ""
        more = f" and {self.count - 1} more" if self.count > 1 else ""
        return f"{self.text}{where}{more})" if where else self.text


class Checks:
    """Checks commands and moves in order, and the whole file at the end."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._homing_line = math.inf  # the first line that homes
        self._heated_by_macro = False
        self._end_line = 0  # the last line with a command that ends a complete file
        self._printed: tuple[int, int] | None = None  # the first and the last line that extrude
        self._cold_allowed = False
        self._where = Whereabouts(machine)
        self._cold_moves = 0  # moves that extrude after the hotend was turned off
        self._pushed_mm = 0.0  # mm of filament that printing moves push out
        self._printing = 0  # moves that extrude
        self._idle = 0  # moves whose absolute E leaves the extruder where it is
        self._for_macros = False  # the file calls macros, so an unknown firmware has no limit of length
        self._lost = losses(LOSSES, machine.dialect, {}) if machine.dialect_known else {}
        self._targets: dict[int, float] = {}
        self._too_hot_line = 0  # the last line with too high a target
        self._moved: dict[str, str] = {}  # axes whose origin is moved → the command that moves it
        self._findings: dict[str, _Finding] = {}

    def add(self, severity: FindingSeverity, key: str, text: str, line: int = 0, count: int = 1) -> None:
        """Add a finding; of all with the same key, only the first one and their number are reported."""
        if finding := self._findings.get(key):
            finding.count += count
        else:
            self._findings[key] = _Finding(severity, text, line, count)

    @property
    def loses_arcs(self) -> bool:
        """The firmware leaves out G2 and G3."""
        return "G2" in self._lost

    def note_lost_arcs(self, line: int, count: int) -> None:
        """Add a finding of `count` arcs, the first in this line, which the firmware does not know."""
        text = f"{self.machine.dialect.name} does not know G2 and G3: {self._lost['G2']}"
        self.add(FindingSeverity.WARNING, "G2", text, line, count)

    def sentences(self, severity: FindingSeverity) -> tuple[str, ...]:
        """Return the findings of a severity."""
        return tuple(each.sentence() for each in self._findings.values() if each.severity is severity)

    def check_command(self, command: Command, line: int) -> None:
        """Check a command that is no plain move."""
        code = command.code
        if code in self._lost:
            self.add(
                FindingSeverity.WARNING,
                code,
                f"{self.machine.dialect.name} does not know {code}: {self._lost[code]}",
                line,
            )
        if code in _REFUSED_COMMANDS:
            self.add(FindingSeverity.ERROR, code, _REFUSED_COMMANDS[code], line)
        elif code in _DOUBTFUL_COMMANDS:
            self.add(FindingSeverity.WARNING, code, _DOUBTFUL_COMMANDS[code], line)
        elif code == "G28":
            self._homing_line = min(self._homing_line, line)
        elif code == "M98":  # RepRapFirmware: M98 P"start.g"
            self._call(command.text.strip('"').rpartition("/")[2], line)
        elif code == "M302":
            self._cold_allowed = command.number("P", 0.0) > 0 or command.get("S") == 0
        elif code in _END_COMMANDS:
            self._end_line = line
        if code in _ORIGIN_COMMANDS or code.startswith(_ORIGIN_PREFIXES) or (code == "G10" and "L" in command):
            self._move_origin(code, set("XYZ").intersection(command.params), all_=code != "M206")
        if code in _START_CODE or (code == "G92" and command.get("E") == 0):
            self._where.note_start_code(line, sure=code != "G92")

    def check_macro(self, text: str, line: int) -> None:
        """Check a line that is no command with letter and number."""
        name, _, parameters = text.partition(" ")
        if name.upper() == "SET_GCODE_OFFSET":
            self._move_origin(name, {word[:1] for word in words_of(parameters)} & set("XYZ"), all_=False)
        self._for_macros |= self._call(text, line) and not self.machine.dialect_known

    def _call(self, text: str, line: int) -> bool:
        """Check the macro that a text calls; tell whether it calls one."""
        name = _NAME.match(text)
        words = set(name[0].upper().split("_")) if name else set()
        if words & _PART_NAMES:
            return True
        if words & _START_NAMES and self._printed is None:
            self._homing_line = min(self._homing_line, line)
            self._heated_by_macro = True
            self._where.note_start_code(line, sure=True)
        elif words & _END_NAMES:
            self._end_line = line
        return len(words - {""}) > 0

    def _move_origin(self, what: str, axes: set[str], *, all_: bool) -> None:
        """Note that the origin of these axes is moved; of all axes, if `axes` is empty and `all_` is set."""
        for axis in axes or (set("XYZ") if all_ else ()):
            self._moved.setdefault(axis, what)

    def check_length(self, command: bytes, line: int) -> None:
        """Check the length of a command; for an unknown firmware a long one is only a warning."""
        dialect = self.machine.dialect
        most = dialect.longest_command
        if len(command) <= most or self._for_macros:
            return
        fitted = fit_command(command, dialect)
        if fitted is None or len(fitted) <= most:
            self.add(FindingSeverity.WARNING, "long text", f"a text is cut: the firmware reads {most} characters", line)
        elif self.machine.dialect_known:
            text = f"a command has {len(command)} characters, but the firmware reads {most}"
            self.add(FindingSeverity.ERROR, "long command", text, line)
        else:
            text = f"a command has {len(command)} characters, but many firmwares read only {most}"
            self.add(FindingSeverity.WARNING, "long command", text, line)

    def check_heat(self, command: bytes, line: int) -> None:
        """Check the highest temperature that any firmware could read in a command."""
        most = self.machine.max_hotend, self.machine.max_bed, self.machine.max_chamber
        if line == self._too_hot_line:
            return
        if problem := excess(command, *most):
            self.add(FindingSeverity.ERROR, "hot", problem, line)
        elif problem := doubt(command, *most):
            self.add(FindingSeverity.WARNING, "maybe hot", problem, line)

    def check_target(self, heater: str, target: float, line: int) -> None:
        """Check a target temperature."""
        machine = self.machine
        most = {"bed": machine.max_bed, "chamber": machine.max_chamber}.get(heater, machine.max_hotend)
        if heater.startswith("tool"):
            self._targets[int(heater[4:])] = target
            if int(heater[4:]) >= machine.tools:
                self.add(
                    FindingSeverity.WARNING, heater, f"the file heats {heater}, which the profile does not have", line
                )
        if target > most:
            self._too_hot_line = line
            text = f"the file heats {heater} to {target:g} °C, but the profile allows {most:g} °C"
            self.add(FindingSeverity.ERROR, f"hot {heater}", text, line)
        elif heater == "bed" and target > 0 and not machine.heated_bed:
            self.add(
                FindingSeverity.WARNING,
                "no bed",
                "the file heats the bed, which the profile says cannot be heated",
                line,
            )
        if target == 0:
            self._end_line = line

    def check_tool(self, number: int, line: int) -> None:
        """Check a tool change."""
        if number >= self.machine.tools:
            text = f"the file uses T{number}, but the profile has extruders = {self.machine.tools}"
            self.add(FindingSeverity.WARNING, "tool", text, line)

    def warmth_of(self, tool: int) -> Warmth:
        """Return how warm the hotend of a tool is, judging by the file's commands so far."""
        least = self.machine.min_extrusion
        if self._cold_allowed or self._heated_by_macro or least is None:
            return Warmth.WARM
        target = self._targets.get(self.machine.hotend_of(tool))
        if target is None:
            return Warmth.UNKNOWN
        return Warmth.WARM if target >= least else Warmth.COLD if target > 0 else Warmth.OFF

    def note_cold_moves(self, warmth: Warmth, line: int, count: int) -> None:
        """Add a finding of `count` moves that extrude although the hotend is not known to be warm."""
        machine = self.machine
        if warmth is Warmth.UNKNOWN:
            self.add(
                FindingSeverity.WARNING, "unheated", "extrudes before the file sets a hotend temperature", line, count
            )
        elif warmth is Warmth.OFF:  # the hotend stays warm for a while, so end code may still extrude
            self._cold_moves += count
            severity = FindingSeverity.ERROR if self._cold_moves > PURGE else FindingSeverity.WARNING
            self.add(severity, f"off {severity}", "extrudes after the hotend was turned off", line, count)
        else:
            severity = FindingSeverity.ERROR if machine.dialect_known else FindingSeverity.WARNING
            text = f"extrudes while the hotend's target is below {machine.min_extrusion:g} °C"
            self.add(severity, "cold", text, line, count)

    def check_moves(self, delta: Floats, printing: Bools, line: Floats) -> None:
        """Check how much filament moves extrude."""
        extruded = np.abs(delta[3])
        enough = _MAX_FILAMENT**2 * (delta[0] * delta[0] + delta[1] * delta[1])
        long_ = np.flatnonzero(extruded > MAX_EXTRUSION)
        if len(long_):
            text = f"moves {extruded[long_[0]]:.0f} mm of filament at once; are absolute and relative E mixed up?"
            self.add(FindingSeverity.WARNING, "long extrusion", text, int(line[long_[0]]), len(long_))
        self._pushed_mm += float(extruded[printing].sum())
        self._printing += int(printing.sum())
        much = np.flatnonzero(printing & (extruded * extruded > enough))
        if len(much) > _MAX_IMPLAUSIBLE:
            text = "extrudes more than any nozzle can; are absolute and relative E mixed up?"
            self.add(FindingSeverity.WARNING, "much extrusion", text, int(line[much[0]]), len(much))

    def note_printed(self, begins: Floats, ends: Floats, box: tuple[Floats, Floats], line: Floats, layer: Ints) -> None:
        """Note moves that extrude: see `Whereabouts.add`."""
        self._printed = (self._printed[0] if self._printed else int(line[0]), int(line[-1]))
        self._where.add(begins, ends, box, line, layer)

    def count_idle(self, count: int) -> None:
        """Count moves whose absolute E leaves the extruder where it is."""
        self._idle += count

    def finish(self, bounds: Bounds, comments: Comments, filament: float, *, ends_with_line_end: bool) -> None:
        """Check the whole file.

        Args:
            bounds: of its moves.
            comments: of the slicer; some slicers mark the end of their files by one.
            filament: mm used in total.
            ends_with_line_end: the last line has a line end.
        """
        if bounds.printing is None or self._printed is None:
            self.add(FindingSeverity.WARNING, "nothing", "the file prints nothing")
        else:
            if self._printed[0] < self._homing_line:
                self.add(FindingSeverity.WARNING, "unhomed", "prints before the axes are homed", self._printed[0])
            self._check_volume()
            self._check_truncated(comments, ends_with_line_end=ends_with_line_end)
        self._check_relative_e(filament)
        if bounds.travel is not None:
            for axis, low, high, (least, most) in zip(
                "XYZ", bounds.travel.min, bounds.travel.max, self.machine.volume, strict=True
            ):
                if low < least - (_MAX_PRESSED if axis == "Z" else ROUNDING) or high > most + ROUNDING:
                    self._outside(FindingSeverity.WARNING, "moves", axis, (low, high), (least, most))

    def _check_volume(self) -> None:
        for each in self._where.find_overruns(_MAX_PRESSED):
            moved = [self._moved[axis] for axis in (each.axis if len(each.axis) == 1 else "XY") if axis in self._moved]
            severity = FindingSeverity.WARNING if moved else FindingSeverity.ERROR
            origin = f"; {moved[0]} in the file moves the origin, so this may be wrong" if moved else ""
            self._outside(severity, "prints", each.axis, (each.low, each.high), (each.least, each.most), origin)

    def _outside(
        self, severity: FindingSeverity, what: str, axis: str, reach: Range, allowed: Range, origin: str = ""
    ) -> None:
        text = (
            f"{what} outside the build volume: {axis} from {reach[0]:g} to {reach[1]:g}, "
            f"allowed {allowed[0]:g} to {allowed[1]:g}{origin}"
        )
        self.add(severity, f"{what} {axis}", text)

    def _check_relative_e(self, filament: float) -> None:
        """Detect relative E that is read as absolute: E goes back as far as forth, or does not move the extruder."""
        back_and_forth = filament < _MIN_SHARE * self._pushed_mm and self._printing > _MAX_IMPLAUSIBLE
        if back_and_forth or self._idle > max(_MAX_IMPLAUSIBLE, 4 * self._printing):
            text = "hardly any filament is extruded although the moves have an E: are absolute and relative E mixed up?"
            self.add(FindingSeverity.WARNING, "little extrusion", text)

    def _check_truncated(self, comments: Comments, *, ends_with_line_end: bool) -> None:
        if self._printed and self._end_line > self._printed[1]:
            return
        about = comments.about()
        name = (about.slicer or "").split()[0] if about.slicer else ""
        if f"{name.lower()}_config" in _FOOTERS and not any(each in comments.settings for each in _FOOTER_KEYS):
            # an error: the print would stop in the middle of the part, with the nozzle in it and the heaters on
            self.add(
                FindingSeverity.ERROR,
                "truncated",
                f"the file is cut off: the settings that {name} writes last are missing",
            )
        elif comments.block_is_open:
            self.add(
                FindingSeverity.ERROR,
                "truncated",
                "the file is cut off: its block of commands (EXECUTABLE_BLOCK) has no end",
            )
        elif comments.missing_layers:
            announced, present = comments.missing_layers
            self.add(
                FindingSeverity.ERROR, "truncated", f"the file is cut off: it has {present} of its {announced} layers"
            )
        elif ends_with_line_end:
            self.add(
                FindingSeverity.WARNING,
                "no end",
                "nothing turns heaters or motors off at the end; is the file complete?",
            )
        else:  # only a warning, because some programs write no line end after the last line
            text = "nothing turns heaters or motors off at the end, and the last line has no end; is the file complete?"
            self.add(FindingSeverity.WARNING, "no end", text)
