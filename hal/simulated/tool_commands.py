"""Tools: T0, T1, … and the offsets of their nozzles."""

from gcode.command import Command
from hal.simulated.board import Board, Wait

_MAX_TOOLS = 8  # T0 to T7, as in Marlin


def _select(board: Board, command: Command) -> Wait:
    """T0, T1, …: the new nozzle moves to where the old one was; with S1 nothing moves."""
    modal, tool = board.modal, int(command.code[1:])
    if tool >= board.config.extruders:
        board.say(f"echo:{command.code} Invalid extruder")
        return
    if board.config.extruders == 1:
        return
    if tool != modal.tool:
        yield from _change(board, tool, moves=not command.number("S", 0.0))
    board.say(f"echo:Active Extruder: {tool}")


def _change(board: Board, tool: int, *, moves: bool) -> Wait:
    yield from board.synchronise()
    modal, start = board.modal, board.position()
    old, new = modal.tool_offset(modal.tool), modal.tool_offset(tool)
    modal.tool = tool
    shifts = [after - before for before, after in zip(old, new, strict=True)]
    if not any(shifts):
        return
    if not moves:  # only the logical position changes
        for axis, shift in enumerate(shifts):
            modal.offset[axis] += shift
        return
    end = (start[0] - shifts[0], start[1] - shifts[1], start[2] - shifts[2], start[3])
    for axis, shift in enumerate(shifts):
        modal.position[axis] -= shift
        modal.offset[axis] += shift
    board.planner.add(start, end, board.limits.feedrates[0], board.now)
    yield from board.synchronise()


def _offsets(board: Board, command: Command) -> None:
    """M218: set the offset X, Y, Z of tool T (by default the active one) from the first; without these, report all."""
    modal = board.modal
    tool = int(command.number("T", modal.tool))
    if not 0 <= tool < board.config.extruders:
        board.say(f"echo:M218 Invalid extruder {tool}")
        return
    offset = list(modal.tool_offset(tool))
    for axis, letter in enumerate("XYZ"):
        offset[axis] = command.number(letter, offset[axis] / modal.unit) * modal.unit
    modal.tool_offsets[tool] = (offset[0], offset[1], offset[2])
    if not any(letter in command for letter in "XYZ"):
        offsets = (modal.tool_offset(each) for each in range(board.config.extruders))
        board.say("echo:Hotend offsets: " + " ".join(f"{x:.2f},{y:.2f},{z:.3f}" for x, y, z in offsets))


TABLE = {"M218": _offsets, **{f"T{number}": _select for number in range(_MAX_TOOLS)}}
