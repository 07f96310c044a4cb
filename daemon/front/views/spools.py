"""Warnings about Spoolman's spools, from the companion `notify`: too little filament, or another material. Pure."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_METRE = 1000
_MAX_NAME = 80


def warnings(filament: Mapping[str, Mapping[str, Any]], state: Mapping[str, Any] | None) -> list[str]:
    """Return warnings about printing a file with the spools that are on the tools.

    Args:
        filament: the filament of each tool, from `gcodeAnalysis`.
        state: the companion's latest state.
    """
    spoolman = (state or {}).get("spoolman")
    tools = spoolman.get("tools") if isinstance(spoolman, Mapping) else None
    if not isinstance(tools, Sequence):
        return []
    return [text for each in tools if isinstance(each, Mapping) for text in _of_tool(each, filament)]


def _of_tool(entry: Mapping[str, Any], filament: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    spool, tool = entry.get("spool"), entry.get("tool")
    use = filament.get(f"tool{tool}")
    if not isinstance(spool, Mapping) or use is None:
        return
    name = f"spool {spool.get('id')} ({str(spool.get('name') or '?')[:_MAX_NAME]})"
    left, needed = spool.get("left_length"), use.get("length")
    if _is_length(left) and _is_length(needed) and needed > left:  # type: ignore[operator]  # both are numbers
        yield f"T{tool} needs {needed / _METRE:.1f} m, but {name} has {left / _METRE:.1f} m left"  # type: ignore[operator]  # as above
    expected, actual = use.get("type"), spool.get("material")
    if isinstance(expected, str) and isinstance(actual, str) and not _may_be_same(expected, actual):
        yield f"T{tool} prints {expected[:_MAX_NAME]}, but {name} is {actual[:_MAX_NAME]}"


def _is_length(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _may_be_same(one: str, other: str) -> bool:
    """Tell whether two names may mean the same material, like PLA and PLA+, but not PLA and PETG."""
    first, second = ("".join(filter(str.isalnum, each)).casefold() for each in (one, other))
    return first.startswith(second) or second.startswith(first)
