"""Finds commands with a temperature above the printer's limits.

The firmware that reads a line is not always known, and firmwares differ. So the highest temperature that any firmware
could read in a line counts. If a parameter comes twice, some take the first and some the last. Some read further
commands in a line. Marlin 1, Sprinter, Smoothieware and RepRapFirmware read `S1e3` as 1000, Marlin 2 and Klipper as 1;
firmware with newlib's strtof reads `S0x3E7`. RepRapFirmware takes lists (`S200:210`) and expressions (`S{190+10}`).
"""

import ast
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping

from gcode.command import COMMENT, TEXT_COMMANDS, m_code
from gcode.frozen import frozen

PLAIN = re.compile(rb"(?:G0?[0-3](?!\d)|T)[^GgMm]*\Z").match
"""Recognises nearly all lines of a print quickly as harmless: a move or a tool, and no further command."""

_OVERSHOOT = 15.0  # °C of a firmware's own limit above the highest target: Marlin's HOTEND_OVERSHOOT

_MAX_SHOWN = 96  # characters of a command in a message

_MAX_PARAMETERS = 256  # bytes after a heating code; longer ones are not parsed, and count as too hot

_HOTEND, _BED, _CHAMBER, _LIMIT = "hotend", "bed", "chamber", "limit"

# Code → letters of its temperature parameters → what they heat.
_OF_HOTEND, _OF_BED, _OF_CHAMBER = ({"S": heated, "R": heated} for heated in (_HOTEND, _BED, _CHAMBER))
_TARGETS: Mapping[str, Mapping[str, str]] = {
    "M104": {**_OF_HOTEND, "B": _HOTEND}, "M109": {**_OF_HOTEND, "B": _HOTEND},  # B: the highest of AUTOTEMP
    "M140": _OF_BED, "M190": _OF_BED,
    "M141": _OF_CHAMBER, "M191": _OF_CHAMBER,
    "M143": {"S": _LIMIT},  # the highest temperature that the firmware allows
    "M145": {"H": _HOTEND, "B": _BED, "C": _CHAMBER},  # what `M104 I0` takes
    "M303": _OF_HOTEND,
    "M568": _OF_HOTEND, "G10": _OF_HOTEND,
    "M600": {"R": _HOTEND},  # to resume with
    "G26": {"H": _HOTEND, "B": _BED},
}  # fmt: skip
_TEXT = m_code(486, *(int(code[1:]) for code in TEXT_COMMANDS))  # M486 has the name of an object
_NUMBER = rb"(?:0x[0-9a-f]+|(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf|nan)"
_COMMAND = re.compile(rb"([GM])[\s+]*(%s)((?:[^GM{]|\{[^}]*\}?)*)" % _NUMBER, re.IGNORECASE)
_WORD = re.compile(rb"([A-Z])[\s=\"'(+]*(?:\{([^}]*)|(%s(?::%s)*))" % (_NUMBER, _NUMBER), re.IGNORECASE)
_EACH = re.compile(_NUMBER.decode(), re.IGNORECASE)
_BED_TUNED = re.compile(rb"E\s*-", re.IGNORECASE)
_COORDINATES = re.compile(rb"L\s*\d", re.IGNORECASE)  # G10 L2: an origin, not a temperature

# Klipper's commands are names; Smoothieware has a console command: `set_temp hotend 200`.
_NAMED = re.compile(r"[A-Z_][A-Z_]\w*", re.IGNORECASE)
_PARAMETER = re.compile(r"\b(\w+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|(\S*))")
_SET_TEMP = re.compile(r"set_temp\s+(\w+)\s+(\S+)", re.IGNORECASE)
_OF_HEATERS = frozenset({"SET_HEATER_TEMPERATURE", "PID_CALIBRATE", "MPC_CALIBRATE", "TEMPERATURE_WAIT"})
_IS_TEMPERATURE = re.compile(r"TEMP(?:ERATURE)?S?(?![A-Z])")  # but not TEMPLATE
_TEMPERATURES = frozenset({
    "EXTRUDER", "HOTEND", "NOZZLE", "TOOL", "BED", "HEATBED", "HEATERBED", "CHAMBER", "TARGET", "HEATER",
})  # fmt: skip

_ARITHMETIC = re.compile(r"[\d.+*/()\s-]{1,100}")
_OPERATORS: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip


@frozen
class _HeatRequest:
    """A temperature that a command sets.

    Attributes:
        heats: what it heats.
        target: in °C.
        sure: `target` is certain; otherwise it is only the highest number in an expression.
    """

    heats: str
    target: float
    sure: bool = True


def excess(command: bytes, hotend: float, bed: float, chamber: float | None = None) -> str | None:
    """Return a sentence about the first temperature of a command that is too high; None: none is too high.

    Args:
        command: one clean line.
        hotend: the highest target of a hotend, in °C.
        bed: the highest target of the bed, in °C.
        chamber: the highest target of the chamber, in °C; None: that of the bed.
    """
    limits = {_HOTEND: hotend, _BED: bed, _CHAMBER: bed if chamber is None else chamber, _LIMIT: hotend + _OVERSHOOT}
    for request in _requests(command):
        limit = limits[request.heats]
        if not request.target <= limit:  # so NaN is too hot
            if request.heats == _LIMIT:
                return (
                    f"{_shorten(command)} sets the firmware's limit to {request.target:g} °C, but the profile allows "
                    f"{hotend:g} °C, and {_OVERSHOOT:g} °C more for that limit"
                )
            return f"{_shorten(command)} asks for {request.target:g} °C, but the profile allows {limit:g} °C"
    return None


