"""The page's snapshot, in two levels such as `printer.heaters`; unknown values are None."""

from typing import TYPE_CHECKING, Any

from daemon import __version__
from daemon.bridge.words import JobState, Selection
from daemon.camera.addresses import cameras_of
from daemon.front.analysis.findings import Findings
from daemon.front.analysis.forecast import Outlook
from daemon.front.analysis.store import LearntPace
from daemon.front.history.query import HistoryQuery
from daemon.front.queue.changes import entry_as_json
from daemon.front.views import analysis
from daemon.front.views.panel import MAX_PROMPT
from daemon.front.views.status import status_of
from daemon.front.views.temperatures import is_heater, readings
from gcode.errors import NozzledError
from hal.printer import PanelPrint, Prompt

if TYPE_CHECKING:
    from daemon.front.front import Front

MAX_FAN = 255  # full speed of the part fan, in M106

_STOPPED = {True: "confirmed", False: "unconfirmed", None: None}


def describe(service: "Front", earlier_values: dict[str, Any], page: str) -> dict[str, Any]:
    """Return the snapshot by its keys, such as `printer.heaters`.

    Args:
        service: the source of the values.
        earlier_values: values that were read before: those of `file_state`, the figures, the last print.
        page: the hash of the page's files.
    """
    parts = {
        "server": _server(service, page),
        "printer": _printer(service),
        "job": _job(service),
        "link": counters_of(service),
        "profile": _profile(service),
        "queue": _queue(service),
        "settings": {"revision": _revision(service)},
        "companions": service.companions.as_json(),
    }
    flat = {f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()}
    return flat | earlier_values | _with_spools(service, earlier_values.get("analysis"))


def _with_spools(service: "Front", shown: dict[str, Any] | None) -> dict[str, Any]:
    """Return the analysis with warnings about the spools on the tools; empty if there are none."""
    if shown is None or not isinstance(shown.get("filament"), dict) or not service.companions.is_on("notify"):
        return {}
    from daemon.front.views import spools  # noqa: PLC0415 - only needed if `notify` is switched on

    more = spools.warnings(shown["filament"], service.companions.state("notify"))
    return {"analysis": {**shown, "warnings": [*shown["warnings"], *more]}} if more else {}


def file_state(findings: Findings | None, selected: Selection | None, learnt: LearntPace) -> dict[str, Any]:
    """Return the part of the snapshot about the selected file."""
    if findings is None or selected is None:
        return {"analysis": None, "thumbnail": None, "toolpath": None}
    shown = analysis.of_findings(findings, selected.path)
    shown |= {"duration": analysis.estimate(findings, learnt)["estimatedPrintTime"]}
    picture = analysis.thumbnail_path(selected.path) if findings.thumbnail is not None else None
    toolpath = analysis.toolpath_path(findings, selected.path)
    return {"analysis": shown, "thumbnail": picture, "toolpath": toolpath}


def _server(service: "Front", page: str) -> dict[str, Any]:
    return {
        "version": __version__,
        "name": service.appearance.name,
        "uuid": service.uuid,
        "page": page,
        "camera": bool(cameras_of(service.webcam)),
    }


def _revision(service: "Front") -> int:
    """Return a number that changes whenever the settings may have changed."""
    return hash((service.choices.revision, service.config.appearance, service.config.webcam)) & 0xFFFF_FFFF


def _printer(service: "Front") -> dict[str, Any]:
    connection, status = service.connection, status_of(service)
    summary, ready = connection.summary, connection.ready
    modes = summary.modes
    return {
        "state": summary.state.value,
        "text": status.text,
        "error": summary.error,
        "address": summary.address,
        "baudrate": summary.baudrate,
        "firmware": summary.firmware or None,
        "machine": summary.fields.get("MACHINE_TYPE"),
        "heaters": readings(summary.heaters, is_heater) or None if ready else None,
        "position": _position(service) if ready else None,
        "homed": modes.homed if ready else None,
        "tool": (modes.tool or 0) if ready else None,
        "fan": modes.fan / MAX_FAN if ready and modes.fan is not None else None,
        "feed": modes.feed / 100 if ready and modes.feed is not None else None,
        "flow": modes.flow / 100 if ready and modes.flow is not None else None,
        "message": {"text": summary.message[:MAX_PROMPT], "at": summary.message_at}
        if summary.message is not None
        else None,
        "prompt": _prompt(summary.prompt),
        "trouble": service.core.trouble,
        "protection": protection_of(service),
        "stop": _STOPPED[summary.stop_confirmed],
        "fault": _fault(service),
        "heatersEvery": max(service.config.printer.poll_active_s, service.config.printer.poll_idle_s),
    }


def _prompt(prompt: Prompt | None) -> dict[str, Any] | None:
    return {"text": prompt.text[:MAX_PROMPT], "choices": list(prompt.choices)} if prompt is not None else None


def _fault(service: "Front") -> dict[str, Any] | None:
    """Return why the firmware has halted, until a user dismisses it."""
    fault = service.last_fault.fault
    return {"at": fault.at, "text": fault.text[:MAX_PROMPT], "kind": fault.kind} if fault is not None else None


def protection_of(service: "Front") -> dict[str, Any] | None:
    """Return whether and how the firmware turns the heaters off when the host dies."""
    protection = service.jobs.protection
    return {"after": protection.after_s, "reason": protection.reason} if protection else None


def _position(service: "Front") -> dict[str, float | None] | None:
    """Return the nozzle's position; during a print only the height of the layer is known."""
    jobs = service.jobs
    if jobs.active and jobs.state is not JobState.PAUSED:
        height = service.watch.height()
        return {"x": None, "y": None, "z": height} if height is not None else None
    position = service.connection.summary.position
    return {axis: position.get(axis.upper()) for axis in "xyz"} if position is not None else None


