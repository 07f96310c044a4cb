"""The tables of docs/firmware.md that follow from the dialects' data."""

from collections.abc import Callable

from gcode.dialect import DIALECTS, UNKNOWN
from gcode.firmware_traits import Dialect


def _line(each: Dialect) -> str:
    return "no limit" if each.max_line is None else str(each.max_line)


def _numbers(each: Dialect) -> str:
    if not each.counts_lines:
        return "none"
    if not each.enforces_order:
        return "checksum only"
    return f"modulo {each.counting.modulo}" if each.counting.modulo else "enforced"


def _ok(each: Dialect) -> str:
    moves = f", moves on {each.moves_ok_at}" if each.moves_ok_at != each.ok_at else ""
    return each.ok_at + moves


def _rest(each: Dialect) -> str:
    return f"`{' '.join(command.decode() for command in each.rest_commands)}`: {each.rest_sign}"


def _texts(each: Dialect) -> str:
    if each.texts.all_left_out:
        return "not sent"
    shown = " ".join(f"`{sign}`" for sign in each.texts.end_characters + each.texts.command_letters)
    return shown or "-"


def _degrees(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def _command(value: bytes | None) -> str:
    return "-" if value is None else f"`{value.decode()}`"


def _words(words: frozenset[str]) -> str:
    return " ".join(sorted(words, key=lambda word: float(word[1:]))) or "-"


E_MODES = {
    "last": "the last of G90, G91, M82, M83",
    "either": "G91 or M83",
    "own": "M83",
}
LINES: dict[str, Callable[[Dialect], str]] = {
    "firmware": lambda each: each.name,
    "lines in flight": lambda each: str(each.window_lines),
    "longest line": _line,
    "line numbers": _numbers,
    "`ok` at": _ok,
    "at rest after": _rest,
    "E is relative by": lambda each: E_MODES[each.e_mode],
    "replaced in texts": _texts,
}
HEAT: dict[str, Callable[[Dialect], str]] = {
    "firmware": lambda each: each.name,
    "least extrusion temperature, °C": lambda each: _degrees(each.heat.min_extrude),
    "own safety timer, s": lambda each: _degrees(each.idle.safety_timer),
    "timer set by": lambda each: _command(each.idle.timer_command),
    "R waits for cooling": lambda each: "yes" if each.heat.reads_r else "no",
    "S waits for cooling": lambda each: "yes" if each.heat.s_waits_for_cooling else "no",
    "residency, s": lambda each: f"{each.heat.residency:g}",
    "ends its own pause": lambda each: _command(each.resume_command),
}
STOPS: dict[str, Callable[[Dialect], str]] = {
    "firmware": lambda each: each.name,
    "halted, answers": lambda each: "`ok`" if each.errors.acknowledges_halted else "nothing, or an error",
    "revived by": lambda each: _command(each.errors.revival) if each.errors.revival else "a reset",
    "urgent commands": lambda each: _words(each.urgent_words),
    "… with EMERGENCY_PARSER": lambda each: _words(each.urgent_if_parser),
    "confirms M112": lambda each: "no" if each.silent_stop else "yes",
}


def table(columns: dict[str, Callable[[Dialect], str]]) -> str:
    """Return a table with a row for each dialect."""
    rows = [list(columns), ["---"] * len(columns)]
    rows += [[tell(each) for tell in columns.values()] for each in (*DIALECTS, UNKNOWN)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"
