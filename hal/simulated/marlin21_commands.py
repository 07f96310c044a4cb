"""Commands that Marlin 2.1 answers differently from 2.0, as recorded (marlin-2.1-plain-basic.txt)."""

from gcode.command import Command
from hal.simulated import limit_commands, motion_commands, system_commands, texts, tool_commands
from hal.simulated.board import Board, Wait


def _limits(board: Board, command: Command) -> None:
    """M201, M203, M204, M205: without parameters they report the limits."""
    if command.params:
        limit_commands.TABLE[command.code](board, command)
        return
    board.say(_limit_lines(board)[command.code])


def _limit_lines(board: Board) -> dict[str, str]:
    """Return the lines about the limits, which M503 reports too."""
    limits = board.limits
    return {
        "M92": f"  M92 {texts.format_axes(board.modal.steps)}",
        "M203": f"  M203 {texts.format_axes(limits.feedrates)}",
        "M201": f"  M201 {texts.format_axes(limits.accelerations)}",
        "M204": f"  M204 P{limits.printing:.2f} R{limits.retract:.2f} T{limits.travel:.2f}",
        "M205": f"  {texts.format_m205(limits)}",
    }


def _settings(board: Board, _command: Command) -> None:
    """M503."""
    limits = _limit_lines(board)
    jerk = "X<max_jerk> Y<max_jerk> Z<max_jerk> E<max_jerk>" if board.limits.classic_jerk else "J<junc_dev>"
    for line in (
        "; Linear Units:",
        "  G21 ; (mm)",
        "; Auto Temp Control:",
        "  M104 S0 B250 F0.00",
        "; Temperature Units:",
        "  M149 C ; Units in Celsius",
        "; Filament settings (Disabled):",
        "  M200 S0 D1.75",
        "; Steps per unit:",
        limits["M92"],
        "; Max feedrates (units/s):",
        limits["M203"],
        "; Max Acceleration (units/s2):",
        limits["M201"],
        "; Acceleration (units/s2) (P<print-accel> R<retract-accel> T<travel-accel>):",
        limits["M204"],
        f"; Advanced (B<min_segment_time_us> S<min_feedrate> T<min_travel_feedrate> {jerk}):",
        limits["M205"],
        "; Home offset:",
        "  M206 X0.00 Y0.00 Z0.00",
        "; Hotend PID:",
        "  M301 P22.20 I1.08 D114.00",
    ):
        board.say(f"echo:{line}")


def _soft_endstops(board: Board, command: Command) -> None:
    """M211."""
    if "S" in command:
        board.modal.soft_endstops = bool(command.number("S", 0.0))
    lowest, highest = texts.format_reach(board.config)
    board.say(f"  M211 S{board.modal.soft_endstops:d} ; {'ON' if board.modal.soft_endstops else 'OFF'}")
    board.say(f"  Min:  {lowest}   Max:  {highest}")


def _set_position(board: Board, command: Command) -> None:
    """G92: reports the new position."""
    motion_commands.TABLE["G92"](board, command)
    board.report_position()


def _print_time(board: Board, command: Command) -> None:
    """M31."""
    if board.config.host_actions:
        system_commands.TABLE["M31"](board, command)
    else:
        board.say("echo:Print time: 0s")


def _select(board: Board, command: Command) -> Wait | None:
    """T0, T1, …: without effect or answer if there is one extruder."""
    return None if board.config.extruders == 1 else tool_commands.TABLE[command.code](board, command)


TABLE = {
    "G92": _set_position,
    "M31": _print_time,
    "M201": _limits,
    "M203": _limits,
    "M204": _limits,
    "M205": _limits,
    "M211": _soft_endstops,
    "M503": _settings,
    **dict.fromkeys(tool_commands.TABLE.keys() - {"M218"}, _select),
}
