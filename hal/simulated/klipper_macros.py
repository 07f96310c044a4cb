"""The macros at the beginning and end of files for Klipper, under their usual names."""

from gcode.command import Command, parse
from gcode.texts import words_of
from hal.simulated import heat_commands, homing
from hal.simulated.board import Board, Wait

_HOTEND, _BED = 200.0, 60.0  # °C if the file names none
_BED_WORDS = ("BED_TEMP", "BED", "BED_TEMPERATURE", "BEDTEMP")
_HOTEND_WORDS = ("EXTRUDER_TEMP", "EXTRUDER", "HOTEND", "HOTEND_TEMP", "NOZZLE", "TEMPERATURE", "TEMP", "TOOL_TEMP")


def start_print(board: Board, command: Command) -> Wait:
    """START_PRINT: home, and heat to the file's targets."""
    words = words_of(command.text)
    bed = next((words[name] for name in _BED_WORDS if name in words), _BED)
    hotend = next((words[name] for name in _HOTEND_WORDS if name in words), _HOTEND)
    yield from _run(board, f"M140 S{bed:g}", f"M104 S{hotend:g}", "G28", f"M190 S{bed:g}", f"M109 S{hotend:g}")


def end_print(board: Board, _command: Command) -> Wait:
    """END_PRINT: turn heaters and motors off."""
    yield from board.synchronise()
    yield from _run(board, "M104 S0", "M140 S0", "M84")


def _run(board: Board, *lines: str) -> Wait:
    stops = board.stop_count
    for command in map(parse, lines):
        if board.stop_count != stops:  # a command before this one has shut the firmware down
            return
        yield from (homing.TABLE | heat_commands.TABLE)[command.code](board, command) or ()


TABLE = {"START_PRINT": start_print, "PRINT_START": start_print, "END_PRINT": end_print, "PRINT_END": end_print}
