"""The metric families for Prometheus: name, kind, labels and meaning of each.

No label contains a file name, the number of a job or a variable text of the printer: each value would start a new time
series that never ends.
"""

from typing import Literal

from gcode.frozen import frozen

PREFIX = "nozzled_"


@frozen
class Family:
    """A family. Its name in FAMILIES has neither PREFIX nor the `_total` of counters."""

    kind: Literal["gauge", "counter", "histogram"]
    doc: str
    labels: tuple[str, ...] = ()


def _gauge(doc: str, *labels: str) -> Family:
    return Family("gauge", doc, labels)


def _counter(doc: str, *labels: str) -> Family:
    return Family("counter", doc, labels)


FAMILIES: dict[str, Family] = {
    "build_info": _gauge("The versions of nozzled and Python; always 1.", "version", "python"),
    "printer_info": _gauge("The names of firmware and machine in the answer to M115; always 1.", "firmware", "machine"),
    "core_up": _gauge("1 while the core answers; if 0, values of printer, print and connection are the last known."),
    "connection_state": _gauge("1 for the current state of the connection to the printer, 0 for the others.", "state"),
    "safety_trouble": _gauge("1 while a safety rule is broken."),
    "record_trouble": _gauge("1 while prints are not recorded, for example because the disk is full."),
    # -- the print
    "job_state": _gauge("1 for the state of the last print, even after its end, 0 for the others.", "state"),
    "job_active": _gauge("1 during a print."),
    "job_warning": _gauge("1 while a print continues with a warning."),
    "job_progress_ratio": _gauge("Progress of the print, by time if that is known, otherwise by bytes; 0 to 1."),
    "job_elapsed_seconds": _gauge("Time since the start of the print, without pauses."),
    "job_remaining_seconds": _gauge("Expected time until the end of the print."),
    "job_file_bytes": _gauge("Size of the file of the print."),
    "job_layer": _gauge("The current layer; the first is 1, and 0 is before it."),
    "job_layers": _gauge("The number of layers of the print."),
    "jobs": _counter("Prints in the history, by outcome.", "outcome"),
    "job_printing_seconds": _counter("Time of all prints in the history, without pauses."),
    "filament_used_meters": _counter("Filament of all prints in the history."),
    "queue_entries": _gauge("Entries in the queue that wait."),
    "bed_clear": _gauge("1 while a printer with a clear bed is connected: cleared by a user or the eject script."),
    # -- the printer
    "temperature_celsius": _gauge("Temperature of a heater.", "heater"),
    "temperature_target_celsius": _gauge("Target of a heater; 0 if it is off.", "heater"),
    "fan_ratio": _gauge("Speed of the part fan, 0 to 1."),
    "feedrate_ratio": _gauge("The feedrate factor; 1 is the feedrate of the file."),
    "flow_ratio": _gauge("The flow factor; 1 is the flow of the file."),
    # -- the link, since the connection was opened
    "link_lines_sent": _counter("Lines and commands sent, including resends."),
    "link_lines_acknowledged": _counter("Lines and commands that the firmware has acknowledged."),
    "link_resends": _counter(
        "Resend requests, by reason: a bad checksum (checksum), a missing line (line), none given (other).", "reason"
    ),
    "link_timeouts": _counter("Timeouts: how often the printer was silent for too long."),
    "link_stray_oks": _counter("Acknowledgements that belong to no line."),
    "link_window_lines": _gauge("Lines that may be in flight."),
    "link_turnaround_seconds": Family(
        "histogram", "Time from an answer of the printer to the writing of the next lines."
    ),
    "planner_empty_moves": _counter("Moves that found the planner empty, if the firmware reports that (ADVANCED_OK)."),
    # -- since the core began
    "link_underruns": _counter("How often the printer had room for a line that was not yet read from the disk."),
    "link_starved_seconds": _counter("Time for which the printer waited for the disk."),
    "reattachments": _counter(
        "Reattachments after a lost connection (line) or a restart (restart), by outcome.",
        "after", "outcome",
    ),
    "loop_stall_seconds": Family("histogram", "Stalls of the core's loop of more than 10 ms."),
    # -- the service
    "process_start_time_seconds": _gauge("Unix times of the starts of core and front, in s.", "process"),
    "process_cpu_seconds": _counter("CPU time of core and front.", "process"),
    "process_resident_memory_bytes": _gauge("Resident memory of core and front.", "process"),
    "http_requests": _counter("Requests answered, by HTTP status.", "code"),
    "push_subscribers": _gauge("Clients subscribed on a socket."),
    "companion_up": _gauge("1 while a companion runs, for each that is switched on.", "companion"),
    # -- the machine
    "disk_free_bytes": _gauge("Free space on the disk of the state directory."),
    "disk_size_bytes": _gauge("Size of the disk of the state directory."),
    "host_memory_available_bytes": _gauge("Memory available to programs."),
    "host_memory_size_bytes": _gauge("Memory of the machine."),
    "host_load1": _gauge("Load average of the machine over one minute."),
    "host_uptime_seconds": _gauge("Uptime of the machine."),
    "host_temperature_celsius": _gauge("Temperature of the processor."),
    "host_throttled": _gauge("Raspberry Pi: 1 during undervoltage, a cap, throttling or a soft heat limit.", "reason"),
    "host_throttled_since_boot": _gauge(
        "Raspberry Pi: 1 if there has been undervoltage, a cap, throttling or a soft heat limit since boot.", "reason"
    ),
}  # fmt: skip


def full_name(name: str) -> str:
    """Return the full name of a family, as queries use it."""
    return PREFIX + name + ("_total" if FAMILIES[name].kind == "counter" else "")


def table() -> str:
    """Return the table of docs/metrics.md."""
    rows = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for name, each in FAMILIES.items():
        labels = ", ".join(f"`{label}`" for label in each.labels)
        rows.append(f"| `{full_name(name)}` | {each.kind} | {labels} | {each.doc} |")
    return "\n".join(rows)
