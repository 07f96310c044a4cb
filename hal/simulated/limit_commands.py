"""Commands that set limits, factors and guards of motion."""

from gcode.command import Command
from hal.simulated import texts
from hal.simulated.board import Board

_MIN_DEVIATION, _MAX_DEVIATION = 0.01, 0.3  # mm; the range of M205 J in Marlin
_MIN_SPEED, _MAX_SPEED = 10.0, 999.0  # %; the range of M220 in Marlin


def _limits(board: Board, command: Command) -> None:
    """M201, M203, M204, M205."""
    deviation = command.get("J") if command.code == "M205" else None
    limits = board.limits
    if deviation is not None and not limits.classic_jerk and not _MIN_DEVIATION <= deviation <= _MAX_DEVIATION:
        board.say(f"Error:?J out of range ({_MIN_DEVIATION} to {_MAX_DEVIATION})")
        return
    if command.code == "M204" and not command.params:
        board.say(f"Acceleration: P{limits.printing:.2f} R{limits.retract:.2f} T{limits.travel:.2f}")
    limits.note(command, board.modal.unit)


def _soft_endstops(board: Board, command: Command) -> None:
    """M211: S1 on, S0 off; always reports them."""
    modal = board.modal
    if "S" in command:
        modal.soft_endstops = bool(command.number("S", 0.0))
    state = "ON" if modal.soft_endstops else "OFF"
    lowest, highest = texts.format_reach(board.config)
    board.say(f"echo:Soft endstops: {state}  Min:  {lowest}   Max:  {highest}")


def _speed(board: Board, command: Command) -> None:
    """M220: S sets the speed factor, B saves it, R restores the saved one; alone, it reports."""
    modal = board.modal
    if not command.params:
        board.say(f"FR:{modal.speed_percent:.0f}%")
    if "B" in command:
        modal.saved_speed_percent = modal.speed_percent
    if "R" in command:
        modal.speed_percent = modal.saved_speed_percent
    modal.speed_percent = min(_MAX_SPEED, max(_MIN_SPEED, command.number("S", modal.speed_percent)))


def _flow(board: Board, command: Command) -> None:
    """M221."""
    if "S" not in command:
        board.say(f"echo:E0 Flow: {board.modal.flow_percent:.0f}%")
    board.modal.flow_percent = command.number("S", board.modal.flow_percent)


def _cold_extrusion(board: Board, command: Command) -> None:
    """M302: P1 allows cold extrusion, S sets the minimum temperature; alone, it reports."""
    modal = board.modal
    if "S" in command:
        modal.min_extrude = command.number("S", modal.min_extrude)
        modal.cold_extrusion = modal.min_extrude <= 0
    if "P" in command:
        modal.cold_extrusion = modal.min_extrude <= 0 or command.number("P", 0.0) > 0
    if not command.params:
        state = "en" if modal.cold_extrusion else "dis"
        board.say(f"echo:Cold extrudes are {state}abled (min temp {modal.min_extrude:.0f}C)")


TABLE = {
    "M201": _limits,
    "M203": _limits,
    "M204": _limits,
    "M205": _limits,
    "M211": _soft_endstops,
    "M220": _speed,
    "M221": _flow,
    "M302": _cold_extrusion,
}
