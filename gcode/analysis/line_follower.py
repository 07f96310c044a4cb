"""LineFollower: follows the lines between the moves: comments, and commands that set, heat, await or mark something."""

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from gcode.analysis.blocks import LineBlock
from gcode.analysis.checks import Checks, Warmth
from gcode.analysis.comments import Comments
from gcode.analysis.features import Feature, feature_of
from gcode.analysis.heat import HeatCommand, heat_command, named_heat_command
from gcode.analysis.layers import Layers
from gcode.analysis.machine import Machine
from gcode.analysis.modal import ModalTracker
from gcode.analysis.retraction import Retraction
from gcode.analysis.stepwise import Stepwise
from gcode.analysis.timeline import TimeKind
from gcode.analysis.words import ParsedLines
from gcode.command import Command, parse
from gcode.errors import CommandError
from gcode.frozen import frozen
from gcode.reader import clean
from gcode.texts import words_of
from gcode.too_hot import PLAIN

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_M73 = 1000  # M73 commands that are remembered

_MAX_PROGRESS = 1e9  # percent or minutes of an M73; more is a mistake
_MAX_DWELL_S = 24 * 3600.0  # a longer one is a mistake

_FREQUENT = (b";TYPE:", b";WIDTH:")  # comments that come by the thousand, and matter only to the toolpath

_parse = lru_cache(4096)(parse)  # slicers repeat themselves


@frozen
class BlockWait:
    """A wait, or a command for a heater, before a row of the block, as `timeline.TimedWait` is before a move.

    Attributes:
        rests: the printer is at rest during it.
    """

    row: int
    layer: int
    offset: int
    kind: TimeKind
    seconds: float = 0.0
    heat: HeatCommand | None = None
    rests: bool = True


