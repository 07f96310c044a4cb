"""Commands in which Prusa-Firmware differs from Marlin.

As recorded from 3.13.3 (prusa-3.13.3-basic.txt, prusa-3.13.3-motion.txt), and by its Marlin_main.cpp.
"""

import math

from gcode.command import Command
from hal.simulated import homing, motion_commands, texts
from hal.simulated.board import Board, Wait, no_effect
from hal.simulated.heat_wait import wait_for
from hal.simulated.system_commands import wait_for_answer

_PARKED_AT = (50.0, 190.0)  # X and Y of a pause, mm (X_PAUSE_POS, Y_PAUSE_POS)
_LIFT = 20.0  # mm (Z_PAUSE_LIFT)
_RETRACTION = 1.0  # mm (default_retraction)
_PAUSE_FEEDRATE = 50.0  # mm/s

_ADVANCED = (
    "Advanced variables: S=Min feedrate (mm/s), T=Min travel feedrate (mm/s), B=minimum segment time (us), "
    "X=maximum XY jerk (mm/s),  Z=maximum Z jerk (mm/s),  E=maximum E jerk (mm/s)"
)


def set_limits(board: Board, command: Command) -> None:
    """M201, M203, M204, M205: never report."""
    board.limits.note(command, board.modal.unit)


def message(board: Board, command: Command) -> None:
    """M117: its text stays until the next one."""
    board.message = command.text
    board.change_display()


def echo(board: Board, command: Command) -> None:
    """M118."""
    board.say(command.text)


def cold_extrusion(board: Board, command: Command) -> None:
    """M302: S is the lowest temperature for extruding; 0 without S."""
    board.modal.min_extrude = command.number("S", 0.0)


def print_time(board: Board, _command: Command) -> None:
    """M31."""
    minutes, seconds = divmod(int(board.now), 60)
    board.say(f"echo:{minutes} min, {seconds} sec")
    board.change_display()


def progress(board: Board, command: Command) -> None:
    """M73: reports both modes; -1: not set."""
    values = board.progress
    for letter in "PRCQSD":
        if (value := command.get(letter)) is not None:
            values[letter] = int(value)
    for mode, letters in (("NORMAL", "PRC"), ("SILENT", "QSD")):
        percent, minutes, change = (values.get(letter, -1) for letter in letters)
        board.say(
            f"{mode} MODE: Percent done: {percent}; print time remaining in mins: {minutes}; Change in mins: {change}"
        )


def dwell(board: Board, command: Command) -> Wait:
    """G4: on the display, unless it shows a text of M117."""
    if not board.message and (command.get("S") or command.get("P")):
        board.change_display()
    yield from motion_commands.TABLE["G4"](board, command) or ()


def home(board: Board, command: Command) -> Wait:
    """G28."""
    yield from homing.TABLE["G28"](board, command) or ()
    board.change_display()


def level(board: Board, _command: Command) -> Wait:
    """G80: mesh bed leveling; no probing is simulated."""
    yield from board.synchronise()


def stop_for_user(board: Board, command: Command) -> Wait:
    """M0, M1: wait until the knob is pressed, or for S seconds or P milliseconds."""
    board.change_display()
    yield from board.synchronise()
    seconds = command.number("S", 0.0) or command.number("P", 0.0) / 1000
    yield from wait_for_answer(board, seconds or math.inf)


def change_filament(board: Board, _command: Command) -> Wait:
    """M600: wait until the knob is pressed; no other command is executed meanwhile."""
    yield from board.synchronise()
    board.counts_as_move = True
    board.change_display()
    yield from wait_for_answer(board)
    board.counts_as_move = False


def select(board: Board, command: Command) -> None:
    """T0 to T4: without a multi-material unit the answer has no line end, so the `ok` follows in it (Tcodes.cpp)."""
    tool = int(command.code[1:])
    if tool >= board.config.extruders:
        board.say(f"echo:T{tool + ord('0')}")
        board.say("Invalid extruder")
        return
    board.modal.tool = tool
    if not board.config.shared_nozzle:
        board.answer(f"echo:Active Extruder: {tool}ok")


def pause(board: Board, command: Command) -> Wait:
    """M601, M25, M125: acknowledged; then queued lines are dropped, the hotend cools, and the head is parked."""
    if "S" in command or board.pause_state is not None:
        return
    yield from board.synchronise()
    board.runner.acknowledge()
    yield from pause_now(board)


