"""The G-code for requests to move, home, extrude and heat. Pure: JSON values in, commands out.

Clients are not trusted: each value is checked, and reaches the printer only as a plain number.
"""

import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

from daemon.config import ProfileConfig
from daemon.http.errors import Refused
from gcode.command import parse
from gcode.errors import CommandError
from gcode.modes import Modes

AXES = ("x", "y", "z")
JOG_SPEED = {"x": 6000.0, "y": 6000.0, "z": 200.0}  # mm/min; as in OctoPrint's default profile
EXTRUDE_SPEED = 300.0  # mm/min

_MAX_MOVE = 10_000.0  # mm; more is a typing error
_RATE = (1, 999)  # percent that Marlin accepts for M220 and M221
_TOOL = re.compile(r"tool(\d{1,2})", re.ASCII)
_PLACEHOLDER = re.compile(r"%\((\w{1,40})\)[sdfi]", re.ASCII)


def jog(data: Mapping[str, Any], modes: Modes) -> list[str]:
    """Move axes by some mm or, with `absolute`, to a position; then restore the printer's modes."""
    moves = {axis: number(data[axis], axis, -_MAX_MOVE, _MAX_MOVE) for axis in AXES if data.get(axis) is not None}
    if not moves:
        raise Refused(400, "name an axis to move: x, y or z")
    speed = _speed(data, min(JOG_SPEED[axis] for axis in moves))
    words = [word(axis.upper(), value) for axis, value in moves.items()]
    move = " ".join(["G0", *words, word("F", speed)])
    positioning = "G90" if data.get("absolute") is True else "G91"
    return [*_in_millimetres([positioning, move], modes), *modes.commands_to_restore_motion()]


def home(axes: object) -> list[str]:
    """Home the named axes; an empty list homes none."""
    if not isinstance(axes, list) or any(axis not in AXES for axis in axes):
        raise Refused(400, "axes must be a list of x, y, z")
    if not axes:
        return []
    return ["G28 " + " ".join(f"{axis.upper()}0" for axis in AXES if axis in axes)]


def extrude(data: Mapping[str, Any], modes: Modes) -> list[str]:
    """Push or pull some mm of filament; then restore the printer's modes.

    In the wrong mode, the next line of a paused print could extrude far too much.
    """
    amount = number(data["amount"], "amount", -_MAX_MOVE, _MAX_MOVE)
    move = f"G1 {word('E', amount)} {word('F', _speed(data, EXTRUDE_SPEED))}"
    return [*_in_millimetres(["M83", move], modes), *modes.commands_to_restore_motion()]


def _in_millimetres(commands: list[str], modes: Modes) -> list[str]:
    """Return the commands, enclosed in G21 and G20 if the printer's units are inches.

    The printer's units have to be back before its feedrate is restored, which is in these units, too.
    """
    return ["G21", *commands, "G20"] if modes.inches else commands


def set_factor(command: str, factor: object) -> list[str]:
    """Set feedrate (M220) or flow (M221): whole numbers are percent, others a factor, as in OctoPrint."""
    low, high = _RATE
    if not isinstance(factor, int | float) or isinstance(factor, bool):
        raise Refused(400, "factor must be a number")
    percent = factor if isinstance(factor, int) else factor * 100
    if not low <= percent <= high:  # before rounding, which raises for infinity
        raise Refused(400, f"factor must be from {low} to {high} percent")
    return [f"{command} S{round(percent)}"]


def select_tool(name: object, profile: ProfileConfig, reported: Collection[str] = ()) -> list[str]:
    """Make a tool the active one."""
    return [f"T{tool_number(name, profile, reported)}"]


def heat_tools(targets: object, profile: ProfileConfig, reported: Collection[str] = ()) -> list[str]:
    """Set targets of hotends, in °C, without waiting; `reported` are the heaters that the printer reports."""
    if not isinstance(targets, dict):
        raise Refused(400, 'targets must be an object like {"tool0": 210}')
    checked = {
        tool_number(name, profile, reported): number(value, name, 0, profile.max_hotend_c)
        for name, value in targets.items()
    }
    if profile.hotends == 1 and not any(_TOOL.fullmatch(name) and name != "tool0" for name in reported):
        return [f"M104 {word('S', value)}" for value in checked.values()]
    return [f"M104 T{tool} {word('S', value)}" for tool, value in checked.items()]


def heat(command: str, target: object, limit: float) -> list[str]:
    """Set the target of bed (M140) or chamber (M141), in °C, without waiting."""
    return [f"{command} {word('S', number(target, 'target', 0, limit))}"]


def commands(data: Mapping[str, Any]) -> list[str]:
    """Return the commands in `command` or `commands`, with `%(name)s` replaced by `parameters`."""
    if ("command" in data) == ("commands" in data):
        raise Refused(400, "either command or commands must be given, not both")
    lines = data["commands"] if "commands" in data else [data["command"]]
    parameters = data.get("parameters") or {}
    if not isinstance(lines, list) or not lines or not all(isinstance(each, str) for each in lines):
        raise Refused(400, "commands must be a list of strings")
    if not isinstance(parameters, dict):
        raise Refused(400, "parameters must be an object")
    return [_PLACEHOLDER.sub(lambda match: _parameter(match[1], parameters), each).strip() for each in lines]


def _parameter(name: str, parameters: Mapping[str, Any]) -> str:
    if name not in parameters:
        raise Refused(400, f"no value for parameter {name}")
    return str(parameters[name])


def is_homing(command: str) -> bool:
    """Tell whether a command homes axes (G28)."""
    with suppress(CommandError):  # a macro, say
        return parse(command).code == "G28"
    return False


def tool_number(name: object, profile: ProfileConfig, reported: Collection[str] = ()) -> int:
    """Return the number of `tool0`, …; refuse a tool that neither the profile has nor the printer reports."""
    match = _TOOL.fullmatch(name) if isinstance(name, str) else None
    if match is None or (int(match[1]) >= profile.extruders and name not in reported):
        tools = "only tool0" if profile.extruders == 1 else f"tool0 to tool{profile.extruders - 1}"
        raise Refused(400, f"Invalid tool: {str(name)[:20]!r}; the printer has {tools}")
    return int(match[1])


def number(value: object, name: str, low: float, high: float) -> float:
    """Return a JSON number within limits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused(400, f"{name} must be a number")
    if not low <= value <= high:  # before float(), which raises for the largest integers of JSON
        raise Refused(400, f"{name} must be from {word('', low)} to {word('', high)}")
    return float(value)


def word(letter: str, value: float) -> str:
    """Format a G-code word, never with an exponent: firmware reads that as the E axis."""
    text = f"{value:.4f}".rstrip("0").rstrip(".")
    return letter + ("0" if text == "-0" else text)


def _speed(data: Mapping[str, Any], default: float) -> float:
    """Return the requested speed, in mm/min."""
    speed = data.get("speed")
    return number(speed, "speed", 1, 100_000) if speed not in (None, False) else default
