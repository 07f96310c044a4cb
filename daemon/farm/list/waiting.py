"""Why is a job waiting? In sentences for people. Pure."""

from collections.abc import Callable, Mapping

from daemon.farm.list.words import FarmJob
from daemon.farm.messages import AWAY, Presence

NAMED = 4
"""Printers that are named one by one; the others are counted."""

Clock = Callable[[float], str]
"""Writes a moment as people read it: "14:20"."""


def why(
    job: FarmJob,
    printers: Mapping[str, Presence],
    refused: Mapping[str, list[tuple[str, str]]],
    before: int,
    now: float,
    clock: Clock,
) -> list[str]:
    """Return why no copy of this job begins now; nothing where none waits.

    Args:
        job: with its counts.
        printers: all that are known, also those that are away.
        refused: of each of them, what keeps it from this job, as `matching.reasons` says it.
        before: copies ahead of it that fit a printer that it fits too.
        now: Unix time.
        clock: writes a moment.
    """
    if job.site:
        return [f"the site {job.site} has it"]
    if not job.counts.get("waiting"):
        return []
    if job.held:
        since = f" since {clock(job.held_at)}" if job.held_at is not None else ""
        return [f"on hold{since}{f' by {job.held_by}' if job.held_by else ''}"]
    if not printers:
        return ["no printer has joined the farm"]
    fitting = [name for name, found in refused.items() if not found]
    if not fitting:
        return _no_fit(job, refused)
    ready = [name for name in fitting if _is_there(printers[name], now) and printers[name].ready]
    if not ready:
        return [_not_ready(job, {name: printers[name] for name in fitting}, now, clock)]
    if before:
        return [f"{_count(before, 'copy is', 'copies are')} before it"]
    return [f"it is next: {_named(ready)} {'is' if len(ready) == 1 else 'are'} about to take it"]


def _no_fit(job: FarmJob, refused: Mapping[str, list[tuple[str, str]]]) -> list[str]:
    """Say what no printer has; else, printer by printer, what is in the way."""
    candidates = {
        name: found for name, found in refused.items() if not {"printer", "group"} & {what for what, _ in found}
    }
    if not candidates:
        if job.printers:
            return [f"none of its printers ({', '.join(job.printers)}) has joined the farm" + _in_group(job)]
        return [f"no printer is in group {job.group}"]
    whose = f"no printer{_of_group(job)}" if not job.printers else f"none of its printers ({', '.join(job.printers)})"
    wishes = {
        "material": f"{whose} has {job.material} loaded",
        "colour": f"{whose} has filament of the colour {job.colour}",
        "nozzle": f"{whose} has a nozzle of {job.nozzle_mm:g} mm",
        "volume": f"{whose} is large enough",
        "temperature": f"{whose} gets hot enough",
        "declined": f"{whose} takes it",
    }
    lacks = {
        "material": f"not {job.material}",
        "colour": f"not {job.colour}",
        "nozzle": f"no {job.nozzle_mm:g} mm nozzle",
        "volume": "too small",
        "temperature": "not hot enough",
        "declined": "declined it",
    }
    for what, sentence in wishes.items():
        texts = [text for found in candidates.values() for kind, text in found if kind == what]
        if len(texts) == len(candidates):
            return [f"{sentence}: {_listed(texts)}"]
    texts = [f"{name}: {' and '.join(lacks[kind] for kind, _ in found)}" for name, found in candidates.items()]
    return [f"{whose} fits: {_listed(texts)}"]


def _not_ready(job: FarmJob, fitting: Mapping[str, Presence], now: float, clock: Clock) -> str:
    texts = [f"{name} {_busy(each, now, clock)}" for name, each in fitting.items()]
    if job.printers:
        return f"none of its printers is ready: {_listed(texts)}"
    fits = " that fits" if len(fitting) else ""
    return f"no printer{_of_group(job)}{fits} is ready: {_listed(texts)}"


def _busy(presence: Presence, now: float, clock: Clock) -> str:
    if not _is_there(presence, now):
        return f"is away since {clock(presence.at)}"
    if presence.on_hold:
        return "is on hold"
    if presence.remaining_s is not None and presence.file:
        return f"prints until about {clock(now + presence.remaining_s)}"
    if presence.file:
        return "prints"
    if not presence.bed_clear and presence.state.startswith("Operational"):
        return "waits for its bed to be cleared"
    return f"is not ready ({presence.reason or presence.state or 'it does not say why'})"


def _is_there(presence: Presence, now: float) -> bool:
    return now - presence.at <= AWAY


def _of_group(job: FarmJob) -> str:
    return f" of group {job.group}" if job.group else ""


def _in_group(job: FarmJob) -> str:
    return f", or is in group {job.group}" if job.group else ""


def _listed(texts: list[str]) -> str:
    shown = texts[:NAMED]
    if len(texts) > NAMED:
        shown.append(f"and {len(texts) - NAMED} more")
    return ", ".join(shown)


def _named(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:NAMED][:-1])} or {names[:NAMED][-1]}"


def _count(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"