def pause_now(board: Board) -> Wait:
    """Pause as from the panel; `resume` requests the lines that were not executed."""
    board.runner.forget_lines()
    board.pause_state = (*board.position(), board.active_hotend.target)
    board.send_action("paused")
    yield from _drive(board, e=-_RETRACTION)
    board.active_hotend.set_target(0.0, board.now)
    yield from _drive(board, z=min(_LIFT, board.config.volume[2] - board.modal.position[2]))
    if {0, 1} <= board.modal.homed:
        x, y = (target - at for target, at in zip(_PARKED_AT, board.modal.position, strict=False))
        yield from _drive(board, x=x, y=y)
    board.heat.set_fan(0, 0, board.now)


def resume(board: Board, _command: Command) -> Wait:
    """M602: heat, return to the position, and request the dropped lines."""
    if board.pause_state is None:
        return
    x, y, z, e, target = board.pause_state
    board.active_hotend.set_target(target, board.now)
    if target:
        yield from wait_for(board, board.active_hotend, cooling=False)
    position = board.modal.position
    yield from _drive(board, x=x - position[0], y=y - position[1])
    yield from _drive(board, z=z - board.modal.position[2])
    yield from _drive(board, e=e - board.modal.position[3])
    board.pause_state = None
    board.runner.resend_forgotten()
    board.send_action("resumed")


def settings(board: Board, _command: Command) -> None:
    """M503."""
    limits = board.limits
    minimums = f"S{limits.min_feedrate:.2f} T{limits.min_travel_feedrate:.2f}"
    accelerations = " ".join(f"{axis}{value:.0f}" for axis, value in zip("XYZE", limits.accelerations, strict=True))
    for line in (
        "Steps per unit:",
        f"  M92 {texts.format_axes(board.modal.steps)}",
        "Maximum feedrates (mm/s):",
        f"  M203 {texts.format_axes(limits.feedrates)}",
        "Maximum acceleration (mm/s2):",
        f"  M201 {accelerations}",
        "Acceleration: P=print, R=retract, T=travel",
        f"  M204 P{limits.printing:.2f} R{limits.retract:.2f} T{limits.travel:.2f}",
        _ADVANCED,
        f"  M205 {minimums} B{limits.min_segment_time * 1e6:.0f} {texts.format_axes(limits.jerk)}",
        "Home offset (mm):",
        "  M206 X0.00 Y0.00 Z0.00",
        "PID settings:",
        "   M301 P16.13 I1.16 D56.23",
        "PID heatbed settings:",
        "   M304 P126.13 I4.30 D924.76",
        "Retract: S=Length (mm) F:Speed (mm/m) Z: ZLift (mm)",
        "   M207 S3.00 F2700.00 Z0.00",
        "Recover: S=Extra length (mm) F:Speed (mm/m)",
        "   M208 S0.00 F480.00",
        "Auto-Retract: S=0 to disable, 1 to interpret extrude-only moves as retracts or recoveries",
        "   M209 S0",
        "Filament settings: Disabled",
        "Arc Settings: P:Max length(mm) S:Min length (mm) N:Corrections R:Min segments F:Segments/sec.",
        "  M214 P1.00 S0.50 N25 R20 F0",
    ):
        board.say(f"echo:{line}")


def _drive(board: Board, x: float = 0.0, y: float = 0.0, z: float = 0.0, e: float = 0.0) -> Wait:
    """Move by these distances in mm, and wait for the end."""
    start, modal = board.position(), board.modal
    for axis, distance in enumerate((x, y, z, e)):
        modal.position[axis] += distance
    board.planner.add(start, board.position(), _PAUSE_FEEDRATE, board.now)
    yield from board.synchronise()


TABLE = {
    "G4": dwell,
    "G28": home,
    "G80": level,
    "M0": stop_for_user,
    "M1": stop_for_user,
    "M25": pause,
    "M31": print_time,
    "M42": no_effect,
    "M73": progress,
    "M117": message,
    "M118": echo,
    "M125": pause,
    "M201": set_limits,
    "M203": set_limits,
    "M204": set_limits,
    "M205": set_limits,
    "M302": cold_extrusion,
    "M600": change_filament,
    "M601": pause,
    "M602": resume,
    "M900": no_effect,
    **{f"T{tool}": select for tool in range(5)},
}
