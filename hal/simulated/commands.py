"""CommandSet: the commands that a firmware knows, and the handler of each."""

import math
import re
from dataclasses import replace

from gcode.command import Command, parse
from gcode.errors import CommandError
from hal.simulated import card_commands, heat_commands, motion_commands, retraction, system_commands
from hal.simulated.board import Board, Handler, Wait
from hal.simulated.config import FirmwareConfig
from hal.simulated.repetier_commands import repeat

_DIGITS = re.compile(r"\d*")
_LETTERS = frozenset("GMT")
_HUGE = 1e30  # in place of an infinite value
_WITH_MESSAGE = frozenset({"M0", "M1"})  # the rest of their line is a text for the user


class CommandSet:
    """The commands of one firmware."""

    def __init__(self, config: FirmwareConfig) -> None:
        speech = self._speech = config.speech
        self._any_case, self._answers_blank = speech.lines.any_case, speech.lines.answers_blank_lines
        table = {code: each for code, each in _table_of(config).items() if code not in speech.lacks}
        self._table: dict[str, Handler] = table | dict(speech.commands)

    def run(self, board: Board, text: str) -> Wait | None:
        """Execute a line without its number and checksum; return a `Wait` if it takes time."""
        if self._speech.early_moves and "G" in text:
            text = _from_first_g(text)
        command = self._parse(text)
        handler = self._table.get(command.code) if command else None
        if command is not None and handler is not None:
            return handler(board, command)
        if text or not self._answers_blank:
            self._refuse(board, text, command)
        return None

    def code_of(self, text: str) -> str:
        """Return the code of a line's command; of an unknown one, the first word in capitals."""
        command = self._parse(text)
        return command.code if command else text.partition(" ")[0].upper()

    def _parse(self, text: str) -> Command | None:
        """Parse a command; return None if the firmware does not recognise one. Marlin requires capital letters."""
        if text[:1] in _LETTERS or (self._any_case and text[:1].upper() in _LETTERS):
            try:
                command = _make_finite(parse(text))
            except CommandError:
                pass
            else:
                return replace(command, text=text[2:].strip()) if command.code in _WITH_MESSAGE else command
        if not self._any_case:
            return None
        word, _, parameters = text.partition(" ")  # Klipper has commands that are words
        return Command(word.upper(), text=parameters) if word.upper() in self._table else None

    def _refuse(self, board: Board, text: str, command: Command | None) -> None:
        speech = self._speech
        code = command.code if command else ""
        if code.startswith("T") and code not in speech.lacks:
            board.say(f"echo:{code} Invalid extruder")
            return
        template = speech.unknown_codes.get(text[:1], speech.unknown)
        if template and (not speech.known_letters or code[:1] in tuple(speech.known_letters)):
            digits = code[1:].partition(".")[0]
            number = int(digits) if digits.isdecimal() else 0
            values = {
                "text": text,
                "word": text.partition(" ")[0].upper(),
                "plain": repeat(command or _parameters(text)),
            }
            board.say(template.format(letter=code[:1], code=number, byte=number % 256, **values))


def is_early_move(text: str) -> bool:
    """Tell whether Marlin 1.0 executes a line as a move, whose `ok` it sends early (Marlin_main.cpp, get_command)."""
    return "G" in text and _from_first_g(text).partition(" ")[0] in ("G0", "G1", "G2", "G3")


def _from_first_g(text: str) -> str:
    """Return a line as Marlin 1.0 reads it: its first G begins a command, wherever it is; without a number it is G0."""
    after_g = text.partition("G")[2]
    number = _DIGITS.match(after_g)
    return f"G{int(number[0] or 0) if number else 0} {after_g[number.end() if number else 0 :].strip()}"


def _make_finite(command: Command) -> Command:
    """Return the command with finite values: a number of hundreds of digits, which fits into a line, is infinite."""
    if math.inf not in command.params.values() and -math.inf not in command.params.values():
        return command
    values = {letter: value and min(max(value, -_HUGE), _HUGE) for letter, value in command.params.items()}
    return replace(command, params=values)


def _parameters(text: str) -> Command | None:
    """Parse a line that has only parameters, without a command."""
    try:
        return replace(parse(f"G0 {text}"), code="")
    except CommandError:
        return None


def _table_of(config: FirmwareConfig) -> dict[str, Handler]:
    """Return the commands that Marlin has with these options."""
    has_runout = any(fault.what == "runout" for fault in config.scenario.faults)  # that fault executes M600
    optional = (
        (config.host_actions, system_commands.WITH_HOST_ACTIONS),
        (config.host_actions or has_runout, system_commands.WITH_FILAMENT_CHANGE),
        (config.eeprom, system_commands.WITH_EEPROM),
        (config.progress, system_commands.WITH_PROGRESS),
        (config.runout_sensor, system_commands.WITH_RUNOUT_SENSOR),
        (config.sd_card, card_commands.TABLE),
        (config.fw_retract, retraction.TABLE),
        (config.chamber is not None, heat_commands.WITH_CHAMBER),
        (config.hotend_idle_timeout, heat_commands.WITH_HOTEND_IDLE),
    )
    table: dict[str, Handler] = {**motion_commands.TABLE, **heat_commands.TABLE, **system_commands.TABLE}
    for is_chosen, commands in optional:
        if is_chosen:
            table |= commands
    return table
