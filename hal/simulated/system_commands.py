"""Commands about the firmware itself: identity, settings, line numbers, messages."""

import math
import re

from gcode.command import Command
from gcode.planner import AXES
from hal.simulated import texts
from hal.simulated.board import Board, Wait, no_effect, read_interval

_FLAGS = re.compile(r"([AEP])(\d)\s*")  # of M118


def _stop_for_user(board: Board, command: Command) -> Wait:
    """M0, M1: wait for the user's M108 or M876, for at most S seconds or P milliseconds."""
    message = command.text.strip() or command.code
    yield from board.synchronise()
    board.say(f"echo:{message}\r")
    for action in ("prompt_end", "prompt_begin M0 Stop", "prompt_button Continue", "prompt_show"):
        board.send_action(action)
    yield from wait_for_answer(board, command.number("S", 0.0) or command.number("P", 0.0) / 1000 or math.inf)


def wait_for_answer(board: Board, seconds: float = math.inf) -> Wait:
    """Wait for M108, M876 or the knob at the printer, for at most `seconds`."""
    board.is_waiting, board.busy_reason = True, texts.PAUSED_FOR_USER
    answer_at = board.now + min(board.user_delay, seconds)
    while board.is_waiting and board.now < answer_at:
        yield answer_at
    board.is_waiting, board.busy_reason = False, "processing"


def _change_filament(board: Board, _command: Command) -> Wait:
    """M600: wait for the user to change the filament. Parking and feeding are not simulated."""
    yield from board.synchronise()
    board.counts_as_move = True
    for action in (
        "paused",
        "prompt_end",
        "prompt_begin Nozzle Parked",
        "prompt_button Continue",
        "prompt_show",
    ):
        board.send_action(action)
    yield from wait_for_answer(board)
    board.counts_as_move = False
    board.inactivity.note_activity(board.now)
    for action in ("prompt_end", "resumed"):
        board.send_action(action)


def _print_time(board: Board, _command: Command) -> None:
    """M31: 0 s, because no print timer runs while a host prints."""
    board.send_action("notification 0s\r")
    board.say("echo:Print time: 0s")


def _line_number(board: Board, command: Command) -> None:
    """M110 N100 in a line without a number; the receiver executes an M110 in a numbered line."""
    number = command.get("N")
    if number is not None:
        board.runner.set_line_number(int(number))


def _kill(board: Board, _command: Command) -> None:
    """M112, for firmwares that queue it."""
    if reason := board.config.speech.stop.halt.by_m112:
        board.runner.halt(reason)
    else:
        board.runner.kill()


def _keepalive(board: Board, command: Command) -> None:
    """M113."""
    if "S" in command:
        board.busy_interval = read_interval(command)
    else:
        board.say(f"echo:M113 S{board.busy_interval:.0f}")


def _auto_position(board: Board, command: Command) -> None:
    """M154."""
    if "S" in command:
        board.position_interval = read_interval(command)
        board.position_at = board.now + board.position_interval if board.position_interval else math.inf


def _identity(board: Board, _command: Command) -> None:
    """M115."""
    speech = board.config.speech
    lines = texts.make_identity(board.config) if speech.boot.identity is None else speech.boot.identity
    if speech.boot.identity_on_ok:
        board.answer(f"ok {lines[0]}")
        return
    for line in lines:
        board.say(line)


def _message(board: Board, command: Command) -> None:
    """M118: a message to the host; E1 prefixes `echo:`, A1 `//`."""
    text, prefix = command.text, {"E": "", "A": ""}
    while match := _FLAGS.match(text):
        text = text[match.end() :]
        prefix[match[1]] = {"E1": "echo:", "A1": "//"}.get(match[1] + match[2], "")
    board.say(f"{prefix['E']}{prefix['A']}{text}\r")


def _endstops(board: Board, _command: Command) -> None:
    """M119."""
    speech = board.config.speech
    states = {name: speech.reports.endstop_words[board.at_endstop(axis)] for axis, name in enumerate("xyz")}
    for line in speech.reports.endstops:
        board.say(line.format(**states))


def _steps(board: Board, command: Command) -> None:
    """M92."""
    if not _set_axes(board.modal.steps, command):
        board.say(f"echo: M92 {texts.format_axes(board.modal.steps)}")


def _set_axes(values: list[float], command: Command) -> bool:
    """Set the values that the command names; tell whether it names any."""
    new_values = {axis: command.get(letter) for axis, letter in enumerate(AXES)}
    for axis, value in new_values.items():
        if value is not None and value > 0:
            values[axis] = value
    return any(value is not None for value in new_values.values())


def _settings(board: Board, _command: Command) -> None:
    """M503."""
    for line in texts.make_settings(board.limits, board.modal.steps):
        board.say(line)


def _store(board: Board, _command: Command) -> None:
    """M500."""
    board.eeprom.store(board)
    board.say("echo:Settings Stored (648 bytes; crc 21042)")


def _load(board: Board, command: Command) -> None:
    """M501."""
    board.eeprom.load(board)
    board.say("echo:V80 stored settings retrieved (648 bytes; crc 21042)")
    _settings(board, command)


def _load_defaults(board: Board, _command: Command) -> None:
    """M502."""
    board.eeprom.load_defaults(board)
    board.say("echo:Hardcoded Default Settings Loaded")


def _answer_user(board: Board, _command: Command) -> None:
    """M876: the answer to a prompt."""
    board.is_waiting = False


def _end_halt(board: Board, command: Command) -> None:
    """M999: unless S is set, a resend request comes before its `ok` (marlin-plain-basic.txt)."""
    board.runner.end_halt()
    if not command.get("S"):
        board.runner.resend()


TABLE = {
    "M31": _print_time,
    "M92": _steps,
    "M108": no_effect,
    "M110": _line_number,
    "M112": _kill,
    "M113": _keepalive,
    "M115": _identity,
    "M117": no_effect,
    "M118": _message,
    "M119": _endstops,
    "M154": _auto_position,
    "M503": _settings,
    "M999": _end_halt,
}

WITH_HOST_ACTIONS = {"M0": _stop_for_user, "M1": _stop_for_user, "M876": _answer_user}
"""Commands that only a firmware with host prompts has."""


def _runout_sensor(board: Board, command: Command) -> None:
    """M412: S switches the sensor on and off; without S it reports."""
    if "S" in command:
        board.runout_sensor = bool(command.number("S", 0.0))
    else:
        board.say(f"echo:Filament runout {'ON' if board.runout_sensor else 'OFF'}")


WITH_RUNOUT_SENSOR = {"M412": _runout_sensor}
"""Commands that only a firmware with FILAMENT_RUNOUT_SENSOR has."""

WITH_EEPROM = {"M500": _store, "M501": _load, "M502": _load_defaults}
"""Commands that only a firmware with EEPROM_SETTINGS has."""

WITH_PROGRESS = {"M73": no_effect}
"""Commands that only a firmware that shows the progress has."""

WITH_FILAMENT_CHANGE = {"M600": _change_filament}
"""Commands that only a firmware with ADVANCED_PAUSE_FEATURE has."""
