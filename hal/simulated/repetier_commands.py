"""Commands in which Repetier-Firmware differs from Marlin.

As recorded from 1.0.4 (repetier-1.0.4-basic.txt), and by its Commands.cpp.
"""

from gcode.command import Command
from hal.simulated import heat_commands, motion_commands
from hal.simulated.board import Board, Wait, no_effect
from hal.simulated.heater import Heater

_NEAR = 1.0  # °C from the target at which a wait ends
_CHECK_INTERVAL = 0.25  # s between two checks of a wait
_ROOM = 25.0  # °C; a wait for a target up to this ends at once (MAX_ROOM_TEMPERATURE)
_REPORT_INTERVAL = 1.0  # s between two reports
_ORDER = "XYZEFSPIJRDCHABKLO"  # of parameters in a repeated command
_DECIMALS = {"E": 4, "S": 0, "P": 0}  # of parameters; others have 2


def repeat(command: Command | None) -> str:
    """Return a command as Repetier repeats it: code, then the parameters that it knows."""
    if command is None:
        return ""
    parameters = (f" {each}{command.get(each, 0.0):.{_DECIMALS.get(each, 2)}f}" for each in _ORDER if each in command)
    return (f"{command.code} " if command.code else "") + "".join(parameters)


def _hotend(board: Board, command: Command) -> Wait | None:
    """M104, M109."""
    tool = int(command.number("T", board.modal.tool))
    if not 0 <= tool < board.config.extruders:
        tool = board.modal.tool
    return _heat(board, board.heat.hotend(tool), f"TargetExtr{tool}", command, wait=command.code == "M109")


def _bed(board: Board, command: Command) -> Wait | None:
    """M140, M190."""
    return _heat(board, board.bed, "TargetBed", command, wait=command.code == "M190")


def _heat(board: Board, heater: Heater, name: str, command: Command, *, wait: bool) -> Wait:
    if wait or not command.number("S", 1.0):
        yield from board.synchronise()
    if "S" in command:
        heater.set_target(command.number("S", 0.0), board.now)
        board.say(f"{name}:{heater.target:.0f}")
    if wait and heater.target > _ROOM:
        yield from _wait_until_hot(board, heater)


def _wait_until_hot(board: Board, heater: Heater) -> Wait:
    before = board.report_interval
    if not before:
        board.report_interval, board.report_at = _REPORT_INTERVAL, board.now + _REPORT_INTERVAL
    board.is_waiting, board.busy_reason = True, "heating"
    while board.is_waiting and abs(heater.target - heater.temperature(board.now)) > _NEAR:
        board.inactivity.note_activity(board.now)
        yield board.now + _CHECK_INTERVAL
    board.is_waiting, board.busy_reason = False, "processing"
    if not before:
        heat_commands.TABLE["M155"](board, Command("M155", {"S": 0.0}))


def _wait_for_all(board: Board, _command: Command) -> Wait:
    """M116."""
    for heater in (*board.heat.hotends, board.bed):
        if heater.target > _ROOM:
            yield from _wait_until_hot(board, heater)


def _auto_report(board: Board, command: Command) -> None:
    """M155: reports every second, or not at all."""
    on = bool(command.number("S", 1.0))
    heat_commands.TABLE["M155"](board, Command("M155", {"S": _REPORT_INTERVAL if on else 0.0}))


def _fan(board: Board, command: Command) -> None:
    """M106, M107."""
    heat_commands.TABLE[command.code](board, command)
    board.say(f"Fanspeed:{board.fan}")


def _speed(board: Board, command: Command) -> None:
    """M220."""
    board.modal.speed_percent = min(500.0, max(25.0, command.number("S", 100.0)))
    board.say(f"SpeedMultiply:{board.modal.speed_percent:.0f}")


def _flow(board: Board, command: Command) -> None:
    """M221."""
    board.modal.flow_percent = min(500.0, max(25.0, command.number("S", 100.0)))
    board.say(f"FlowMultiply:{board.modal.flow_percent:.0f}")


def _cold_extrusion(board: Board, command: Command) -> None:
    """M302: allows cold extrusion, unless S is 0."""
    board.modal.cold_extrusion = bool(command.number("S", 1.0))
    board.say(f"Cold extrusion {'' if board.modal.cold_extrusion else 'dis'}allowed")


def _end_halt(board: Board, _command: Command) -> None:
    """M999."""
    board.runner.end_halt()
    board.say("DebugLevel:6")
    board.say("info:Continue from fatal state")


def _select(board: Board, command: Command) -> Wait:
    """T0, T1, …: an unknown tool leaves the active one selected."""
    yield from board.synchronise()
    if (tool := int(command.code[1:])) < board.config.extruders:
        board.modal.tool = tool
    board.say(f"SelectExtruder:{board.modal.tool}")
    board.say(f"FlowMultiply:{board.modal.flow_percent:.0f}")


def _set_position(board: Board, command: Command) -> None:
    """G92."""
    motion_commands.TABLE["G92"](board, command)
    if any(letter in command for letter in "XYZ"):
        x, y, z = (shift + 0.0 for shift in board.modal.offset[:3])
        board.say(f"X_OFFSET:{x:.3f} Y_OFFSET:{y:.3f} Z_OFFSET:{z:.3f}")


def _message(board: Board, command: Command) -> None:
    """M118."""
    board.say(f"Echo:{command.text}")


def _endstops(board: Board, _command: Command) -> Wait:
    """M119."""
    yield from board.synchronise()
    values = (
        f"{name}_{end}:{'H' if end == 'min' and board.at_endstop(axis) else 'L'} "
        for axis, name in enumerate("xyz")
        for end in ("min", "max")
    )
    board.say("endstops hit: " + "".join(values))


def _settings(board: Board, _command: Command) -> None:
    """M205: reports the settings in the EEPROM, which the recorded build lacks."""
    board.say("Error:No EEPROM support compiled.")


TABLE = {
    "G92": _set_position,
    "M42": no_effect,
    "M73": no_effect,
    "M104": _hotend,
    "M106": _fan,
    "M107": _fan,
    "M108": no_effect,
    "M109": _hotend,
    "M116": _wait_for_all,
    "M118": _message,
    "M119": _endstops,
    "M140": _bed,
    "M155": _auto_report,
    "M190": _bed,
    "M201": no_effect,
    "M203": no_effect,
    "M204": no_effect,
    "M205": _settings,
    "M220": _speed,
    "M221": _flow,
    "M302": _cold_extrusion,
    "M601": no_effect,
    "M602": no_effect,
    "M999": _end_halt,
    **{f"T{tool}": _select for tool in range(8)},
}