def _job(service: "Front") -> dict[str, Any]:
    jobs, state = service.jobs, service.jobs.state
    panel_print = service.connection.panel_print if not jobs.active else None
    refusal = service.watch.refusal
    ended = state is not None and state.ended
    return {
        "state": state.value if state is not None else None,
        "active": jobs.active,
        "id": jobs.summary.id,
        "key": jobs.summary.key,
        "file": _of_panel(panel_print) if panel_print is not None else _file(jobs.selected),
        "progress": _progress(service, panel_print),
        "pauseReason": jobs.pause_reason,
        "warning": jobs.warning,
        "error": jobs.error,
        "refused": {"name": refusal.name, "path": refusal.path, "reasons": refusal.reasons} if refusal else None,
        "last": {"outcome": state.value, "reason": jobs.error} if state is not None and ended else None,
    }


def _file(selected: Selection | None) -> dict[str, Any] | None:
    if selected is None:
        return None
    return {
        "path": selected.path,
        "name": selected.name,
        "size": selected.size,
        "date": selected.date,
        "user": selected.user,
        "origin": "local",
    }


def _of_panel(panel_print: PanelPrint) -> dict[str, Any]:
    return {
        "path": None, "name": panel_print.name, "size": panel_print.total, "date": None, "user": None,
        "origin": "sdcard",
    }  # fmt: skip


def _progress(service: "Front", panel_print: PanelPrint | None) -> dict[str, Any]:
    """Return the progress, rounded so that invisible changes are not sent."""
    progress, outlook = service.jobs.progress, service.watch.outlook()
    completion = progress.completion
    if panel_print is not None:
        completion = 100 * panel_print.position / panel_print.total if panel_print.total else None
    left = outlook.time_left if outlook is not None else progress.print_time_left
    return {
        "completion": _rounded(completion, 2),
        "time": _rounded(progress.print_time if panel_print is None else None),
        "left": _rounded(left if panel_print is None else None),
        "origin": outlook.origin if outlook is not None else progress.left_origin,
        **_layers(outlook),
    }


def _layers(outlook: Outlook | None) -> dict[str, Any]:
    if outlook is None:
        return {"timeShare": None, "layer": None, "layers": None, "planned": None, "pace": None}
    return {
        "timeShare": _rounded(outlook.time_share, 4),
        "layer": outlook.layer,
        "layers": outlook.layers,
        "planned": _rounded(outlook.planned, 1),
        "pace": _rounded(outlook.pace, 2),
    }


def _rounded(value: float | None, digits: int = 0) -> float | None:
    if value is None:
        return None
    return round(value, digits) if digits else round(value)


def counters_of(service: "Front") -> dict[str, Any]:
    """Return the link's counters."""
    counters = service.connection.summary.counters
    return {
        "sent": counters.lines_sent,
        "acknowledged": counters.lines_acknowledged,
        "resends": counters.resends,
        "timeouts": counters.timeouts,
        "badChecksums": counters.bad_checksums,
        "wrongNumbers": counters.wrong_numbers,
    }


async def figures_of(service: "Front") -> dict[str, Any] | None:
    """Ask the core for the figures of the connection, with times in ms; None: no answer."""
    try:
        figures = await service.connection.figures()
    except NozzledError:
        return None

    def ms(seconds: float | None) -> float | None:
        return None if seconds is None else round(seconds * 1000, 2)

    return {
        "answers": figures.answers,
        "p50": ms(figures.p50),
        "p99": ms(figures.p99),
        "late": figures.late,
        "longest": ms(figures.longest),
        "stall": ms(figures.stall),
        "waits": figures.waits,
        "plannerEmpty": figures.planner_empty,
        "windowLines": figures.window_lines,
        "windowBytes": figures.window_bytes,
        "memory": figures.memory,
    }


async def last_print(service: "Front") -> dict[str, Any]:
    """Return how the last print in the history ended; empty if the core has had a print since its start."""
    if service.jobs.state is not None:
        return {}
    try:
        rows = await service.history.jobs(HistoryQuery(), 1)
    except NozzledError:
        return {}
    return (
        {"job.last": {"outcome": rows[0]["state"], "reason": rows[0]["reason"], "name": rows[0]["name"]}}
        if rows
        else {}
    )


def _queue(service: "Front") -> dict[str, Any]:
    queue = service.queue
    document = queue.document
    next_entry, bed = document.next_entry(), queue.bed
    return {
        "revision": document.revision,
        "paused": document.paused,
        "bed": {"clear": bed.clear, "by": bed.by, "at": bed.at},
        "waiting": queue.reason_to_wait(),
        "length": len(document.entries),
        "next": entry_as_json(next_entry) if next_entry is not None else None,
    }


def _profile(service: "Front") -> dict[str, Any]:
    profile = service.core.profile
    return {
        "name": profile.name,
        "model": profile.model,
        "preset": profile.preset or None,
        "configured": service.core.profile_is_configured,
        "width": profile.width_mm or None,
        "depth": profile.depth_mm or None,
        "height": profile.height_mm or None,
        "origin": profile.origin,
        "shape": profile.shape,
        "nozzle": profile.nozzle_mm,
        "extruders": profile.extruders,
        "hotends": profile.hotends,
        "heatedBed": profile.heated_bed,
        "heatedChamber": profile.heated_chamber,
        "maxHotend": profile.max_hotend_c,
        "maxBed": profile.max_bed_c,
        "maxChamber": profile.max_chamber_c,
    }