class LineFollower:
    """Follows the lines of blocks, in order, except plain moves.

    Attributes:
        modal: the values in force for the moves.
        layer: number of the layer, by the slicer's marks.
        feature: by the slicer's comments, if `features` is set.
        warmth: of the active hotend.
        waits: of the last block, in order.
        count: the number of commands so far.
        m73: (offset, percent, seconds left) of M73 commands.
    """

    def __init__(self, machine: Machine, comments: Comments, layers: Layers, checks: Checks, *, features: bool) -> None:
        self.modal = ModalTracker(machine.limits, machine.dialect.e_mode)
        self.layer = Stepwise(0)
        self.feature: Stepwise[Feature] = Stepwise(Feature.OTHER)
        self.warmth: Stepwise[Warmth] = Stepwise(checks.warmth_of(0))
        self.waits: list[BlockWait] = []
        self.count = 0
        self.m73: list[tuple[int, float | None, float | None]] = []
        self._features = features
        self._comments = comments
        self._layers = layers
        self._checks = checks
        self._machine = machine
        self._retraction = Retraction()
        self._row = self._offset = self._line = 0
        self._targets: dict[str, float] = {}  # °C by heater, before the block
        self._new_targets: list[tuple[int, str, float]] = []  # in the block: row, heater, °C
        self._command = b""
        self._table: dict[str, Callable[[Command], None]] = {
            "G4": self._add_dwell, "M400": self._add_stop, "M0": self._add_stop, "M1": self._add_stop,
            "G28": self._add_homing, "G29": self._add_probing, "G80": self._add_probing,
            "M600": self._add_filament_change, "M73": self._note_progress, "M486": self._note_object,
            "G10": self._add_retraction, "G11": self._add_retraction,
            "M207": self._set_retraction, "M208": self._set_retraction,
        }  # fmt: skip

    def read(self, block: LineBlock, words: ParsedLines, line: int) -> None:
        """Follow the lines of a block; `line` is the number of its first one."""
        self.waits = []
        others = np.array(words.others, np.intp)
        starts, ends = words.starts[others].tolist(), (words.starts[others + 1] - 1).tolist()
        before = np.searchsorted(words.moves, others).tolist()
        text = block.text
        for index, start, end, moves in zip(words.others, starts, ends, before, strict=True):
            raw = text[start:end]
            if raw.startswith(_FREQUENT):
                if self._features and (feature := feature_of(raw)) is not None:
                    self.feature.set(self.modal.go_to_line(index, moves), feature)
                continue
            self._row = self.modal.go_to_line(index, moves)
            self._offset = block.offset + start + (block.dropped if index else 0)
            self._line = line + index
            self._read_line(raw)
        self.count += len(words.moves)
        self._check_lengths(block, words, line)

    def next_block(self) -> None:
        """Drop the rows of this block."""
        for each in (self.modal, self.layer, self.feature, self.warmth):
            each.next_block()
        self._targets.update((heater, target) for _, heater, target in self._new_targets)
        self._new_targets.clear()

    def targets_at(self, row: int) -> dict[str, float]:
        """Return the targets of the heaters at a row of the block, in °C."""
        return self._targets | {heater: target for at, heater, target in self._new_targets if at <= row}

    def _read_line(self, raw: bytes) -> None:
        if raw[:1] == b";":
            if self._features and (feature := feature_of(raw)) is not None:
                self.feature.set(self._row, feature)
            self._comments.note(raw, self._line)
            self._follow_comment()
        elif raw[:6] == b"M10086" and self._comments.pictures.take_row(raw, self._line):
            self.count += 1
        elif command := clean(raw):
            self.count += 1
            self._command = command
            try:
                self._follow_command(_parse(command))
            except CommandError:
                self._follow_macro(command.decode())
            self._checks.check_length(command, self._line)

    def _follow_comment(self) -> None:
        mark = self._comments.take_layer_mark()
        if mark.begins:
            self.layer.set(self._row, self._layers.mark(self._offset))
        if mark.z is not None:
            self._layers.note_z(mark.z)
        if mark.height is not None:
            self._layers.note_height(mark.height)

    def _follow_command(self, command: Command) -> None:
        self._checks.check_command(command, self._line)
        tool = self.modal.tool.last
        if heat := heat_command(command, self._machine.hotend_of(tool)):
            self._follow_heat(heat)
        elif act := self._table.get(command.code):
            act(command)
        self.modal.note(command)
        if not PLAIN(self._command):
            self._checks.check_heat(self._command, self._line)
        if self.modal.tool.last != tool:
            self._checks.check_tool(self.modal.tool.last, self._line)
            self._add_wait("changes", self._machine.tool_change)
        if heat or self.modal.tool.last != tool or command.code in ("M302", "M98"):
            self.warmth.set(self._row, self._checks.warmth_of(self.modal.tool.last))

    def _follow_macro(self, text: str) -> None:
        """Apply one of Klipper's named commands."""
        self._checks.check_macro(text, self._line)
        if heat := named_heat_command(self._command):
            self._follow_heat(heat)
        self._checks.check_heat(self._command, self._line)
        name, _, parameters = text.partition(" ")
        if name.upper() == "SET_VELOCITY_LIMIT":
            self.modal.set_velocity_limit(words_of(parameters))
        if name.upper() in ("EXCLUDE_OBJECT_DEFINE", "EXCLUDE_OBJECT_START"):
            values = dict(part.split("=", 1) for part in parameters.split() if "=" in part)
            self._comments.objects.take_klipper_name(values.get("NAME", ""))
        self.warmth.set(self._row, self._checks.warmth_of(self.modal.tool.last))

    def _follow_heat(self, heat: HeatCommand) -> None:
        if heat.sets_target:
            self._checks.check_target(heat.heater, heat.target, self._line)
            self._new_targets.append((self._row, heat.heater, heat.target))
        self._add_wait("heating", heat=heat, rests=heat.waits)

    def _add_wait(
        self, kind: TimeKind, seconds: float = 0.0, heat: HeatCommand | None = None, *, rests: bool = True
    ) -> None:
        self.waits.append(BlockWait(self._row, self.layer.last, self._offset, kind, seconds, heat, rests))

    def _add_dwell(self, command: Command) -> None:
        seconds = command.number("S", 0.0) or command.number("P", 0.0) / 1000
        self._add_wait("dwell", min(max(seconds, 0.0), _MAX_DWELL_S))

    def _add_retraction(self, command: Command) -> None:
        if seconds := self._retraction.seconds(command, self.modal.limits.last):
            self._add_wait("motion", seconds)

    def _set_retraction(self, command: Command) -> None:
        self._retraction.note(command, self.modal.unit.last)

    def _add_stop(self, _command: Command) -> None:
        self._add_wait("dwell")

    def _add_homing(self, _command: Command) -> None:
        self._add_wait("homing")  # its duration depends on the position

    def _add_probing(self, _command: Command) -> None:
        self._add_wait("probing", self._machine.probing)

    def _add_filament_change(self, _command: Command) -> None:
        self._add_wait("changes", self._machine.filament_change)

    def _note_progress(self, command: Command) -> None:
        percent, minutes = (_plausible_progress(command.get(letter)) for letter in "PR")
        if len(self.m73) < MAX_M73 and (percent is not None or minutes is not None):
            self.m73.append((self._offset, percent, None if minutes is None else minutes * 60))

    def _note_object(self, command: Command) -> None:
        """Apply M486. In `M486 Aname`, the rest of the line is the name; RepRapFirmware has `M486 S1 A"name"`."""
        text = self._command.decode()
        at = text.upper().find("A", 4)
        named = "A" in command and at >= 0
        number = command.get("S") if not named or "S" in text[:at].upper() else None
        self._comments.objects.take_m486(number, text[at + 1 :] if named else None)

    def _check_lengths(self, block: LineBlock, words: ParsedLines, line: int) -> None:
        """Check the plain moves that may be too long; most of them are long only because of a comment."""
        max_length = self._machine.dialect.longest_command
        lengths = words.starts[words.moves + 1] - words.starts[words.moves] - 1
        for index in words.moves[lengths > max_length].tolist():
            command = clean(block.text[words.starts[index] : words.starts[index + 1] - 1])
            self._checks.check_length(command, line + index)


def _plausible_progress(progress: float | None) -> float | None:
    return progress if progress is not None and abs(progress) < _MAX_PROGRESS else None
