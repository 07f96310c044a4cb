"""From the text of a line to what it does: the table of commands that this firmware has."""

import re
from collections.abc import Callable
from dataclasses import replace

from gcode.command import Command, parse
from gcode.errors import CommandError
from hal.simulated import card_commands, heat_commands, motion_commands, retraction, system_commands
from hal.simulated.board import Board, Wait
from hal.simulated.config import FirmwareConfig
from hal.simulated.repetier_commands import plain

Handler = Callable[[Board, Command], Wait | None]
"""Does a command at once, or returns what takes its time."""

_DIGITS = re.compile(r"\d*")
_LETTERS = frozenset("GMT")
_WITH_MESSAGE = frozenset({"M0", "M1"})  # whose rest is for the user


class CommandSet:
    """What a firmware with these options understands."""

    def __init__(self, config: FirmwareConfig) -> None:
        speech = self._speech = config.speech
        self._any_case, self._answers_blank = speech.lines.any_case, speech.lines.answers_blank
        table = {code: each for code, each in _table_of(config).items() if code not in speech.lacks}
        self._table: dict[str, Handler] = table | dict(speech.commands)

    def run(self, board: Board, text: str) -> Wait | None:
        """Do what the line says; return what is left to be done in time."""
        if self._speech.early_moves and "G" in text:
            text = _from_its_g(text)
        command = self._parse(text)
        handler = self._table.get(command.code) if command else None
        if command is not None and handler is not None:
            return handler(board, command)
        if text or not self._answers_blank:
            self._refuse(board, text, command)
        return None

    def word(self, text: str) -> str:
        """Return the command's code, or the first word in capitals."""
        command = self._parse(text)
        return command.code if command else text.partition(" ")[0].upper()

    def _parse(self, text: str) -> Command | None:
        """Parse a command; None where the firmware knows nothing like it. Marlin wants capitals."""
        if text[:1] in _LETTERS or (self._any_case and text[:1].upper() in _LETTERS):
            try:
                command = parse(text)
            except CommandError:
                pass
            else:
                return replace(command, text=text[2:].strip()) if command.code in _WITH_MESSAGE else command
        if not self._any_case:
            return None
        word, _, rest = text.partition(" ")  # Klipper has commands that are words
        return Command(word.upper(), text=rest) if word.upper() in self._table else None

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
            known = {"text": text, "word": text.partition(" ")[0].upper(), "plain": plain(command or _words(text))}
            board.say(template.format(letter=code[:1], code=number, byte=number % 256, **known))


def is_early(text: str) -> bool:
    """Tell whether an old Marlin takes a line for a move: by its first G, wherever it stands, and 0 for no number."""
    return "G" in text and _from_its_g(text).partition(" ")[0] in ("G0", "G1", "G2", "G3")


def _from_its_g(text: str) -> str:
    """Return what an old Marlin takes a line with a G for."""
    rest = text.partition("G")[2]
    number = _DIGITS.match(rest)
    return f"G{int(number[0] or 0) if number else 0} {rest[number.end() if number else 0 :].strip()}"


def _words(text: str) -> Command | None:
    """Return what a line without a command has: parameters."""
    try:
        return replace(parse(f"G0 {text}"), code="")
    except CommandError:
        return None


def _table_of(config: FirmwareConfig) -> dict[str, Handler]:
    """Return the commands that Marlin has with these options."""
    runs_out = any(fault.what == "runout" for fault in config.scenario.faults)
    optional = (
        (config.host_actions, system_commands.WITH_HOST_ACTIONS),
        (config.host_actions or runs_out, system_commands.WITH_FILAMENT_CHANGE),
        (config.eeprom, system_commands.WITH_EEPROM),
        (config.progress, system_commands.WITH_PROGRESS),
        (config.runout_sensor, system_commands.WITH_RUNOUT_SENSOR),
        (config.sd_card, card_commands.TABLE),
        (config.fw_retract, retraction.TABLE),
        (config.chamber is not None, heat_commands.WITH_CHAMBER),
        (config.hotend_idle_timeout, heat_commands.WITH_HOTEND_IDLE),
    )
    table: dict[str, Handler] = {**motion_commands.TABLE, **heat_commands.TABLE, **system_commands.TABLE}
    for chosen, more in optional:
        if chosen:
            table |= more
    return table
