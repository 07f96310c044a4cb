"""Commands that heat, cool and report temperatures."""

import math
from dataclasses import replace

from gcode.command import Command
from hal.simulated.board import Board, Wait, read_interval
from hal.simulated.heat_control import PidControl
from hal.simulated.heat_wait import wait_for
from hal.simulated.heater import Heater
from hal.simulated.heating import FULL_FAN
from hal.simulated.inactivity import HotendIdle

_TRIGGER_ABOVE = 3.0  # °C by which M86's trigger must be above its target (TEMP_HYSTERESIS)


def _hotend(board: Board, command: Command) -> Wait | None:
    """M104, M109; T is the tool, by default the active one."""
    tool = int(command.number("T", board.modal.tool))
    if not 0 <= tool < board.config.extruders:
        board.say(f"echo:{command.code} Invalid extruder {tool}")
        return None
    return _heat(board, board.heat.hotend(tool), command, wait=command.code == "M109")


def _bed(board: Board, command: Command) -> Wait | None:
    """M140, M190."""
    target = command.get("S", command.get("R"))
    if target is not None:
        board.send_action(
            f"notification Bed {'Heating' if target > board.bed.temperature(board.now) else 'Cooling'}..."
        )
    return _heat(board, board.bed, command, wait=command.code == "M190")


def _chamber(board: Board, command: Command) -> Wait | None:
    """M141, M191."""
    heater = board.heat.chamber
    return None if heater is None else _heat(board, heater, command, wait=command.code == "M191")


def _heat(board: Board, heater: Heater, command: Command, *, wait: bool) -> Wait | None:
    target = command.get("S", command.get("R") if wait else None)
    if target is None:
        return None
    heater.set_target(target, board.now)
    return wait_for(board, heater, cooling="S" not in command) if wait else None


def _report(board: Board, _command: Command) -> None:
    """M105."""
    board.answer_temperatures()


def _auto_report(board: Board, command: Command) -> None:
    """M155."""
    if "S" in command:
        board.report_interval = read_interval(command)
        board.report_at = board.now + board.report_interval if board.report_interval else math.inf


def _fan(board: Board, command: Command) -> None:
    """M106: set fan P to speed S."""
    board.heat.set_fan(int(command.number("P", 0.0)), round(command.number("S", FULL_FAN)), board.now)


def _fan_off(board: Board, command: Command) -> None:
    """M107."""
    board.heat.set_fan(int(command.number("P", 0.0)), 0, board.now)


def _hotend_pid(board: Board, command: Command) -> None:
    """M301: set P, I, D of hotend E, by default of all; report them."""
    number = int(command.number("E", 0.0))
    if not 0 <= number < len(board.heat.hotends):
        board.say("Error:Invalid extruder")
        return
    chosen = [board.heat.hotends[number]] if "E" in command else board.heat.hotends
    for each in chosen:
        _tune(each, command)
    _report_gains(board, chosen[0])


def _bed_pid(board: Board, command: Command) -> None:
    """M304: unknown to a firmware without PID control of the bed."""
    if not isinstance(board.bed.control, PidControl):
        board.say(f'echo:Unknown command: "{board.command}"')
        return
    _tune(board.bed, command)
    _report_gains(board, board.bed)


def _tune(heater: Heater, command: Command) -> None:
    control = heater.control
    if isinstance(control, PidControl):
        old, number = control.gains, command.number
        control.gains = replace(old, p=number("P", old.p), i=number("I", old.i), d=number("D", old.d))


def _report_gains(board: Board, heater: Heater) -> None:
    if isinstance(heater.control, PidControl):
        gains = heater.control.gains
        board.say(f"echo: p:{gains.p:.2f} i:{gains.i:.2f} d:{gains.d:.2f}")


def _inactivity(board: Board, command: Command) -> None:
    """M85: halt after S seconds without a move."""
    if "S" in command:
        board.inactivity.set_limit(max(0.0, command.number("S", 0.0)), board.now)


def _hotend_idle(board: Board, command: Command) -> None:
    """M86: after S seconds without a move at T °C or more, lower the targets to E and B; alone, report the rule."""
    old = board.inactivity.hotend_idle
    if not command.params:
        board.say("echo:; Hotend Idle Timeout:")
        board.say(f"echo:  M86 B{old.bed:.0f} E{old.hotend:.0f} S{old.seconds:.0f} T{old.trigger:.0f}")
        return
    number = command.number
    new = HotendIdle(number("S", old.seconds), number("T", old.trigger), number("E", old.hotend), number("B", old.bed))
    if new.trigger <= new.hotend + _TRIGGER_ABOVE:
        minimum = f"{new.hotend + _TRIGGER_ABOVE:.0f}"
        board.say(f"?Idle Timeout (T) trigger temperature should be over {minimum}C.")
    board.heat.watch_hotends(new.trigger, board.now)
    board.inactivity.set_hotend_idle(new, board.now)


def _no_hotend_idle(board: Board, _command: Command) -> None:
    """M87."""
    board.inactivity.set_hotend_idle(HotendIdle(), board.now)


TABLE = {
    "M85": _inactivity,
    "M104": _hotend,
    "M105": _report,
    "M106": _fan,
    "M107": _fan_off,
    "M109": _hotend,
    "M140": _bed,
    "M155": _auto_report,
    "M190": _bed,
    "M301": _hotend_pid,
    "M304": _bed_pid,
}

WITH_CHAMBER = {"M141": _chamber, "M191": _chamber}
"""Commands that only a printer with a heated chamber has."""

WITH_HOTEND_IDLE = {"M86": _hotend_idle, "M87": _no_hotend_idle}
"""Commands that only a firmware with HOTEND_IDLE_TIMEOUT has."""
