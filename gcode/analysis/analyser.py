"""Analyser: turns the bytes of a file into its analysis, in one pass. Memory does not depend on the file's size."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from gcode.analysis import settings
from gcode.analysis.about import complete
from gcode.analysis.arcs import is_arc
from gcode.analysis.arrays import Bools, Floats, Ints
from gcode.analysis.blocks import Blocks, LineBlock
from gcode.analysis.checks import Checks, FindingSeverity, Warmth
from gcode.analysis.comments import Comments
from gcode.analysis.heat import HeaterModels
from gcode.analysis.klipper import KlipperCorners, KlipperProfile
from gcode.analysis.layers import Layers
from gcode.analysis.line_follower import BlockWait, LineFollower
from gcode.analysis.machine import Machine
from gcode.analysis.modal import MoveKind, Rows
from gcode.analysis.path import Path, StraightMoves
from gcode.analysis.result import Analysis
from gcode.analysis.speeds import Corners, LimitRows, MarlinProfile, Moves, Profile, limit_rows
from gcode.analysis.timed_moves import DrawnMoves, MoveTimer, TimedMoves
from gcode.analysis.timeline import TimedWait, Timeline
from gcode.analysis.totals import Totals, is_printing, reach
from gcode.analysis.words import COLUMNS, read_lines
from gcode.errors import CommandError

_E = COLUMNS.index("E")
_BINARY = b"GCDE"  # the first bytes of binary G-code


class BinaryGcodeError(CommandError):
    """The file is binary G-code (.bgcode), not a text: see `gcode.bgcode`."""


class Analyser:
    """Analyses a file that is given to `feed` in pieces of any size, up to `finish`."""

    def __init__(self, machine: Machine, *, watch: Callable[[TimedMoves], None] | None = None) -> None:
        """Prepare.

        Args:
            machine: the printer for the file; if it has Klipper's limits, moves are planned as Klipper does.
            watch: called with all moves, one piece after the other; a piece has at most some 50,000.
        """
        self._machine = machine
        self._move_timer = MoveTimer(watch) if watch is not None else None
        self._blocks = Blocks()
        self._comments = Comments()
        self._layers = Layers()
        self._checks = Checks(machine)
        self._follower = LineFollower(machine, self._comments, self._layers, self._checks, features=watch is not None)
        self._path = Path()
        klipper = machine.limits.square_corner > 0
        self._corners = KlipperCorners() if klipper else Corners()
        self._profile: Profile = KlipperProfile() if klipper else MarlinProfile()
        self._heaters = HeaterModels(machine)
        self._timeline = Timeline(self._heaters, self._layers)
        self._totals = Totals()
        self._moves = self._size = 0
        self._lines = 1
        self._rests = True  # the printer is at rest before the next move
        self._homed: set[int] = set()  # axes, 0 to 2
        self._first = self._last = b""
        self._targets: dict[str, float] | None = None  # at the first extrusion

    def feed(self, piece: bytes) -> None:
        """Take the next bytes.

        Raises:
            BinaryGcodeError: the file is binary G-code.
        """
        if not piece:
            return
        if self._size < len(_BINARY):
            self._first = (self._first + piece)[: len(_BINARY)]
            if self._first == _BINARY:
                raise BinaryGcodeError("this is binary G-code (.bgcode), which has to be unpacked first")
        self._size += len(piece)
        self._last = piece[-1:]
        for block in self._blocks.feed(piece):
            self._take(block)

    def finish(self) -> Analysis:
        """End the file, and return its analysis."""
        for block in self._blocks.finish():
            self._take(block)
        self._take_final(*self._profile.finish())
        self._timeline.take_waits()
        return self._make_result()

    # -- one block -----------------------------------------------------------------------------------------

    def _take(self, block: LineBlock) -> None:
        words, follower = read_lines(block), self._follower
        follower.read(block, words, self._lines)
        rows = follower.modal.rows(words)
        offset = words.starts[rows.line] + block.offset + np.where(rows.line > 0, block.dropped, 0)
        columns = np.vstack((offset, rows.line + self._lines, follower.layer.column(len(rows.kind))))
        pieces = self._path.follow(rows, follower.modal)
        if not (follower.modal.relative_e.is_constant and follower.modal.relative_e.last):
            self._count_idle(rows)
        if self._checks.loses_arcs and len(arcs := np.flatnonzero(is_arc(rows))):
            self._checks.note_lost_arcs(int(rows.line[arcs[0]]) + self._lines, len(arcs))
        waits = self._with_homings(follower.waits)
        for piece in pieces:
            waits = self._take_moves(piece, columns.take(piece.row, 1), waits, len(rows.kind))
        self._add_waits(waits, np.full(len(waits), self._moves, np.intp))
        self._rests |= any(each.rests for each in waits)
        self._lines += len(words.starts) - 1
        follower.next_block()
        if self._timeline.is_crowded:
            self._limit_waits()

    def _count_idle(self, rows: Rows) -> None:
        """Count the moves whose absolute E leaves the extruder where it is."""
        has_e_and_axis = (
            (rows.kind == MoveKind.LINE) & ~np.isnan(rows.words[_E]) & ~np.isnan(rows.words[:2]).all(axis=0)
        )
        if has_e_and_axis.any():
            self._checks.count_idle(int((has_e_and_axis & (self._path.extruded == 0.0)).sum()))

    def _limit_waits(self) -> None:
        """Limit memory if only waits follow for a long time."""
        self._timeline.forget_superseded()
        if self._rests and self._timeline.is_crowded:
            self._take_final(*self._profile.finish())
            self._timeline.take_waits()

    def _with_homings(self, waits: list[BlockWait]) -> list[BlockWait]:
        """Return the waits, with the time of each G28 from the current position."""
        homes = {home.row: home for home in self._path.homes}
        timed = []
        for wait in waits:
            if wait.kind == "homing" and (home := homes.get(wait.row)):
                distances = enumerate(home.distance)
                seconds = sum(self._homing_seconds(axis, mm) for axis, mm in distances if mm is not None)
                wait = replace(wait, seconds=seconds)  # noqa: PLW2901 - the same wait, with its time
            timed.append(wait)
        return timed

    def _homing_seconds(self, axis: int, distance: float) -> float:
        initial_distance = 0.0 if axis in self._homed else self._machine.homing_distance[axis]
        self._homed.add(axis)
        return self._machine.homing[axis].seconds(abs(distance) + initial_distance)

    def _take_moves(self, piece: StraightMoves, columns: Floats, waits: list[BlockWait], rows: int) -> list[BlockWait]:
        """Take some moves; return the waits after them."""
        count = len(piece.row)
        if not count:
            return waits
        offset, _, layer = columns
        due = [each for each in waits if each.row <= piece.row[-1]]
        at = np.searchsorted(piece.row, [each.row for each in due])
        self._add_waits(due, at + self._moves)
        rests = np.zeros(count, np.bool_)
        rests[[index for index, each in zip(at.tolist(), due, strict=True) if each.rests]] = True
        rests[0] |= self._rests
        printing = is_printing(piece.delta)
        self._add_and_check(piece, printing, columns, rows)
        layer = self._layers.assign(piece.start[2] + piece.delta[2], printing, offset, layer.astype(np.intp))
        limits = self._limit_rows(piece, rows)
        moves = self._corners.plan_moves(piece.delta, piece.feedrate, rests, limits)
        self._add_speeds(piece, moves, printing)
        if self._move_timer is not None:
            tool, feature = self._tools_and_features(piece.row, rows)
            self._move_timer.add(DrawnMoves(piece.start, piece.delta, offset, tool, feature, printing))
        self._take_final(*self._profile.add(moves, np.vstack((offset, layer))))
        self._moves += count
        self._rests = False
        return waits[len(due) :]

    def _tools_and_features(self, row: Ints, rows: int) -> tuple[Ints, Ints]:
        """Return the tool and the feature of each move."""
        tool, feature = (
            np.full(len(row), each.last) if each.is_constant else each.column(rows).take(row)
            for each in (self._follower.modal.tool, self._follower.feature)
        )
        return tool, feature

    def _add_waits(self, waits: list[BlockWait], before_move: Ints) -> None:
        for wait, move in zip(waits, before_move.tolist(), strict=True):
            layer = wait.layer if self._layers.has_marks else None
            self._timeline.add_wait(TimedWait(move, layer, wait.offset, wait.kind, wait.seconds, wait.heat))

    def _limit_rows(self, piece: StraightMoves, rows: int) -> LimitRows:
        limits = self._follower.modal.limits
        if limits.is_constant:
            return limit_rows(limits.values, [rows])
        which = np.repeat(np.arange(len(limits.values)), limits.counts(rows))[piece.row]
        return limit_rows(limits.values, np.bincount(which, minlength=len(limits.values)).tolist())

    def _add_and_check(self, piece: StraightMoves, printing: Bools, columns: Floats, rows: int) -> None:
        """Add moves to the totals, and run the checks that do not depend on speed."""
        offset, line, layer = columns
        printed = np.flatnonzero(printing)
        tool = self._follower.modal.tool
        ends = piece.start[:3] + piece.delta[:3]
        tools = tool.last if tool.is_constant else tool.column(rows)[piece.row]
        self._totals.add(ends, piece.delta[3], tools, offset)
        self._checks.check_moves(piece.delta, printing, line)
        if len(printed):
            if self._targets is None:
                self._targets = self._follower.targets_at(int(piece.row[printed[0]]))
            self._check_heat(piece, printing, line, rows)
            begins = piece.start[:3]
            if len(printed) < len(printing):
                begins, ends = begins.take(printed, 1), ends.take(printed, 1)
                line, layer = line[printed], layer[printed]
            box = reach(begins, ends)
            self._totals.add_printing(*box)
            self._checks.note_printed(begins, ends, box, line, layer.astype(np.intp))

    def _check_heat(self, piece: StraightMoves, printing: Bools, line: Floats, rows: int) -> None:
        warm = self._follower.warmth
        if warm.is_constant and warm.last is Warmth.WARM:
            return
        values = warm.column(rows)[piece.row]
        for warmth in (Warmth.COLD, Warmth.UNKNOWN, Warmth.OFF):
            cold = np.flatnonzero(printing & (values == warmth))
            if len(cold):
                self._checks.note_cold_moves(warmth, int(line[cold[0]]), len(cold))

    def _add_speeds(self, piece: StraightMoves, moves: Moves, printing: Bools) -> None:
        self._totals.add_speeds(moves.length[printing], moves.nominal[printing], piece.delta[3, printing])

    # -- time ----------------------------------------------------------------------------------------------

    def _take_final(self, seconds: Floats, columns: Floats) -> None:
        """Take the next moves whose speeds are final."""
        if not len(seconds):
            return
        begins = self._timeline.add_moves(seconds, columns[1], columns[0])
        if self._move_timer is not None:
            self._move_timer.set_times(begins, seconds, columns[1])

    def _make_result(self) -> Analysis:
        comments, timeline, totals, checks = self._comments, self._timeline, self._totals, self._checks
        comments.pictures.finish()
        about, layers = comments.about(), self._layers.result()
        tools = totals.tools(settings.filament_diameters(comments.settings), self._machine.filament_diameter)
        area = max((use.volume_mm3 / use.length_mm for use in tools), default=self._machine.filament_area)
        filament = sum(tool.length_mm for tool in tools)
        checks.finish(totals.bounds, comments, filament, ends_with_line_end=self._last in (b"\n", b"\r", b""))
        return Analysis(
            size=self._size,
            commands=self._follower.count,
            duration_s=timeline.now,
            **{f"{kind}_s": seconds for kind, seconds in timeline.seconds.items()},
            before_first_layer_s=self._layers.seconds_before_first,
            layers=layers,
            filament_mm=filament,
            tools=tools,
            bounds=totals.bounds,
            max_speed=totals.max_speed,
            max_flow=totals.max_flow * area,
            temperatures=self._heaters.targets,
            objects=comments.objects.names,
            slicer=f"{about.slicer} {about.version or ''}".strip() if about.slicer else None,
            slicer_estimate_s=about.estimate,
            about=complete(about, layers, tools, self._targets or {}),
            settings=comments.settings,
            planner="Klipper" if self._machine.limits.square_corner else "Marlin",
            limits_from=self._machine.limits_from,
            thumbnails=tuple(comments.pictures.thumbnails),
            timeline=timeline.points,
            used=totals.used,
            m73=tuple(self._follower.m73),
            warnings=checks.sentences(FindingSeverity.WARNING),
            errors=checks.sentences(FindingSeverity.ERROR),
        )
