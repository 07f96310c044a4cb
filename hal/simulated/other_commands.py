"""Commands that firmwares other than Marlin have, or do otherwise."""

import re
from collections.abc import Callable

from gcode.command import Command
from hal.simulated.board import Board, Wait
from hal.simulated.motion_commands import TABLE as MOVES

_RESIDUE = 3.0  # °C from the target at which Teacup takes it for reached
_TEACUP_REPORTS = 2.0  # s between two lines of its wait
_KLIPPER_LOOK = 0.3  # s that a look at the endstops takes
_TIMEOUT = re.compile(r"\bTIMEOUT=(\d+(?:\.\d+)?)", re.IGNORECASE)
_MESSAGE = re.compile(r"\s*MSG=(?:\"([^\"]*)\"|(\S*))", re.IGNORECASE)

Handler = Callable[[Board, Command], Wait | None]


def nothing(_board: Board, _command: Command) -> None:
    """Accept a command that shows no effect."""


def state(board: Board, _command: Command) -> None:
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
    """M119 and QUERY_ENDSTOPS of Klipper, which asks its microcontroller."""
    done = board.now + _KLIPPER_LOOK
    while board.now < done:
        yield done
    for line in board.config.speech.reports.endstops:
        open_ = dict.fromkeys("xyz", board.config.speech.reports.endstop_words[0])
        board.say(line.format(**open_))


def set_idle_timeout(board: Board, command: Command) -> None:
    """SET_IDLE_TIMEOUT of Klipper; without TIMEOUT the time is what it was, and begins anew."""
    found = _TIMEOUT.search(command.text)
    seconds = float(found[1]) if found else board.inactivity.idle_timeout
    if seconds <= 0:
        board.say("!! Error on 'SET_IDLE_TIMEOUT': TIMEOUT must be above 0.0")
        return
    board.inactivity.set_idle_timeout(seconds, board.now)
    board.say(f"// idle_timeout: Timeout set to {board.inactivity.idle_timeout:.2f} s")


def restart(board: Board, _command: Command) -> None:
    """FIRMWARE_RESTART of Klipper."""
    board.restarts = True


def guarded(move: Handler) -> Handler:
    """Return a move as Klipper makes it: not before homing, and not out of range."""

    def move_within(board: Board, command: Command) -> Wait | None:
        target = [board.modal.position[axis] for axis in range(4)]
        for axis, letter in enumerate("XYZE"):
            value = command.get(letter)
            if value is not None:
                target[axis] = value + (target[axis] if board.modal.relative else 0.0)
        place = f"{target[0]:.3f} {target[1]:.3f} {target[2]:.3f} [{target[3]:.3f}]"
        if any(letter in command and axis not in board.modal.homed for axis, letter in enumerate("XYZ")):
            board.say(f"!! Must home axis first: {place}")
            return None
        if not all(0 <= at <= most for at, most in zip(target[:3], board.config.volume, strict=True)):
            board.say(f"!! Move out of range: {place}")
            return None
        return move(board, command)

    return move_within


def wait_at_next_move(board: Board, _command: Command) -> None:
    """M116 of Teacup: the next move waits for heat."""
    board.heat_first = True


def after_heat(move: Handler) -> Handler:
    """Return a move as Teacup makes it: after M116 not before all is hot."""

    def move_then(board: Board, command: Command) -> Wait:
        while board.heat_first and not _hot(board):
            board.say("Waiting for target temp")
            yield board.now + _TEACUP_REPORTS
        board.heat_first = False
        yield from move(board, command) or ()

    def move_now(board: Board, command: Command) -> Wait | None:
        return move_then(board, command) if board.heat_first else move(board, command)

    return move_now


def _hot(board: Board) -> bool:
    heaters = (board.hotend, board.bed)
    return all(not each.target or abs(each.target - each.temperature(board.now)) < _RESIDUE for each in heaters)


def quietly(board: Board, command: Command) -> None:
    """Take a setting without a word (Prusa)."""
    board.limits.note(command, board.modal.unit)


def acknowledged(board: Board, command: Command) -> Wait | None:
    """G0, G1 of Smoothieware: acknowledged before they have a place in the planner."""
    if command.code == "G1":
        board.runner.acknowledge()
    return MOVES[command.code](board, command)


def halt_smoothie(board: Board, _command: Command) -> None:
    """M112 of Smoothieware: its ok is said with the halt."""
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
