"""Commands that heat, cool and report temperatures."""

import math

from gcode.command import Command
from hal.simulated.board import Board, Wait
from hal.simulated.thermal import Heater

WINDOW = 1.0  # °C around the target (TEMP_WINDOW)
RESIDENCY = 10.0  # s to stay within (TEMP_RESIDENCY_TIME)
_COOLING_CHECK = 60.0  # s; cooling by less than the following meanwhile ends the wait
_LEAST_COOLING = 1.5  # °C (MIN_COOLING_SLOPE_DEG)


def _hotend(board: Board, command: Command) -> Wait | None:
    """M104, M109."""
    tool = command.get("T")
    if tool:
        board.say(f"echo:{command.code} Invalid extruder {tool:.0f}")
        return None
    return _heat(board, board.hotend, command, wait=command.code == "M109")


def _bed(board: Board, command: Command) -> Wait | None:
    """M140, M190."""
    target = command.get("S", command.get("R"))
    if target is not None:
        board.act(f"notification Bed {'Heating' if target > board.bed.temperature(board.now) else 'Cooling'}...")
    return _heat(board, board.bed, command, wait=command.code == "M190")


def _heat(board: Board, heater: Heater, command: Command, *, wait: bool) -> Wait | None:
    target = command.get("S", command.get("R") if wait else None)
    if target is None:
        return None
    heater.set_target(max(0.0, target), board.now)
    if not wait or ("S" in command and target < heater.temperature(board.now)):
        return None  # S waits for heating only
    return _wait_for(board, heater)


def _wait_for(board: Board, heater: Heater) -> Wait:
    """Report each second until the temperature has stayed at the target, or M108."""
    reached = heater.time_within(WINDOW)
    begins = math.inf if reached is None else reached
    if begins <= board.now:  # there already: Marlin then waits a third longer
        begins = board.now + RESIDENCY / 3
    given_up = _given_up_cooling(board, heater)
    board.waiting = True
    report_at = board.now
    while board.waiting and board.now < min(begins + RESIDENCY, given_up):
        if board.now >= report_at:
            left = int(begins + RESIDENCY - board.now) if board.now >= begins else "?"
            board.say(f"{board.temperatures()} W:{left}")
            report_at += 1.0
        yield min(report_at, begins + RESIDENCY, given_up)
    board.waiting = False


def _given_up_cooling(board: Board, heater: Heater) -> float:
    """Return when cooling will have become too slow to wait for; never while heating."""
    now, check = board.now, board.now + _COOLING_CHECK
    if heater.temperature(now) <= heater.target:
        return math.inf
    while heater.temperature(check - _COOLING_CHECK) - heater.temperature(check) >= _LEAST_COOLING:
        check += _COOLING_CHECK
    return check


def _report(board: Board, _command: Command) -> None:
    """M105: the ok stands on the data line, also with ADVANCED_OK."""
    board.answer("ok" + board.temperatures())


def _auto_report(board: Board, command: Command) -> None:
    """M155."""
    if "S" in command:
        board.report_interval = min(60.0, max(0.0, command.number("S", 0.0)))
        board.report_at = board.now + board.report_interval if board.report_interval else math.inf


def _fan(board: Board, command: Command) -> None:
    """M106."""
    board.fan = min(255, max(0, round(command.number("S", 255.0))))


def _fan_off(board: Board, _command: Command) -> None:
    """M107."""
    board.fan = 0


TABLE = {
    "M104": _hotend,
    "M105": _report,
    "M106": _fan,
    "M107": _fan_off,
    "M109": _hotend,
    "M140": _bed,
    "M155": _auto_report,
    "M190": _bed,
}
