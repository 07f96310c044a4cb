"""Finds commands of a file that the firmware does not know, and what the print loses by them."""

from collections.abc import Iterable, Mapping

from gcode.dialect import Dialect

_BY_CAPABILITY = {  # a `Cap:` of M115 → commands that the firmware knows only if it reports that
    "ARCS": frozenset({"G2", "G3"}),
    "CHAMBER_TEMPERATURE": frozenset({"M141", "M191"}),
    "LEVELING_DATA": frozenset({"M420"}),
    "PROMPT_SUPPORT": frozenset({"M876"}),
    "RUNOUT": frozenset({"M412"}),
}

_ARCS = "arcs are left out: the part will have gaps"
_RETRACTION = "nothing is retracted: the part will string"
_CHANGE = "the filament is not changed"
_CHAMBER = "the chamber stays as it is"
LOSSES: Mapping[str, str] = {
    "G2": _ARCS, "G3": _ARCS, "G5": "splines are left out: the part will have gaps",
    "G10": _RETRACTION, "G11": _RETRACTION,
    "G29": "the bed is not probed",
    "M106": "the fan stays off", "M107": "the fan stays on",
    "M116": "nothing waits for heat",
    "M141": _CHAMBER, "M191": _CHAMBER,
    "M420": "the measured bed is not taken into account",
    "M600": _CHANGE, "M601": "the printer does not pause", "M701": _CHANGE, "M702": _CHANGE,
}  # fmt: skip
"""What a print loses by a command that the firmware does not know. Other unknown commands cost only a display, a limit
or a setting, or the host executes them (M0, M109, M190)."""


def unknown_to(dialect: Dialect, capabilities: Mapping[str, bool]) -> frozenset[str]:
    """Return the code words that a firmware does not know; its answer to M115 takes precedence over its dialect."""
    unknown = dialect.unknown_words
    for name, words in _BY_CAPABILITY.items():
        if name in capabilities:
            unknown = unknown - words if capabilities[name] else unknown | words
    return unknown


def losses(words: Iterable[str], dialect: Dialect, capabilities: Mapping[str, bool]) -> dict[str, str]:
    """Return those code words of a file whose loss shows in the print, with what is lost.

    The result is empty if the firmware may define them as macros: it reports a missing macro when it gets the command.
    """
    unknown = frozenset() if dialect.may_have_macros else unknown_to(dialect, capabilities)
    return {word: LOSSES[word] for word in sorted(set(words)) if word in unknown and word in LOSSES}
