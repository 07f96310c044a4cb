"""Which printers fit a job, and why the others do not. Pure.

Material, colour and nozzle must match what users entered for the printer: no sensor knows them. Volume and temperature
rule out a printer only if they are certainly too small or too low: the printer checks them again before a start.
"""

import math
from collections.abc import Iterator

from daemon.farm.list.values import Decline, FarmJob, ListValue
from daemon.farm.messages import Presence, Tool

PURGE_MM = 10.0
"""Allowed beyond the bed in X and Y, for a purge line; the printer's own checks see the exact positions."""

NOZZLE_TOLERANCE_MM = 0.005
"""Two nozzles that differ by no more than this are the same."""


class Kind(ListValue, frozen=True):
    """The group and tools that jobs require, as `fold` returns them. Jobs of one kind are read together."""

    id: int
    material: str
    colour: str
    nozzle_mm: float
    group: str


def fold(text: str) -> str:
    """Return a material, colour or group in the form for comparisons: "PLA " becomes "pla"."""
    return " ".join(text.split()).casefold()


def fits_kind(kind: Kind, presence: Presence) -> bool:
    """Tell whether a printer's group and tools meet the requirements of a kind."""
    if kind.group and kind.group != fold(presence.group):
        return False
    first, *others = materials(kind.material) or [""]
    if others and not {*others} <= {fold(tool.material) for tool in presence.tools}:
        return False
    if not (first or kind.colour or kind.nozzle_mm):
        return True
    return any(_fits_tool(kind, first, tool) for tool in presence.tools)


def materials(text: str) -> list[str]:
    """Return the required materials, folded: "PLA; PVA" is two, and both must be loaded."""
    return [part for each in text.split(";") if (part := fold(each))]


def _fits_tool(kind: Kind, material: str, tool: Tool) -> bool:
    return (
        (not material or material == fold(tool.material))
        and (not kind.colour or kind.colour == fold(tool.colour))
        and (not kind.nozzle_mm or has_nozzle(kind.nozzle_mm, tool))
    )


def has_nozzle(diameter_mm: float, tool: Tool) -> bool:
    """Tell whether a tool has this nozzle."""
    return math.isclose(diameter_mm, tool.nozzle_mm, abs_tol=NOZZLE_TOLERANCE_MM)


def kind_misfits(job: FarmJob, printer: str, presence: Presence) -> Iterator[tuple[str, str]]:
    """Yield the misfits in name, group and tools. Jobs of one kind that name the same printers share these misfits."""
    if job.printers and printer not in job.printers:
        yield "printer", f"{printer} is not among its printers ({', '.join(job.printers)})"
    if job.group and fold(job.group) != fold(presence.group):
        yield "group", f"{printer} is not in group {job.group}"
    yield from _tool_misfits(job, printer, presence.tools)


def decline_misfit(decline: Decline) -> tuple[str, str]:
    """Return a decline as a misfit."""
    return "declined", f"{decline.printer} declined it: {decline.reason}"


def fits_machine(job: FarmJob, printer: str, presence: Presence) -> bool:
    """Tell whether a printer that fits the job's kind also fits in name, size and temperature."""
    is_allowed = not job.printers or printer in job.printers
    return is_allowed and next(machine_misfits(job, printer, presence), None) is None


def _tool_misfits(job: FarmJob, printer: str, tools: list[Tool]) -> Iterator[tuple[str, str]]:
    """Yield each requirement that no tool meets.

    A requirement is checked only with the tools that meet the earlier ones, if there are such tools.
    """
    if needed := materials(job.material):
        if not {*needed} <= {fold(tool.material) for tool in tools}:
            loaded = _join_words({tool.material for tool in tools})
            yield "material", f"{printer} has {loaded}" if loaded else f"{printer} does not say what is loaded"
        tools = [tool for tool in tools if fold(tool.material) == needed[0]] or tools
    if job.colour:
        matching = [tool for tool in tools if fold(tool.colour) == fold(job.colour)]
        if not matching:
            loaded = _join_words({tool.colour for tool in tools})
            yield "colour", f"{printer} has {loaded}" if loaded else f"{printer} does not say which colour is loaded"
        tools = matching or tools
    if job.nozzle_mm and not any(has_nozzle(job.nozzle_mm, tool) for tool in tools):
        nozzles = _join_words({f"{tool.nozzle_mm:g}" for tool in tools if tool.nozzle_mm})
        yield "nozzle", f"{printer} has {nozzles} mm" if nozzles else f"{printer} does not say which nozzle it has"


def _join_words(words: set[str]) -> str:
    return " and ".join(sorted(words - {""}))


def machine_misfits(job: FarmJob, printer: str, presence: Presence) -> Iterator[tuple[str, str]]:
    """Yield the misfits in size and temperature, which printers of one model share."""
    if job.extent and presence.size:
        for axis, needs, has in zip("XYZ", job.extent, presence.size, strict=True):
            if needs > has + (0.0 if axis == "Z" else PURGE_MM):
                yield "volume", f"it needs {needs:.0f} mm in {axis}, and {printer} has {has:.0f} mm"
                break
    if job.hottest > presence.hottest > 0:
        yield "temperature", f"it needs {job.hottest:.0f} °C, and {printer}'s hotend reaches {presence.hottest:.0f} °C"
