"""Commands of Klipper, Teacup and Smoothieware that Marlin lacks, or executes differently.

Sources: klipper.txt and teacup-heat.txt in tests/data/transcripts; Smoothieware's GcodeDispatch.cpp.
"""

import re

from gcode.command import Command
from gcode.planner import AXES
from hal.simulated.board import Board, Handler, Wait
from hal.simulated.motion_commands import TABLE as MOVES

_TEACUP_WINDOW = 3.0  # °C around the target in which Teacup's wait ends
_TEACUP_REPORT_INTERVAL = 2.0  # s between two lines of Teacup's wait
_KLIPPER_QUERY_S = 0.3  # s that Klipper takes to query the endstops
_TIMEOUT = re.compile(r"\bTIMEOUT=(\d+(?:\.\d+)?)", re.IGNORECASE)
_MESSAGE = re.compile(r"\s*MSG=(?:\"([^\"]*)\"|(\S*))", re.IGNORECASE)


def report_state(board: Board, _command: Command) -> None:
    """STATUS of Klipper."""
    board.say("// Klipper state: Ready")


def echo(board: Board, command: Command) -> None:
    """M118 of Klipper."""
    board.say(f"echo: {command.text.strip()}")


def respond(board: Board, command: Command) -> None:
    """RESPOND of Klipper."""
    if match := _MESSAGE.match(command.text):
        board.say(f"echo: {match[1] or match[2] or ''}")


def slow_endstops(board: Board, _command: Command) -> Wait:
    """M119 and QUERY_ENDSTOPS of Klipper, which queries its microcontroller."""
    done = board.now + _KLIPPER_QUERY_S
    while board.now < done:
        yield done
    for line in board.config.speech.reports.endstops:
        states = dict.fromkeys("xyz", board.config.speech.reports.endstop_words[0])
        board.say(line.format(**states))


def set_idle_timeout(board: Board, command: Command) -> None:
    """SET_IDLE_TIMEOUT of Klipper; without TIMEOUT it only restarts the timer (extras/idle_timeout.py)."""
    match = _TIMEOUT.search(command.text)
    seconds = float(match[1]) if match else board.inactivity.idle_timeout
    if seconds <= 0:
        board.say("!! Error on 'SET_IDLE_TIMEOUT': TIMEOUT must be above 0.0")
        return
    board.inactivity.set_idle_timeout(seconds, board.now)
    board.say(f"// idle_timeout: Timeout set to {board.inactivity.idle_timeout:.2f} s")


def restart(board: Board, _command: Command) -> None:
    """FIRMWARE_RESTART of Klipper."""
    board.restart_due = True


def guard_move(move: Handler) -> Handler:
    """Return a move as Klipper makes it: it is refused before homing, and out of range."""

    def move_within(board: Board, command: Command) -> Wait | None:
        modal, config = board.modal, board.config
        target = modal.position.copy()
        for axis, letter in enumerate(AXES):
            value = command.get(letter)
            if value is not None:
                is_relative = modal.relative_e if letter == "E" else modal.relative
                target[axis] = value + (target[axis] if is_relative else -modal.offset[axis])
        target_text = f"{target[0]:.3f} {target[1]:.3f} {target[2]:.3f} [{target[3]:.3f}]"
        if any(letter in command and axis not in modal.homed for axis, letter in enumerate("XYZ")):
            board.say(f"!! Must home axis first: {target_text}")
            return None
        reach = zip(config.lowest, target[:3], config.volume, strict=True)
        if not all(lowest <= at <= highest for lowest, at, highest in reach):
            board.say(f"!! Move out of range: {target_text}")
            return None
        return move(board, command)

    return move_within


def wait_at_next_move(board: Board, _command: Command) -> None:
    """M116 of Teacup: the next move waits for heat."""
    board.heat_before_move = True


def delay_until_hot(move: Handler) -> Handler:
    """Return a move as Teacup makes it: after M116, it waits until all heaters are at their targets."""

    def move_then(board: Board, command: Command) -> Wait:
        while board.heat_before_move and not _is_hot(board):
            board.say("Waiting for target temp")
            yield board.now + _TEACUP_REPORT_INTERVAL
        board.heat_before_move = False
        yield from move(board, command) or ()

    def move_now(board: Board, command: Command) -> Wait | None:
        return move_then(board, command) if board.heat_before_move else move(board, command)

    return move_now


def _is_hot(board: Board) -> bool:
    heaters = (board.hotend, board.bed)
    return all(not each.target or abs(each.target - each.temperature(board.now)) < _TEACUP_WINDOW for each in heaters)


def acknowledge_early(board: Board, command: Command) -> Wait | None:
    """G0 and G1 of Smoothieware: a G1 is acknowledged before there is room for it in the planner."""
    if command.code == "G1":
        board.runner.acknowledge()
    return MOVES[command.code](board, command)


def halt_smoothie(board: Board, _command: Command) -> None:
    """M112 of Smoothieware: the text of the halt contains its `ok`."""
    board.runner.halt(board.config.speech.stop.halt.by_m112)
    board.answer("")


def clear_halt(board: Board, _command: Command) -> None:
    """M999 of Smoothieware."""
    board.runner.end_halt()
    board.say("WARNING: After HALT you should HOME as position is currently unknown")


def stop_motors(board: Board, _command: Command) -> Wait:
    """M84 of Teacup."""
    yield from board.synchronise()
    board.modal.homed.clear()
    for line in ("", "stop"):
        board.say(line)
