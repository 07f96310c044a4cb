"""The samples of the metric families, from values that exist anyway: nothing is counted here."""

import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

from daemon import __version__
from daemon.bridge.questions import TURNAROUNDS, CoreTally
from daemon.bridge.words import JobState
from daemon.front import machine
from daemon.front.queue.document import WAITING
from daemon.own_memory import read_memory
from gcode.frozen import frozen
from hal.printer import ConnectionState

if TYPE_CHECKING:
    from daemon.front.front import Front

MAX_FAN = 255  # full speed of the part fan, in M106
MAX_LABEL = 60  # characters of a firmware's name
MAX_HEATERS = 32
OUTCOMES = ("completed", "failed", "cancelled", "interrupted")
THROTTLED = ("undervoltage", "capped", "throttled", "hot")


@frozen
class Buckets:
    """A histogram: upper bounds of the buckets, and the number of values in each; the last has no upper bound."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float | None = None  # the sum of the values; None: unknown


@frozen
class MetricSample:
    """A value of a family, with the values of its labels."""

    name: str
    value: float | Buckets
    labels: tuple[str, ...] = ()


@frozen
class Scrape:
    """The values that have to be fetched first: from core, database and machine.

    Attributes:
        core: the core's counters; None: it is away.
        totals: totals of the history; None: it cannot be read.
        machine: from `daemon.front.machine`.
        began: Unix time of the front's start, in s.
        answers: the number of answered requests, by status.
        listeners: the number of push subscribers.
    """

    core: CoreTally | None = None
    totals: Mapping[str, Any] | None = None
    machine: Mapping[str, Any] = field(default_factory=dict)
    began: float = 0.0
    answers: Mapping[int, int] = field(default_factory=dict)
    listeners: int = 0


def machine_state(service: "Front") -> dict[str, Any]:
    """Return the state of the computer. Blocks."""
    return machine.describe(service.folder)


def samples(service: "Front", scrape: Scrape) -> Iterator[MetricSample]:
    """Yield all samples; unknown values are left out."""
    for name, value, *labels in _all(service, scrape):
        if value is not None:
            yield MetricSample(name, value, tuple(labels))


_Row = tuple[Any, ...]  # name, value, labels…


def _all(service: "Front", scrape: Scrape) -> Iterator[_Row]:
    yield "build_info", 1, __version__, platform.python_version()
    yield from _printer(service, scrape)
    yield from _job(service, scrape)
    yield from _link(service)
    if scrape.core is not None:
        yield from _core(scrape.core)
    yield from _service(service, scrape)
    yield from _machine(scrape.machine)


def _printer(service: "Front", scrape: Scrape) -> Iterator[_Row]:
    summary = service.connection.summary
    yield "core_up", int(scrape.core is not None)
    yield from _states("connection_state", ConnectionState, summary.state)
    yield "safety_trouble", int(service.core.trouble is not None)
    yield "record_trouble", int(service.core.record_trouble is not None)
    if not service.connection.ready:
        return
    yield "printer_info", 1, summary.firmware[:MAX_LABEL], summary.fields.get("MACHINE_TYPE", "")[:MAX_LABEL]
    for heater, reading in [*summary.heaters.items()][:MAX_HEATERS]:
        yield "temperature_celsius", reading.actual, heater
        yield "temperature_target_celsius", reading.target, heater
    modes = summary.modes
    yield "fan_ratio", _share(modes.fan, MAX_FAN)
    yield "feedrate_ratio", _share(modes.feed, 100)
    yield "flow_ratio", _share(modes.flow, 100)


def _job(service: "Front", scrape: Scrape) -> Iterator[_Row]:
    jobs = service.jobs
    yield from _states("job_state", JobState, jobs.state)
    yield "job_active", int(jobs.active)
    yield "job_warning", int(jobs.active and jobs.summary.warning is not None)
    if jobs.active:
        progress, outlook = jobs.progress, service.watch.outlook()
        share = outlook.time_share if outlook is not None else None
        yield "job_progress_ratio", share if share is not None else _share(progress.completion, 100)
        yield "job_elapsed_seconds", progress.print_time
        yield "job_remaining_seconds", outlook.time_left if outlook is not None else progress.print_time_left
        yield "job_file_bytes", jobs.selected.size if jobs.selected is not None else None
        yield "job_layer", outlook.layer if outlook is not None else None
        yield "job_layers", outlook.layers if outlook is not None else None
    if (totals := scrape.totals) is not None:
        for outcome in OUTCOMES:
            yield "jobs", totals[outcome], outcome
        yield "job_printing_seconds", totals["printTime"] or 0
        yield "filament_used_meters", (totals["filamentLength"] or 0) / 1000
    yield "queue_entries", sum(each.state == WAITING for each in service.queue.document.entries)
    yield "bed_clear", int(service.queue.bed.clear)


def _link(service: "Front") -> Iterator[_Row]:
    """Yield the counters of this connection; none while disconnected, so that they start from 0 at the next one."""
    if not service.connection.summary.connected:
        return
    counters = service.connection.summary.counters
    yield "link_lines_sent", counters.lines_sent
    yield "link_lines_acknowledged", counters.lines_acknowledged
    yield "link_resends", counters.bad_checksums, "checksum"
    yield "link_resends", counters.wrong_numbers, "line"
    yield "link_resends", max(0, counters.resends - counters.bad_checksums - counters.wrong_numbers), "other"
    yield "link_timeouts", counters.timeouts
    yield "link_stray_oks", counters.stray_oks
    yield "planner_empty_moves", counters.planner_empty if counters.planner_reports else None


def _core(core: CoreTally) -> Iterator[_Row]:
    if len(core.turnarounds) == len(TURNAROUNDS) + 1:  # a core of another version may count other intervals
        yield "link_turnaround_seconds", Buckets(TURNAROUNDS, tuple(core.turnarounds))
    if len(core.stalls) == len(core.stall_bounds) + 1:
        yield "loop_stall_seconds", Buckets(tuple(core.stall_bounds), tuple(core.stalls), core.stall_time)
    yield "link_window_lines", core.window_lines
    yield "link_underruns", core.underruns
    yield "link_starved_seconds", core.starved
    for after in ("line", "restart"):
        for outcome in ("resumed", "ended"):
            yield "reattachments", core.reattachments.get(f"{after}_{outcome}", 0), after, outcome
    yield "process_start_time_seconds", core.began, "core"
    yield "process_cpu_seconds", core.processor, "core"
    yield "process_resident_memory_bytes", core.memory, "core"


def _service(service: "Front", scrape: Scrape) -> Iterator[_Row]:
    used = os.times()
    yield "process_start_time_seconds", scrape.began, "front"
    yield "process_cpu_seconds", used.user + used.system, "front"
    yield "process_resident_memory_bytes", read_memory(), "front"
    for code, count in sorted(scrape.answers.items()):
        yield "http_requests", count, str(code)
    yield "push_subscribers", scrape.listeners
    for name, companion in service.companions.as_json().items():
        yield "companion_up", int(not companion["away"]), name


def _machine(state: Mapping[str, Any]) -> Iterator[_Row]:
    if not state:
        return
    yield "disk_free_bytes", state["disk"]["free"]
    yield "disk_size_bytes", state["disk"]["total"]
    yield "host_memory_available_bytes", state["memory"]["free"]
    yield "host_memory_size_bytes", state["memory"]["total"]
    yield "host_load1", state["load"]
    yield "host_uptime_seconds", state["uptime"]
    yield "host_temperature_celsius", state["temperature"]
    for name, which in (("host_throttled", "now"), ("host_throttled_since_boot", "since")):
        if state[which] is not None:
            for reason in THROTTLED:
                yield name, int(reason in state[which]), reason


def _states(name: str, states: Iterable[Any], current: object) -> Iterator[_Row]:
    for state in states:
        yield name, int(state is current), state.value


def _share(value: float | None, whole: float) -> float | None:
    return None if value is None else value / whole
