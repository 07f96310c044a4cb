"""Commands that move the machine or set how coordinates are read."""

from collections.abc import Iterable

from gcode.arcs import centre_by_radius, chords
from gcode.command import Command
from gcode.modes import INCH
from gcode.planner import AXES, MAX_LENGTH, Vector
from hal.simulated import homing, limit_commands, tool_commands
from hal.simulated.board import Board, Wait

_MAX_EXTRUSION = 200.0  # mm; Marlin refuses to extrude more in one move (EXTRUDE_MAXLENGTH)
_ROUNDING = 0.001  # mm; a smaller difference does not count as clipped
_QUICK_STOP_S = 1.0  # s for which Marlin stands still after M410


def _move(board: Board, command: Command) -> Wait | None:
    """G0, G1."""
    _feedrate(board, command)
    if not board.planner.count_free(board.now):
        return _when_free(board, command)
    _drive(board, board.position(), _apply_target(board, command))
    return None


def _feedrate(board: Board, command: Command) -> None:
    feedrate = command.params.get("F")
    if feedrate is not None and feedrate > 0:
        board.modal.feedrate = feedrate * board.modal.unit / 60


def _when_free(board: Board, command: Command) -> Wait:
    """Hold the `ok` back until the planner has room."""
    while (free := board.planner.next_free_at(board.now)) > board.now:
        yield free
    _drive(board, board.position(), _apply_target(board, command))


def _arc(board: Board, command: Command) -> Wait:
    """G2, G3: many moves; the `ok` comes when the last one is in the planner."""
    _feedrate(board, command)
    before = board.modal.position.copy()
    start, end = board.position(), _apply_target(board, command)
    points = _chords(board, command, start, end)
    if points is None:
        board.modal.position[:] = before
        board.say("Error:G2/G3 bad parameters")
        return
    stops = board.stop_count
    for point in points:
        while (free := board.planner.next_free_at(board.now)) > board.now:
            yield free
        if board.stop_count != stops:
            return
        _drive(board, start, point)
        start = point


def _chords(board: Board, command: Command, start: Vector, end: Vector) -> Iterable[Vector] | None:
    """Return the ends of an arc's moves; None: it has no centre, which Marlin refuses."""
    clockwise, unit = command.code == "G2", board.modal.unit
    if radius := command.get("R"):
        centre = centre_by_radius(start, end, radius * unit, clockwise=clockwise)
    elif command.get("I") or command.get("J"):
        centre = (start[0] + command.number("I", 0.0) * unit, start[1] + command.number("J", 0.0) * unit)
    else:
        centre = None
    return None if centre is None else chords(start, end, centre, clockwise=clockwise)


def _apply_target(board: Board, command: Command) -> Vector:
    """Set the position to the command's target; return the motors' position at the end of the move."""
    modal = board.modal
    position, before = modal.position, modal.position[3]
    start_xy = position[:2]
    for axis, letter in enumerate(AXES):
        value = command.params.get(letter)
        if value is not None:
            relative = modal.relative_e if letter == "E" else modal.relative
            base = position[axis] if relative else -modal.offset[axis]
            target = base + value * modal.unit
            if abs(target - position[axis]) <= MAX_LENGTH:  # a longer move is a mistake, which the planner refuses
                position[axis] = target
    lays_material = before < position[3] and position[:2] != start_xy
    if modal.soft_endstops:
        _stay_within(board, lays_material=lays_material)
    x, y, z, e = position
    return x, y, z, (e if e == before else before + _extrusion(board, e - before, lays_material=lays_material))


def _stay_within(board: Board, *, lays_material: bool) -> None:
    """Limit the target to the volume, for homed axes (M211)."""
    position, volume, lowest = board.modal.position, board.config.volume, board.config.lowest
    clipped = False
    for axis in board.modal.homed:
        target = position[axis]
        position[axis] = min(max(target, lowest[axis]), volume[axis])
        clipped |= abs(position[axis] - target) > _ROUNDING
    if clipped:
        board.oracle.counters.clipped += 1
        board.oracle.counters.clipped_laying += lays_material


