"""Commands about the firmware itself: identity, settings, the line, messages."""

import math
import re

from gcode.command import Command
from hal.simulated import texts
from hal.simulated.board import Board, Wait
from hal.simulated.motion import AXES

_FLAGS = re.compile(r"([AEP])(\d)\s*")  # of M118


def _nothing(_board: Board, _command: Command) -> None:
    """Accept a command that shows no effect here: M17, M85, M86, M108, M117, M154, T0."""


def _stop_for_user(board: Board, command: Command) -> Wait:
    """M0, M1: wait for the user, who answers with M108 or M876."""
    message = command.text.strip() or command.code
    yield from board.synchronise()
    board.say(f"echo:{message}\r")
    for action in ("prompt_end", "prompt_begin M0 Stop", "prompt_button Continue", "prompt_show"):
        board.act(action)
    board.waiting, board.busy_reason = True, "paused for user"
    while board.waiting:
        yield math.inf
    board.busy_reason = "processing"


def _print_time(board: Board, _command: Command) -> None:
    """M31: no print timer runs when a host prints."""
    board.act("notification 0s\r")
    board.say("echo:Print time: 0s")


def _line_number(board: Board, command: Command) -> None:
    """M110 without a number before it."""
    number = command.get("N")
    if number is not None:
        board.set_line_number(int(number))


def _kill(board: Board, _command: Command) -> None:
    """M112."""
    board.kill()


def _card_status(board: Board, command: Command) -> None:
    """M27: how far the print from the SD card is; S: each so many seconds."""
    if "S" in command and board.config.autoreport:
        board.sd.report_each(min(60.0, max(0.0, command.number("S", 0.0))), board.now)
    else:
        board.sd.report(board.now)


def _keepalive(board: Board, command: Command) -> None:
    """M113."""
    if "S" in command:
        board.busy_interval = min(60.0, max(0.0, command.number("S", 0.0)))
    else:
        board.say(f"echo:M113 S{board.busy_interval:.0f}")


def _position(board: Board, _command: Command) -> None:
    """M114."""
    board.tell_position()


def _identity(board: Board, _command: Command) -> None:
    """M115."""
    for line in texts.identity(board.config):
        board.say(line)


def _message(board: Board, command: Command) -> None:
    """M118: to the host; E1 puts `echo:` before it, A1 `//`."""
    text, prefix = command.text, {"E": "", "A": ""}
    while match := _FLAGS.match(text):
        text = text[match.end() :]
        prefix[match[1]] = {"E1": "echo:", "A1": "//"}.get(match[1] + match[2], "")
    board.say(f"{prefix['E']}{prefix['A']}{text}\r")


def _endstops(board: Board, _command: Command) -> None:
    """M119."""
    board.say("Reporting endstop status")
    for axis, name in enumerate("xyz"):
        triggered = axis in board.modal.homed and board.modal.position[axis] == 0
        board.say(f"{name}_min: {'TRIGGERED' if triggered else 'open'}")


def _steps(board: Board, command: Command) -> None:
    """M92."""
    if not _set_axes(board.modal.steps, command):
        board.say(f"echo: M92 {texts.axes(board.modal.steps)}")


def _max_accelerations(board: Board, command: Command) -> None:
    """M201."""
    _set_axes(board.limits.accelerations, command)


def _max_feedrates(board: Board, command: Command) -> None:
    """M203."""
    _set_axes(board.limits.feedrates, command)


def _set_axes(values: list[float], command: Command) -> bool:
    """Set the values that the command names, and say whether there was one."""
    named = {axis: command.get(letter) for axis, letter in enumerate(AXES)}
    for axis, value in named.items():
        if value is not None and value > 0:
            values[axis] = value
    return any(value is not None for value in named.values())


def _accelerations(board: Board, command: Command) -> None:
    """M204; S sets printing and travel as older files expect."""
    limits = board.limits
    if not command.params:
        board.say(f"Acceleration: P{limits.printing:.2f} R{limits.retract:.2f} T{limits.travel:.2f}")
    both = command.get("S")
    limits.printing = command.get("P") or both or limits.printing
    limits.travel = command.get("T") or both or limits.travel
    limits.retract = command.get("R") or limits.retract


def _advanced(board: Board, command: Command) -> None:
    """M205: of its words junction deviation is known here."""
    board.limits.junction_deviation = command.get("J") or board.limits.junction_deviation


def _soft_endstops(board: Board, _command: Command) -> None:
    """M211."""
    board.say("echo:Soft endstops: ON  Min:  X0.00 Y0.00 Z0.00   Max:  X200.00 Y200.00 Z200.00")


def _speed(board: Board, command: Command) -> None:
    """M220."""
    if not command.params:
        board.say(f"FR:{board.modal.speed_percent:.0f}%")
    board.modal.speed_percent = max(10.0, command.number("S", board.modal.speed_percent))


def _flow(board: Board, command: Command) -> None:
    """M221."""
    if "S" not in command:
        board.say(f"echo:E0 Flow: {board.modal.flow_percent:.0f}%")
    board.modal.flow_percent = command.number("S", board.modal.flow_percent)


def _settings(board: Board, _command: Command) -> None:
    """M503."""
    for line in texts.settings(board.limits, board.modal.steps):
        board.say(line)


def _answer_user(board: Board, _command: Command) -> None:
    """M876: the answer to a prompt."""
    board.waiting = False


def _restart(board: Board, command: Command) -> None:
    """M999: answers twice."""
    if not command.get("S"):
        board.resend()


TABLE = {
    "T0": _nothing,
    "M17": _nothing,
    "M31": _print_time,
    "M85": _nothing,
    "M86": _nothing,
    "M92": _steps,
    "M108": _nothing,
    "M110": _line_number,
    "M112": _kill,
    "M113": _keepalive,
    "M114": _position,
    "M115": _identity,
    "M117": _nothing,
    "M118": _message,
    "M119": _endstops,
    "M154": _nothing,
    "M201": _max_accelerations,
    "M203": _max_feedrates,
    "M204": _accelerations,
    "M205": _advanced,
    "M211": _soft_endstops,
    "M220": _speed,
    "M221": _flow,
    "M503": _settings,
    "M999": _restart,
}

WITH_HOST_ACTIONS = {"M0": _stop_for_user, "M1": _stop_for_user, "M876": _answer_user}
"""Commands that only a firmware with host prompts has."""

WITH_SD_CARD = {"M27": _card_status}
"""Commands that only a board with an SD card has."""
