"""Commands that move, and those that set how."""

import math

from gcode.command import Command
from hal.simulated import motion
from hal.simulated.board import Board, Wait
from hal.simulated.motion import Path, Vector

COLD = 170.0  # °C below which nothing is extruded (EXTRUDE_MINTEMP)
_INCH = 25.4
_HOMING_FEEDRATES = (50.0, 50.0, 4.0)  # mm/s
_BUMPS = ((5.0, 2.0), (5.0, 2.0), (2.0, 4.0))  # mm back and again, the second time that many times slower
_QUICK_STOP = 1.0  # s that Marlin stands still for after M410


def _move(board: Board, command: Command) -> Wait | None:
    """G0, G1, G2, G3."""
    modal = board.modal
    if feedrate := command.get("F"):
        modal.feedrate = feedrate * modal.unit / 60
    if board.planner.free(board.now):
        _enqueue(board, command)
        return None
    return _when_free(board, command)


def _when_free(board: Board, command: Command) -> Wait:
    """Hold the `ok` back until the planner has a place."""
    while (free := board.planner.next_free(board.now)) > board.now:
        yield free
    _enqueue(board, command)


def _enqueue(board: Board, command: Command) -> None:
    modal, start = board.modal, board.place()
    target = _target(board, command)
    end = (*target[:3], _extruded(board, target[3]))
    modal.position[:] = target
    path = _arc(board, command, start, end) if command.code in ("G2", "G3") else motion.line(start, end)
    if path is not None:
        board.note_underrun()
        board.planner.add(path, modal.feedrate * modal.speed_percent / 100, board.now)


def _target(board: Board, command: Command) -> Vector:
    """Return where the move ends, in mm from the endstops."""
    modal, target = board.modal, list(board.modal.position)
    for axis, letter in enumerate(motion.AXES):
        value = command.get(letter)
        if value is not None:
            relative = modal.relative_e if letter == "E" else modal.relative
            base = target[axis] if relative else -modal.offset[axis]
            target[axis] = base + value * modal.unit
    return target[0], target[1], target[2], target[3]


def _extruded(board: Board, target: float) -> float:
    """Return where the extruder's motor will be: not moved when cold, and scaled by the flow."""
    modal = board.modal
    start = modal.position[3]
    if target == start:
        return start
    if board.hotend.temperature(board.now) < COLD and not modal.cold_extrusion:
        board.say("echo: cold extrusion prevented")
        return start
    return start + (target - start) * modal.flow_percent / 100


def _arc(board: Board, command: Command, start: Vector, end: Vector) -> Path | None:
    """Return the path of G2 and G3; without I, J or R Marlin refuses it."""
    clockwise, unit = command.code == "G2", board.modal.unit
    if radius := command.get("R"):
        centre = _centre(start, end, radius * unit, clockwise=clockwise)
    elif "I" in command or "J" in command:
        centre = (start[0] + command.number("I", 0) * unit, start[1] + command.number("J", 0) * unit)
    else:
        centre = None
    if centre is None:
        board.say("Error:G2/G3 bad parameters")
        board.modal.position[:] = start
        return None
    return motion.arc(start, end, centre, clockwise=clockwise)


def _centre(start: Vector, end: Vector, radius: float, *, clockwise: bool) -> tuple[float, float] | None:
    """Return the centre for an R form; a negative radius takes the longer way round."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    chord = math.hypot(dx, dy)
    if chord == 0:
        return None
    height = math.sqrt(max(0.0, radius**2 - (chord / 2) ** 2))
    side = -1.0 if clockwise != (radius < 0) else 1.0
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    return middle[0] - side * height * dy / chord, middle[1] + side * height * dx / chord


def _dwell(board: Board, command: Command) -> Wait:
    """G4."""
    yield from board.synchronise()
    board.act("notification Sleep...")
    done = board.now + (command.number("S", 0.0) if "S" in command else command.number("P", 0.0) / 1000)
    while board.now < done:
        yield done


def _inches(board: Board, _command: Command) -> None:
    """G20."""
    board.modal.unit = _INCH


def _millimetres(board: Board, _command: Command) -> None:
    """G21."""
    board.modal.unit = 1.0


def _home(board: Board, command: Command) -> Wait:
    """G28: the axes named, or all; one after the other, as Marlin does."""
    yield from board.synchronise()
    modal = board.modal
    for axis in [i for i in range(3) if motion.AXES[i] in command] or range(3):
        done = board.now + _homing_time(board, axis)
        while board.now < done:
            yield done
        modal.position[axis] = modal.offset[axis] = 0.0
        modal.homed.add(axis)
    board.tell_position()


def _homing_time(board: Board, axis: int) -> float:
    distance = abs(board.modal.position[axis])
    if axis not in board.modal.homed:
        distance += board.config.park[axis]
    feedrate, (bump, divisor) = _HOMING_FEEDRATES[axis], _BUMPS[axis]
    return (distance + bump + bump * divisor) / feedrate


def _absolute(board: Board, _command: Command) -> None:
    """G90: for the extruder too."""
    board.modal.relative = board.modal.relative_e = False


def _relative(board: Board, _command: Command) -> None:
    """G91: for the extruder too."""
    board.modal.relative = board.modal.relative_e = True


def _absolute_e(board: Board, _command: Command) -> None:
    """M82."""
    board.modal.relative_e = False


def _relative_e(board: Board, _command: Command) -> None:
    """M83."""
    board.modal.relative_e = True


def _set_position(board: Board, command: Command) -> None:
    """G92: the axes named; with none, Marlin sets nothing."""
    modal = board.modal
    for axis, letter in enumerate(motion.AXES):
        value = command.get(letter)
        if value is not None:
            modal.offset[axis] = value * modal.unit - modal.position[axis]


def _finish_moves(board: Board, _command: Command) -> Wait:
    """M400."""
    yield from board.synchronise()


def _quick_stop(board: Board, _command: Command) -> Wait:
    """M410: takes effect when its bytes are read; what is left is to stand still."""
    while (done := board.stopped_at + _QUICK_STOP) > board.now:
        yield done


def _motors_off(board: Board, command: Command) -> Wait:
    """M18, M84; with S it sets a time only."""
    if "S" not in command:
        yield from board.synchronise()
        board.modal.homed.clear()


def _cold_extrusion(board: Board, command: Command) -> None:
    """M302."""
    board.modal.cold_extrusion = command.number("P", 0.0) > 0 or command.get("S") == 0


TABLE = {
    "G0": _move,
    "G1": _move,
    "G2": _move,
    "G3": _move,
    "G4": _dwell,
    "G20": _inches,
    "G21": _millimetres,
    "G28": _home,
    "G90": _absolute,
    "G91": _relative,
    "G92": _set_position,
    "M18": _motors_off,
    "M82": _absolute_e,
    "M83": _relative_e,
    "M84": _motors_off,
    "M302": _cold_extrusion,
    "M400": _finish_moves,
    "M410": _quick_stop,
}
