"""Why a job waits, in sentences for users. Pure."""

from collections.abc import Callable, Mapping
from itertools import islice

from daemon.farm.list.values import FarmJob
from daemon.farm.messages import AWAY, Presence

MAX_REMAINING_S = 365 * 86_400.0
"""A time left that is longer than this, or negative, is not shown."""

MAX_NAMED = 4
"""A sentence names this many printers, and counts the others."""

Clock = Callable[[float], str]
"""Writes a date, in s since 1970, for users: "14:20"."""


def why(
    job: FarmJob,
    printers: Mapping[str, Presence],
    misfits: Mapping[str, list[tuple[str, str]]],
    before: int,
    now: float,
    clock: Clock,
    away: float = AWAY,
) -> list[str]:
    """Return why no copy of this job begins now; empty: no copy waits.

    Args:
        job: with its counts.
        printers: all printers, even those that are away.
        misfits: why each of them cannot print this job, from `matching.reasons`.
        before: number of copies ahead of it that compete for its printers.
        now: date, in s since 1970.
        clock: writes a date.
        away: seconds of silence after which a printer is away.
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
    fitting = [name for name, reasons in misfits.items() if not reasons]
    if not fitting:
        return _no_fit(job, misfits)
    ready = [name for name in fitting if _is_online(printers[name], now, away) and printers[name].ready]
    if not ready:
        return [_not_ready(job, {name: printers[name] for name in fitting}, now, clock, away)]
    if before:
        return [f"{_count(before, 'copy is', 'copies are')} before it"]
    return [f"it is next: {_named(ready)} is about to take it"]


def _no_fit(job: FarmJob, misfits: Mapping[str, list[tuple[str, str]]]) -> list[str]:
    """Return the requirement that no printer meets; if there is none, the misfits of each printer."""
    candidates = {
        name: reasons
        for name, reasons in misfits.items()
        if not {"printer", "group"} & {requirement for requirement, _ in reasons}
    }
    if not candidates:
        if job.printers:
            return [f"none of its printers ({', '.join(job.printers)}) has joined the farm" + _in_group(job)]
        return [f"no printer is in group {job.group}"]
    whose = f"no printer{_of_group(job)}" if not job.printers else f"none of its printers ({', '.join(job.printers)})"
    sentences = {
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
    for requirement, sentence in sentences.items():
        texts = [text for reasons in candidates.values() for each, text in reasons if each == requirement]
        if len(texts) == len(candidates):
            return [f"{sentence}: {_listed(texts)}"]
    texts = [
        f"{name}: {' and '.join(lacks[requirement] for requirement, _ in reasons)}"
        for name, reasons in candidates.items()
    ]
    return [f"{whose} fits: {_listed(texts)}"]


def _not_ready(job: FarmJob, fitting: Mapping[str, Presence], now: float, clock: Clock, away: float) -> str:
    shown = islice(fitting.items(), MAX_NAMED)  # there may be thousands
    texts = _listed([f"{name} {_busy(each, now, clock, away)}" for name, each in shown], len(fitting))
    if job.printers:
        return f"none of its printers is ready: {texts}"
    return f"no printer{_of_group(job)} that fits is ready: {texts}"


def _busy(presence: Presence, now: float, clock: Clock, away: float) -> str:
    if not _is_online(presence, now, away):
        return f"has been away since {clock(presence.at)}"
    if presence.on_hold:
        return "is on hold"
    if presence.file and presence.remaining_s is not None and 0 <= presence.remaining_s <= MAX_REMAINING_S:
        return f"prints until about {clock(now + presence.remaining_s)}"
    if presence.file:
        return "prints"
    if not presence.bed_clear and presence.state.startswith("Operational"):
        return "waits for its bed to be cleared"
    return f"is not ready ({presence.reason or presence.state or 'it does not say why'})"


def _is_online(presence: Presence, now: float, away: float) -> bool:
    return now - presence.at <= away


def _of_group(job: FarmJob) -> str:
    return f" of group {job.group}" if job.group else ""


def _in_group(job: FarmJob) -> str:
    return f", or is in group {job.group}" if job.group else ""


def _listed(texts: list[str], count: int = 0) -> str:
    """Return the first texts of many, and how many more there are; `count`: of all, if `texts` are not all."""
    shown, count = texts[:MAX_NAMED], max(count, len(texts))
    if count > MAX_NAMED:
        shown.append(f"and {count - MAX_NAMED} more")
    return ", ".join(shown)


def _named(names: list[str]) -> str:
    more = len(names) - MAX_NAMED
    *shown, last = names if more <= 1 else [*names[:MAX_NAMED], f"one of {more} more"]
    return f"{', '.join(shown)} or {last}" if shown else last


def _count(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"
