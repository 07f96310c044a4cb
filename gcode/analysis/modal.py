"""Follows what commands set for later moves: positioning, units, tool, factors, limits.

Rows are the moves of a block, and the G92 and G28 between them.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from gcode.analysis.arrays import Bytes, Floats, Ints
from gcode.analysis.stepwise import Stepwise
from gcode.analysis.words import COLUMNS, ParsedLines
from gcode.command import Command
from gcode.firmware_traits import EMode
from gcode.frozen import frozen
from gcode.modes import INCH
from gcode.planner import MotionLimits

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_TOOL = 99
_NOTHING = (math.nan,) * len(COLUMNS)
_MAX_PERCENT = 10_000.0  # of M220 and M221; Marlin counts them in 16 bits
_DIAMETERS = (0.1, 100.0)  # mm of filament, which M200 may name
_MAX_VALUE = 1e15  # of a parameter: in a plain move it has at most 15 digits, see `decimals.MAX_SIZE`


class MoveKind(IntEnum):
    """The kind of a row: for a move, the number of its G."""

    TRAVEL = 0
    LINE = 1
    CLOCKWISE = 2
    COUNTERCLOCKWISE = 3
    SET = 4  # G92
    HOME = 5


@frozen
class Rows:
    """The rows of a block: the kind of each, its parameters in the order of COLUMNS, and its line."""

    kind: Bytes
    words: Floats
    line: Ints


class ModalTracker:
    """Follows the commands of a block in order; then `rows` returns its rows, and each `Stepwise` has their values."""

    def __init__(self, limits: MotionLimits, e_mode: EMode) -> None:
        self._e_mode = e_mode
        self._m83 = False
        self.relative = Stepwise(False)  # noqa: FBT003 - the value itself
        self.relative_e = Stepwise(False)  # noqa: FBT003 - as above
        self.unit = Stepwise(1.0)
        self.tool = Stepwise(0)
        self.speed = Stepwise(1.0)  # M220
        self.flow = Stepwise(1.0)  # M221, and mm of filament for each mm³ after M200
        self.limits = Stepwise(_copy(limits))
        self._flow_share = self._flow_area = 1.0
        self._before: list[int] = []  # for each inserted row: how many moves come before it
        self._inserted: list[tuple[MoveKind, int, tuple[float, ...]]] = []
        self._row = 0
        self._line = 0
        self._table: dict[str, Callable[[Command], None]] = {
            "G0": self._insert_move, "G1": self._insert_move, "G2": self._insert_move, "G3": self._insert_move,
            "G20": self._set_inches, "G21": self._set_millimetres,
            "G28": self._insert_home, "G90": self._set_absolute, "G91": self._set_relative, "G92": self._insert_set,
            "M82": self._set_absolute_e, "M83": self._set_relative_e,
            "M200": self._set_volumetric, "M220": self._set_speed_factor, "M221": self._set_flow_factor,
            "M201": self._set_limits, "M203": self._set_limits, "M204": self._set_limits, "M205": self._set_limits,
        }  # fmt: skip

    def go_to_line(self, line: int, moves_before: int) -> int:
        """Go to a line of the block, with this many plain moves before it; return the number of the next row."""
        self._line = line
        self._row = moves_before + len(self._inserted)
        return self._row

    def note(self, command: Command) -> None:
        """Apply a command that is no plain move."""
        if act := self._table.get(command.code):
            act(command)
        elif command.code[0] == "T":
            number = int(command.code[1:].partition(".")[0])
            if number <= _MAX_TOOL:  # T255 and Bambu's T1000 unload a filament, and select no tool
                self.tool.set(self._row, number)

    def rows(self, words: ParsedLines) -> Rows:
        """Return the rows of the block, after all its lines."""
        kind, columns, line = words.code, words.columns, words.moves
        if self._inserted:
            kinds, lines, values = zip(*self._inserted, strict=True)
            kind = np.insert(kind, self._before, kinds)
            line = np.insert(line, self._before, lines)
            columns = np.insert(columns, self._before, np.array(values).T, axis=1)
        return Rows(kind, columns, line)

    def next_block(self) -> None:
        """Drop the rows of this block."""
        self._before, self._inserted = [], []
        for each in (self.relative, self.relative_e, self.unit, self.tool, self.speed, self.flow, self.limits):
            each.next_block()

    def _insert(self, kind: MoveKind, words: tuple[float, ...]) -> None:
        self._before.append(self._row - len(self._inserted))
        self._inserted.append((kind, self._line, words))
        self._row += 1

    def _insert_move(self, command: Command) -> None:
        self._insert(MoveKind(int(command.code[1:])), _words(command))

    def _insert_set(self, command: Command) -> None:
        self._insert(MoveKind.SET, _words(command))

    def _insert_home(self, command: Command) -> None:
        named = [letter in command for letter in "XYZ"]
        homed = [0.0 if each or not any(named) else np.nan for each in named]
        self._insert(MoveKind.HOME, (*homed, *_NOTHING[3:]))

    def _set_inches(self, _command: Command) -> None:
        self.unit.set(self._row, INCH)

    def _set_millimetres(self, _command: Command) -> None:
        self.unit.set(self._row, 1.0)

    def _set_absolute(self, _command: Command) -> None:
        self._set_positioning(relative=False)

    def _set_relative(self, _command: Command) -> None:
        self._set_positioning(relative=True)

    def _set_positioning(self, *, relative: bool) -> None:
        self.relative.set(self._row, relative)
        if self._e_mode == "last":
            self.relative_e.set(self._row, relative)
        elif self._e_mode == "either":
            self.relative_e.set(self._row, relative or self._m83)

    def _set_absolute_e(self, _command: Command) -> None:
        self._set_e(relative=False)

    def _set_relative_e(self, _command: Command) -> None:
        self._set_e(relative=True)

    def _set_e(self, *, relative: bool) -> None:
        self._m83 = relative
        self.relative_e.set(self._row, relative or (self._e_mode == "either" and self.relative.last))

    def _set_volumetric(self, command: Command) -> None:
        diameter = command.number("D", 0.0) * self.unit.last
        on = _DIAMETERS[0] <= diameter <= _DIAMETERS[1] and command.number("S", 1.0) > 0
        self._flow_area = 4.0 / (np.pi * diameter**2) if on else 1.0
        self.flow.set(self._row, self._flow_share * self._flow_area)

    def _set_speed_factor(self, command: Command) -> None:
        if (percent := command.number("S", 0.0)) > 0:
            self.speed.set(self._row, min(percent, _MAX_PERCENT) / 100)

    def _set_flow_factor(self, command: Command) -> None:
        if (percent := command.number("S", -1.0)) >= 0:
            self._flow_share = min(percent, _MAX_PERCENT) / 100
            self.flow.set(self._row, self._flow_share * self._flow_area)

    def set_velocity_limit(self, words: Mapping[str, float]) -> None:
        """Apply SET_VELOCITY_LIMIT."""
        limits = _copy(self.limits.last)
        limits.note_words(words)
        self.limits.set(self._row, limits)

    def _set_limits(self, command: Command) -> None:
        limits = _copy(self.limits.last)
        limits.note(command, self.unit.last)
        self.limits.set(self._row, limits)


def _words(command: Command) -> tuple[float, ...]:
    """Return a value for each of COLUMNS; a letter without a number counts as absent, as in Marlin."""
    values = (command.get(letter) for letter in COLUMNS)
    return tuple(math.nan if each is None else max(-_MAX_VALUE, min(each, _MAX_VALUE)) for each in values)


def _copy(limits: MotionLimits) -> MotionLimits:
    return replace(limits, feedrates=[*limits.feedrates], accelerations=[*limits.accelerations], jerk=[*limits.jerk])
