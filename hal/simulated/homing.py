"""Homing (G28), and switching the motors on and off (M17, M18, M84)."""

import math
from collections.abc import Sequence
from dataclasses import replace

from gcode.command import Command
from gcode.planner import AXES, Block, MotionLimits, Vector, make_block
from hal.simulated.board import Board, Wait, no_effect

FEEDRATES = (50.0, 50.0, 4.0)  # mm/s (HOMING_FEEDRATE_MM_M)
BUMPS = ((5.0, 2.0), (5.0, 2.0), (2.0, 4.0))  # mm back, and how many times slower the second approach is
_TRAVEL = 1.5  # the search for an endstop ends after this many lengths of the axis


def _home(board: Board, command: Command) -> Wait:
    """G28: home the axes named, or all, one after the other."""
    yield from board.synchronise()
    for axis in [i for i in range(3) if AXES[i] in command] or range(3):
        yield from _home_axis(board, axis)
        if axis not in board.modal.homed:
            return
    if board.config.speech.reports.homing_report:
        board.report_position()


def _home_axis(board: Board, axis: int) -> Wait:
    modal, broken = board.modal, axis in board.broken_endstops
    away = _TRAVEL * board.config.volume[axis] if broken else _distance(board, axis)
    for distance, feedrate in _search(axis, away, broken=broken):
        yield from _drive(board, axis, distance, feedrate)
    if broken:
        modal.homed.discard(axis)
        board.runner.kill("echo:Homing Failed")
        return
    modal.position[axis] = modal.offset[axis] = 0.0
    modal.homed.add(axis)


def _distance(board: Board, axis: int) -> float:
    """Return the distance to the endstop; before homing, only the machine knows it."""
    initial_distance = 0.0 if axis in board.modal.homed else board.config.power_on_position[axis]
    return abs(board.modal.position[axis]) + initial_distance


def _search(axis: int, distance: float, *, broken: bool) -> Sequence[tuple[float, float]]:
    """Return the distances in mm and feedrates in mm/s: to the endstop, back, and slowly to it again."""
    feedrate, (bump, divisor) = FEEDRATES[axis], BUMPS[axis]
    approach = [(-distance, feedrate)]
    return approach if broken else [*approach, (bump, feedrate), (-bump, feedrate / divisor)]


def _drive(board: Board, axis: int, distance: float, feedrate: float) -> Wait:
    """Move one axis, and wait for the end; positions on the way are not reported."""
    move = _move_from_rest(board.position(), axis, distance, feedrate, board.limits)
    if move is None:
        return
    began = board.now
    while board.now < began + move.seconds:
        yield began + move.seconds
    board.record_move(move, began)


def _move_from_rest(
    position: Vector, axis: int, distance: float, feedrate: float, limits: MotionLimits
) -> Block | None:
    """Return a move of `distance` mm from rest that stops at once at its end, as at an endstop."""
    end = list(position)
    end[axis] = 0.0
    start = end.copy()
    start[axis] = -distance
    move = make_block(_vector(start), _vector(end), feedrate, limits)
    if move is None:
        return None
    speed = min(move.nominal, math.sqrt(move.reach))
    cruise = move.length - speed**2 / (2 * move.acceleration)
    return replace(move, exit=speed**2, seconds=speed / move.acceleration + cruise / speed)


def _vector(values: Sequence[float]) -> Vector:
    x, y, z, e = values
    return x, y, z, e


def _motors_off(board: Board, command: Command) -> Wait:
    """M18, M84: switch off the axes named, or all; they lose their positions. With S it only sets a timeout."""
    if "S" not in command:
        yield from board.synchronise()
        named = {axis for axis, letter in enumerate(AXES) if letter in command}
        board.modal.homed -= named or {0, 1, 2}


TABLE = {"G28": _home, "M17": no_effect, "M18": _motors_off, "M84": _motors_off}
