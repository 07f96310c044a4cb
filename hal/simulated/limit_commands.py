"""Commands that set limits, factors and guards of motion."""

from gcode.command import Command
from hal.simulated.board import Board

_DEVIATIONS = (0.01, 0.3)  # mm; the range of J in Marlin
_SPEEDS = (10.0, 999.0)  # %; the range of M220 in Marlin


def _limits(board: Board, command: Command) -> None:
    """M201, M203, M204, M205."""
    deviation = command.get("J") if command.code == "M205" else None
    limits, (least, most) = board.limits, _DEVIATIONS
    if deviation is not None and not limits.classic_jerk and not least <= deviation <= most:
        board.say(f"Error:?J out of range ({least} to {most})")
        return
    if command.code == "M204" and not command.params:
        board.say(f"Acceleration: P{limits.printing:.2f} R{limits.retract:.2f} T{limits.travel:.2f}")
    limits.note(command, board.modal.unit)


def _soft_endstops(board: Board, command: Command) -> None:
    """M211: S1 on, S0 off; reports them in any case."""
    modal, top = board.modal, board.config.volume
    if "S" in command:
        modal.soft_endstops = bool(command.number("S", 0.0))
    state = "ON" if modal.soft_endstops else "OFF"
    most = " ".join(f"{axis}{value:.2f}" for axis, value in zip("XYZ", top, strict=True))
    board.say(f"echo:Soft endstops: {state}  Min:  X0.00 Y0.00 Z0.00   Max:  {most}")


def _speed(board: Board, command: Command) -> None:
    """M220; B keeps the present one, R takes it back."""
    modal = board.modal
    if not command.params:
        board.say(f"FR:{modal.speed_percent:.0f}%")
    if "B" in command:
        modal.saved_speed_percent = modal.speed_percent
    if "R" in command:
        modal.speed_percent = modal.saved_speed_percent
    modal.speed_percent = min(_SPEEDS[1], max(_SPEEDS[0], command.number("S", modal.speed_percent)))


def _flow(board: Board, command: Command) -> None:
    """M221."""
    if "S" not in command:
        board.say(f"echo:E0 Flow: {board.modal.flow_percent:.0f}%")
    board.modal.flow_percent = command.number("S", board.modal.flow_percent)


def _cold_extrusion(board: Board, command: Command) -> None:
    """M302: P1 allows it, S sets the temperature below which it counts as cold; alone it tells."""
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