def _count_prevented(board: Board, length: float, *, lays_material: bool) -> float:
    """Count filament that is not extruded; return 0."""
    board.oracle.counters.prevented += lays_material
    board.oracle.counters.prevented_mm += max(0.0, length)
    return 0.0


def _extrusion(board: Board, length: float, *, lays_material: bool) -> float:
    """Return the mm of filament that the motor moves: 0 if the hotend is cold or the length too great."""
    modal = board.modal
    if not modal.cold_extrusion and board.active_hotend.temperature(board.now) < modal.min_extrude:
        for line in board.config.speech.reports.cold_lines:
            board.say(line)
        return _count_prevented(board, length, lays_material=lays_material)
    if abs(length) > _MAX_EXTRUSION:
        board.say("echo: too long extrusion prevented")
        return _count_prevented(board, length, lays_material=lays_material)
    return length * modal.flow_percent / 100


def _drive(board: Board, start: Vector, end: Vector) -> None:
    modal = board.modal
    move = board.planner.add(start, end, modal.feedrate * modal.speed_percent / 100, board.now)
    if move is not None and move.delta[3]:
        board.heat.feed(modal.tool, move.delta[3], board.now, move.length / move.nominal)


def _dwell(board: Board, command: Command) -> Wait:
    """G4."""
    yield from board.synchronise()
    board.send_action("notification Sleep...")
    done = board.now + (command.number("S", 0.0) if "S" in command else command.number("P", 0.0) / 1000)
    while board.now < done:
        yield done


def _inches(board: Board, _command: Command) -> None:
    """G20."""
    board.modal.unit = INCH


def _millimetres(board: Board, _command: Command) -> None:
    """G21."""
    board.modal.unit = 1.0


def _absolute(board: Board, _command: Command) -> None:
    """G90."""
    _set_relative(board, to=False)


def _relative(board: Board, _command: Command) -> None:
    """G91."""
    _set_relative(board, to=True)


def _set_relative(board: Board, *, to: bool) -> None:
    board.modal.relative = to
    match board.config.e_mode:
        case "last":  # Marlin 2, set_relative_mode: the bits of all axes
            board.modal.relative_e = to
        case "either":  # Marlin 1.1: relative_mode || axis_relative_modes[E_AXIS]
            board.modal.relative_e = to or board.modal.m83


def _absolute_e(board: Board, _command: Command) -> None:
    """M82."""
    _set_relative_e(board, to=False)


def _relative_e(board: Board, _command: Command) -> None:
    """M83."""
    _set_relative_e(board, to=True)


def _set_relative_e(board: Board, *, to: bool) -> None:
    board.modal.m83 = to
    board.modal.relative_e = to or (board.config.e_mode == "either" and board.modal.relative)


def _set_position(board: Board, command: Command) -> None:
    """G92: the axes named; with none, Marlin sets nothing."""
    modal = board.modal
    for axis, letter in enumerate(AXES):
        value = command.get(letter)
        if value is not None:
            modal.offset[axis] = value * modal.unit - modal.position[axis]


def _finish_moves(board: Board, _command: Command) -> Wait:
    """M400."""
    yield from board.synchronise()


def _quick_stop(board: Board, _command: Command) -> Wait:
    """M410: the machine stopped when the line was read; only the standstill remains."""
    while (done := board.stopped_at + _QUICK_STOP_S) > board.now:
        yield done


def _position(board: Board, command: Command) -> None:
    """M114: the position after all moves; R: where the machine is now."""
    board.report_position(real="R" in command)


TABLE = {
    "G0": _move,
    "G1": _move,
    "G2": _arc,
    "G3": _arc,
    "G4": _dwell,
    "G20": _inches,
    "G21": _millimetres,
    "G90": _absolute,
    "G91": _relative,
    "G92": _set_position,
    "M82": _absolute_e,
    "M83": _relative_e,
    "M114": _position,
    "M400": _finish_moves,
    "M410": _quick_stop,
    **homing.TABLE,
    **limit_commands.TABLE,
    **tool_commands.TABLE,
}
