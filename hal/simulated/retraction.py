"""Retraction by the firmware (FWRETRACT): G10, G11 and their settings."""

from gcode.command import Command
from hal.simulated.board import Board, Wait, no_effect


def _retract(board: Board, command: Command) -> Wait:
    """G10: no effect if the filament is retracted."""
    if command.params.keys() & {"L", "P"} or board.modal.retracted:
        return
    board.modal.retracted = True
    yield from _move(board, -board.modal.retraction, board.modal.retract_feedrate, board.modal.retract_lift)


def _recover(board: Board, _command: Command) -> Wait:
    """G11."""
    if not board.modal.retracted:
        return
    board.modal.retracted = False
    length = board.modal.retraction + board.modal.recover_extra
    yield from _move(board, length, board.modal.recover_feedrate, -board.modal.retract_lift)


def _move(board: Board, e: float, feedrate: float, z: float) -> Wait:
    """Turn the extruder and lift the nozzle; the reported E and Z stay the same."""
    for axis, distance, speed in ((3, e, feedrate), (2, z, board.limits.feedrates[2])):
        if not distance:
            continue
        while (free := board.planner.next_free_at(board.now)) > board.now:
            yield free
        start = board.position()
        board.modal.position[axis] += distance
        board.modal.offset[axis] -= distance
        board.planner.add(start, board.position(), speed, board.now)


def _retraction(board: Board, command: Command) -> None:
    """M207."""
    modal = board.modal
    modal.retraction = command.number("S", modal.retraction)
    modal.retract_feedrate = command.number("F", modal.retract_feedrate * 60) / 60
    modal.retract_lift = command.number("Z", modal.retract_lift)


def _recovery(board: Board, command: Command) -> None:
    """M208."""
    modal = board.modal
    modal.recover_extra = command.number("S", modal.recover_extra)
    modal.recover_feedrate = command.number("F", modal.recover_feedrate * 60) / 60


# M209, which has the firmware replace the slicer's retractions, is not simulated
TABLE = {"G10": _retract, "G11": _recover, "M207": _retraction, "M208": _recovery, "M209": no_effect}