def doubt(command: bytes, hotend: float, bed: float, chamber: float) -> str | None:
    """Return a sentence about why a command may be too hot although `excess` finds nothing; None: no reason.

    A macro may do anything with its parameters, and only the firmware can evaluate an expression.
    """
    if any(not request.sure for request in _requests(command)):
        return f"{_shorten(command)} asks for a temperature that only the firmware can work out"
    limits = {_HOTEND: hotend, _BED: bed, _CHAMBER: chamber}
    name = _NAMED.match(command.decode())
    for parameter, value in _parameters(command.decode()) if name else ():
        if _IS_TEMPERATURE.search(parameter) or parameter.strip("_0123456789").replace("_", "") in _TEMPERATURES:
            limit = limits[_heated_part(parameter)]
            if not _klipper_number(value) <= limit:
                return f"{_shorten(command)}: {parameter} is above the {limit:g} °C that the profile allows"
    return None


def named_target(command: bytes) -> tuple[str, float, bool] | None:
    """Return heater (`tool0`, `bed`, `chamber`), target in °C and whether it waits, for Klipper's named commands."""
    text = command.decode()
    name = _NAMED.match(text)
    if name is None or name[0].upper() not in ("SET_HEATER_TEMPERATURE", "TEMPERATURE_WAIT"):
        return None
    words, waits = dict(_parameters(text)), name[0].upper() == "TEMPERATURE_WAIT"
    heater = words.get("SENSOR" if waits else "HEATER", "").lower()
    target = _klipper_number(words.get("MINIMUM" if waits else "TARGET", "0"))
    if not math.isfinite(target) or (waits and "MINIMUM" not in words):
        return None
    if tool := re.fullmatch(r"extruder(\d{0,2})", heater):
        return f"tool{int(tool[1] or 0)}", target, waits
    if "bed" in heater or "chamber" in heater:
        return _heated_part(heater), target, waits
    return None


def _shorten(command: bytes) -> str:
    text = command.decode()
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


def _requests(command: bytes) -> Iterator[_HeatRequest]:
    if _TEXT.match(command):
        return
    yield from _requests_in_codes(command)
    if b"(" in command:  # to some firmwares a comment
        yield from _requests_in_codes(COMMENT.sub(b"", command))
    if b"{" in command:  # to most firmwares nothing
        yield from _requests_in_codes(command.replace(b"{", b" "))
    if _NAMED.match(text := command.decode()):
        yield from _requests_in_names(text)


def _requests_in_codes(command: bytes) -> Iterator[_HeatRequest]:
    for letter, number, words in _COMMAND.findall(command):
        code = f"{letter.decode().upper()}{_code_number(number.decode())}"
        heated = _TARGETS.get(code)
        if heated is None or (code == "G10" and _COORDINATES.search(words)):
            continue
        if len(words) > _MAX_PARAMETERS:
            yield from (_HeatRequest(heats, math.inf) for heats in heated.values())
            continue
        tunes_bed = code == "M303" and _BED_TUNED.search(words)  # E-1 is the bed, E-2 the chamber
        for word, expression, numbers in _WORD.findall(words):
            heats = (_OF_BED if tunes_bed else heated).get(word.decode().upper())
            if heats is None:
                continue
            if numbers:
                yield from (_HeatRequest(heats, _c_number(each)) for each in numbers.decode().split(":"))
            else:
                yield from _requests_in_expression(heats, expression.decode())


def _requests_in_expression(heats: str, expression: str) -> Iterator[_HeatRequest]:
    for part in re.split("[,:]", expression):
        value = _calculate(part)
        if value is not None:
            yield _HeatRequest(heats, value)
        else:
            yield _HeatRequest(heats, max(map(_c_number, _EACH.findall(part)), default=0.0), sure=False)


def _requests_in_names(text: str) -> Iterator[_HeatRequest]:
    if match := _SET_TEMP.match(text):
        yield _HeatRequest(_heated_part(match[1]), _klipper_number(match[2]))
    name, _, _ = text.partition(" ")
    words = dict(_parameters(text))
    heater = words.get("HEATER") or words.get("SENSOR") or ""
    if heater or name.upper() in _OF_HEATERS:
        yield from (
            _HeatRequest(_heated_part(heater), _klipper_number(words[each]))
            for each in ("TARGET", "MINIMUM")
            if each in words
        )


def _parameters(text: str) -> Iterator[tuple[str, str]]:
    for name, *values in _PARAMETER.findall(text):
        yield name.upper(), "".join(values).strip()


def _heated_part(name: str) -> str:
    """Return what a heater of this name heats."""
    lowered = name.lower()
    return _BED if "bed" in lowered else _CHAMBER if "chamber" in lowered else _HOTEND


def _code_number(number: str) -> int:
    value = _c_number(number)
    return int(value) if value < 1e6 else -1  # noqa: PLR2004 - no code has so many digits


def _c_number(number: str) -> float:
    """Return a number as C reads it; NaN counts as infinite."""
    if number[:2].lower() == "0x":
        return float(int(number, 16)) if len(number) < 18 else math.inf  # noqa: PLR2004 - more than any limit
    value = float(number)
    return math.inf if math.isnan(value) else value


def _klipper_number(text: str) -> float:
    """Return a number as Klipper reads it, by Python's rules; 0 for other texts, which Klipper refuses."""
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return math.inf if math.isnan(value) else value


def _calculate(expression: str) -> float | None:
    """Return the value of an expression of plain numbers; None: it has anything else in it."""
    if not _ARITHMETIC.fullmatch(expression):
        return None
    try:
        return _evaluate(ast.parse(expression.strip(), mode="eval").body)
    except (SyntaxError, ZeroDivisionError, OverflowError, ValueError):
        return None


def _evaluate(node: ast.expr) -> float:
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_evaluate(node.left), _evaluate(node.right))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _evaluate(node.operand)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    raise ValueError(ast.dump(node))
