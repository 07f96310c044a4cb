"""Why a job waits, in sentences for users. Pure."""

from collections.abc import Callable, Mapping
from itertools import islice

from daemon.farm.list.values import FarmJob
from daemon.farm.messages import AWAY_AFTER_S, Presence

MAX_REMAINING_S = 365 * 86_400.0
"""A time left that is longer than this, or negative, is not shown."""

MAX_NAMED = 4
"""A sentence names this many printers, and counts the others."""

WriteDate = Callable[[float], str]
"""Writes a Unix time, in s, for users: "14:20"."""


def why_job_waits(
    job: FarmJob,
    printers: Mapping[str, Presence],
    misfits: Mapping[str, list[tuple[str, str]]],
    before: int,
    now: float,
    write_date: WriteDate,
    away_s: float = AWAY_AFTER_S,
) -> list[str]:
    """Return why no copy of this job begins now; empty: no copy waits.

    Args:
        job: with its counts.
        printers: all printers, even those that are away.
        misfits: why each of them cannot print this job: the names of the requirements that it misses, each with a
            sentence, as `matching` yields them.
        before: number of copies ahead of it that compete for its printers.
        now: Unix time in s.
        write_date: writes a date.
        away_s: seconds of silence after which a printer is away.
    """
    if job.site:
        return [f"the site {job.site} has it"]
    if not job.counts.get("waiting"):
        return []
    if job.held:
        since = f" since {write_date(job.held_at)}" if job.held_at is not None else ""
        return [f"on hold{since}{f' by {job.held_by}' if job.held_by else ''}"]
    if not printers:
        return ["no printer has joined the farm"]
    fitting = [name for name, reasons in misfits.items() if not reasons]
    if not fitting:
        return _say_no_fit(job, misfits)
    ready = [name for name in fitting if _is_online(printers[name], now, away_s) and printers[name].ready]
    if not ready:
        return [_say_not_ready(job, {name: printers[name] for name in fitting}, now, write_date, away_s)]
    if before:
        return [f"{_count(before, 'copy is', 'copies are')} before it"]
    return [f"it is next: {_name_some(ready)} is about to take it"]


def _say_no_fit(job: FarmJob, misfits: Mapping[str, list[tuple[str, str]]]) -> list[str]:
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
            return [f"{sentence}: {_list_some(texts)}"]
    texts = [
        f"{name}: {' and '.join(lacks[requirement] for requirement, _ in reasons)}"
        for name, reasons in candidates.items()
    ]
    return [f"{whose} fits: {_list_some(texts)}"]


def _say_not_ready(
    job: FarmJob, fitting: Mapping[str, Presence], now: float, write_date: WriteDate, away_s: float
) -> str:
    shown = islice(fitting.items(), MAX_NAMED)  # there may be thousands
    texts = _list_some([f"{name} {_say_busy(each, now, write_date, away_s)}" for name, each in shown], len(fitting))
    if job.printers:
        return f"none of its printers is ready: {texts}"
    return f"no printer{_of_group(job)} that fits is ready: {texts}"


def _say_busy(presence: Presence, now: float, write_date: WriteDate, away_s: float) -> str:
    if not _is_online(presence, now, away_s):
        return f"has been away since {write_date(presence.at)}"
    if presence.on_hold:
        return "is on hold"
    if presence.file and presence.remaining_s is not None and 0 <= presence.remaining_s <= MAX_REMAINING_S:
        return f"prints until about {write_date(now + presence.remaining_s)}"
    if presence.file:
        return "prints"
    if not presence.bed_clear and presence.state.startswith("Operational"):
        return "waits for its bed to be cleared"
    return f"is not ready ({presence.reason or presence.state or 'it does not say why'})"


def _is_online(presence: Presence, now: float, away_s: float) -> bool:
    return now - presence.at <= away_s


def _of_group(job: FarmJob) -> str:
    return f" of group {job.group}" if job.group else ""


def _in_group(job: FarmJob) -> str:
    return f" and is in group {job.group}" if job.group else ""


def _list_some(texts: list[str], count: int = 0) -> str:
    """Return the first texts, and how many more there are; `count`: how many there are, if `texts` lacks some."""
    shown, count = texts[:MAX_NAMED], max(count, len(texts))
    if count > MAX_NAMED:
        shown.append(f"and {count - MAX_NAMED} more")
    return ", ".join(shown)


def _name_some(names: list[str]) -> str:
    more = len(names) - MAX_NAMED
    *shown, last = names if more <= 1 else [*names[:MAX_NAMED], f"one of {more} more"]
    return f"{', '.join(shown)} or {last}" if shown else last


def _count(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"
