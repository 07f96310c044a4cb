"""What Spoolman's spools mean for a file, as the companion `notify` tells of them: whether there is enough. Pure."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_METRE = 1000
_LONGEST = 80


def warnings(filament: Mapping[str, Mapping[str, Any]], state: Mapping[str, Any] | None) -> list[str]:
    """Return what speaks against printing a file with the spools that are on the tools.

    Args:
        filament: what each tool uses, as `gcodeAnalysis` has it.
        state: what the companion has said last.
    """
    spoolman = (state or {}).get("spoolman")
    tools = spoolman.get("tools") if isinstance(spoolman, Mapping) else None
    if not isinstance(tools, Sequence):
        return []
    return [text for each in tools if isinstance(each, Mapping) for text in _of_tool(each, filament)]


def _of_tool(told: Mapping[str, Any], filament: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    spool, tool = told.get("spool"), told.get("tool")
    use = filament.get(f"tool{tool}")
    if not isinstance(spool, Mapping) or use is None:
        return
    name = f"spool {spool.get('id')} ({str(spool.get('name') or '?')[:_LONGEST]})"
    left, needed = spool.get("left_length"), use.get("length")
    if _is_length(left) and _is_length(needed) and needed > left:  # type: ignore[operator]  # both are numbers
        yield f"T{tool} needs {needed / _METRE:.1f} m, and {name} has {left / _METRE:.1f} m left"  # type: ignore[operator]  # as above
    wanted, there = use.get("type"), spool.get("material")
    if isinstance(wanted, str) and isinstance(there, str) and not _same(wanted, there):
        yield f"T{tool} is to print {wanted[:_LONGEST]}, and {name} is {there[:_LONGEST]}"


def _is_length(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _same(one: str, other: str) -> bool:
    """Tell whether two names mean one material: PLA and PLA+ may, PLA and PETG do not."""
    first, second = ("".join(filter(str.isalnum, each)).casefold() for each in (one, other))
    return first.startswith(second) or second.startswith(first)
