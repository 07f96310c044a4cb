"""Jobs, copies and printers as clients see them."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from daemon.farm.http.seams import FarmPrinters
from daemon.farm.list.values import BEGUN_STATES, COPY_STATES, CopyState, FarmCopy, FarmJob, JobState
from daemon.farm.messages import Heat, Presence, Tool


class CopyView(msgspec.Struct, frozen=True, kw_only=True):
    """A copy.

    Attributes:
        orphan: the copy has begun and its printer is silent, so a user has to settle it.
    """

    id: str
    job: str
    number: int
    state: CopyState
    parent: str
    printer: str
    cancelling: bool
    orphan: bool
    attempt: int
    reason: str
    since: float
    begun: float | None
    ended: float | None
    seconds: float
    filament_mm: float
    job_name: str = ""


class FarmJobView(msgspec.Struct, frozen=True, kw_only=True):
    """A job.

    Attributes:
        counts: number of copies by state, and their `total`.
        why: why no copy of it begins now, in sentences.
    """

    id: str
    number: int
    name: str
    sha256: str
    state: JobState
    created: float
    revision: int
    size: int
    by: str
    copies: int
    material: str
    colour: str
    nozzle_mm: float
    group: str
    printers: tuple[str, ...]
    priority: int
    due: float | None
    notes: str
    held: bool
    held_by: str
    held_at: float | None
    seconds: float
    filament_mm: float
    hottest: float
    extent: tuple[float, float, float] | None
    site: str
    counts: dict[str, int]
    why: list[str] = []


class WholeJob(FarmJobView, frozen=True, kw_only=True):
    """A job with its copies; `copies` is the requested number."""

    copy_list: list[CopyView]


class PrinterView(msgspec.Struct, frozen=True, kw_only=True):
    """A printer.

    Attributes:
        state: text of the state, as in OctoPrint's API; "Away" if the printer is silent.
        reason: why it takes no copy; empty: it is ready.
        heard: Unix time of its last presence, in s; None: it has sent none since the server started.
        url: of its own page.
        holds: id of its copy, according to the list; `orphan`: that copy has begun, and the printer is silent.
    """

    id: str
    name: str
    group: str
    state: str
    ready: bool
    reason: str
    away: bool
    heard: float | None
    on_hold: bool
    bed_clear: bool
    file: str
    progress: float | None
    remaining_s: float | None
    heaters: dict[str, Heat]
    tools: list[Tool]
    size: tuple[float, float, float] | None
    hottest: float
    camera: bool
    url: str
    version: str
    holds: str = ""
    job: str = ""
    copy_state: CopyState | None = None
    orphan: bool = False
    cancelling: bool = False


def copy_view(copy: FarmCopy, printers: FarmPrinters, job_name: str = "", *, site: str = "") -> CopyView:
    """Return the view of a copy; `site` is the site that has its job, whose printers are not among `printers`."""
    return CopyView(
        id=copy.id,
        job=copy.job,
        number=copy.number,
        state=copy.state,
        parent=copy.parent,
        printer=copy.printer,
        cancelling=copy.wish == "cancel" and copy.state in BEGUN_STATES,
        orphan=not site and is_orphan(copy, printers),
        attempt=copy.attempt,
        reason=copy.reason,
        since=copy.since,
        begun=copy.begun,
        ended=copy.ended,
        seconds=copy.seconds,
        filament_mm=copy.filament_mm,
        job_name=job_name,
    )


def is_orphan(copy: FarmCopy, printers: FarmPrinters) -> bool:
    """Tell whether a copy has begun at a printer that is silent now."""
    return copy.state in BEGUN_STATES and (copy.printer not in printers.presences or printers.is_away(copy.printer))


def job_view(job: FarmJob, why: Iterable[str] = ()) -> FarmJobView:
    """Return the view of a job."""
    return FarmJobView(**_common_fields(job), why=list(why))


def whole_job(job: FarmJob, why: list[str], copies: list[CopyView]) -> WholeJob:
    """Return the view of a job with its copies."""
    return WholeJob(**_common_fields(job), why=why, copy_list=copies)


def _common_fields(job: FarmJob) -> dict[str, Any]:
    common = {name: getattr(job, name) for name in FarmJobView.__struct_fields__ if name not in ("why", "counts")}
    counts = {state: job.counts.get(state, 0) for state in COPY_STATES}
    return {**common, "counts": {**counts, "total": sum(counts.values())}}


def printer_views(printers: FarmPrinters, held: Iterable[FarmCopy], now: float) -> dict[str, PrinterView]:
    """Return the views of all printers, by id."""
    holding: Mapping[str, FarmCopy] = {copy.printer: copy for copy in held}
    return {
        name: printer_view(name, presence, printers, holding.get(name), now)
        for name, presence in sorted(printers.presences.items())
    }


def printer_view(
    name: str, presence: Presence, printers: FarmPrinters, held: FarmCopy | None, now: float
) -> PrinterView:
    """Return the view of a printer."""
    away, ago = printers.is_away(name), printers.silence_of(name)
    ready = presence.ready and not away
    return PrinterView(
        id=name,
        name=presence.name or name,
        group=presence.group,
        state="Away" if away else presence.state,
        ready=ready,
        reason="" if ready else _why_not_ready(presence, away=away, ago=ago),
        away=away,
        heard=None if ago is None else round(now - ago),
        on_hold=presence.on_hold,
        bed_clear=presence.bed_clear,
        file=presence.file,
        progress=presence.progress,
        remaining_s=presence.remaining_s,
        heaters=presence.heaters,
        tools=presence.tools,
        size=presence.size,
        hottest=presence.hottest,
        camera=presence.camera,
        url=presence.url,
        version=presence.version,
        holds="" if held is None else held.id,
        job="" if held is None else held.job,
        copy_state=None if held is None else held.state,
        orphan=held is not None and is_orphan(held, printers),
        cancelling=held is not None and held.wish == "cancel",
    )


def _why_not_ready(presence: Presence, *, away: bool, ago: float | None) -> str:
    if away:
        return (
            "it has not reported since the server started"
            if ago is None
            else f"it was last heard {_write_span(ago)} ago"
        )
    if presence.on_hold:
        return "it is on hold"
    return presence.reason or presence.state


def _write_span(seconds: float) -> str:
    for unit, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"
