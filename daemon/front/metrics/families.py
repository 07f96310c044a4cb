"""What there is for Prometheus, as data: name, kind, labels and meaning of each family.

A label never has a name of a file, the number of a job or a text of the printer's that changes: each value would be a
series of its own for ever.
"""

from typing import Literal

from gcode.frozen import frozen

PREFIX = "nozzled_"


@frozen
class Family:
    """A family; its name is without PREFIX, and without the `_total` that a counter has."""

    kind: Literal["gauge", "counter", "histogram"]
    doc: str
    labels: tuple[str, ...] = ()


def _gauge(doc: str, *labels: str) -> Family:
    return Family("gauge", doc, labels)


def _counter(doc: str, *labels: str) -> Family:
    return Family("counter", doc, labels)


FAMILIES: dict[str, Family] = {
    "build_info": _gauge("The version of nozzled, and of Python; the value is always 1.", "version", "python"),
    "printer_info": _gauge("What the firmware calls itself and its machine; always 1.", "firmware", "machine"),
    "core_up": _gauge("1 while the process that owns the printer is there; 0: all below is as it was seen last."),
    "connection_state": _gauge("1 for the state of the connection to the printer, 0 for the others.", "state"),
    "safety_trouble": _gauge("1 while a rule of safety is broken."),
    "record_trouble": _gauge("1 while prints are not recorded, as of a disk that is full."),
    # -- the print
    "job_state": _gauge("1 for the state of the last print, also after its end, 0 for the others.", "state"),
    "job_active": _gauge("1 while there is a print that has not ended."),
    "job_warning": _gauge("1 while something is wrong with a print that goes on."),
    "job_progress_ratio": _gauge("How much of the print is done, by time where that is known, else by bytes; 0 to 1."),
    "job_elapsed_seconds": _gauge("How long the print goes on, without its pauses."),
    "job_remaining_seconds": _gauge("How long it is expected to go on."),
    "job_file_bytes": _gauge("Size of the file that is printed."),
    "job_layer": _gauge("The layer that is printed, from 1."),
    "job_layers": _gauge("How many layers the print has."),
    "jobs": _counter("Prints of the history by how they ended.", "outcome"),
    "job_printing_seconds": _counter("Time of all prints of the history, without pauses."),
    "filament_used_meters": _counter("Filament of all prints of the history."),
    "queue_entries": _gauge("Prints that wait in the queue."),
    "bed_clear": _gauge("1 if somebody has said that the bed is clear, and nothing was printed since."),
    # -- the printer
    "temperature_celsius": _gauge("What a sensor tells.", "heater"),
    "temperature_target_celsius": _gauge("What a heater aims at; 0: it is off.", "heater"),
    "fan_ratio": _gauge("Speed of the part fan, 0 to 1."),
    "feedrate_ratio": _gauge("The feedrate that is set, 1 is that of the file."),
    "flow_ratio": _gauge("The flow that is set, 1 is that of the file."),
    # -- the line, since it was opened
    "link_lines_sent": _counter("Lines and commands sent, those sent again too."),
    "link_lines_acknowledged": _counter("Lines and commands that the firmware has said ok to."),
    "link_resends": _counter("Lines sent again: read wrongly (checksum), missed (line), or no word why.", "reason"),
    "link_timeouts": _counter("Times that the printer said nothing for too long."),
    "link_stray_oks": _counter("Answers to nothing that was sent."),
    "link_window_lines": _gauge("Lines that may be unanswered at once; 0: there is no limit."),
    "link_turnaround_seconds": Family(
        "histogram", "From an answer of the printer being readable to the next lines being written."
    ),
    "planner_empty_moves": _counter("Moves that found none planned before them, if the firmware tells (ADVANCED_OK)."),
    # -- since the core began
    "link_underruns": _counter("Times that the printer had room for lines that were not read from the disk yet."),
    "link_starved_seconds": _counter("Time for which it waited for them."),
    "reattachments": _counter(
        "Prints whose line was lost (line), or whose process restarted (restart), by how that ended.",
        "after", "outcome",
    ),
    "loop_stall_seconds": Family("histogram", "Times of more than 10 ms for which the core was busy with one thing."),
    # -- the service
    "process_start_time_seconds": _gauge("When core and front began, since 1970; it changes at a restart.", "process"),
    "process_cpu_seconds": _counter("Time of the processor that core and front have used.", "process"),
    "process_resident_memory_bytes": _gauge("Memory that core and front have in use.", "process"),
    "http_requests": _counter("Requests that were answered, by HTTP's status.", "code"),
    "push_subscribers": _gauge("Clients that listen on a socket."),
    "companion_up": _gauge("1 while a companion that is switched on is there.", "companion"),
    # -- the machine
    "disk_free_bytes": _gauge("Room on the disk of the state directory."),
    "disk_size_bytes": _gauge("Size of that disk."),
    "host_memory_available_bytes": _gauge("Memory that programs could still have."),
    "host_memory_size_bytes": _gauge("Memory of the machine."),
    "host_load1": _gauge("Load of the machine, over a minute."),
    "host_uptime_seconds": _gauge("How long the machine is up."),
    "host_temperature_celsius": _gauge("Temperature of the processor."),
    "host_throttled": _gauge("Raspberry Pi: 1 while there is undervoltage, a cap, throttling, heat.", "reason"),
    "host_throttled_since_boot": _gauge("Raspberry Pi: 1 if that was so since it booted.", "reason"),
}  # fmt: skip


def exposed(name: str) -> str:
    """Return the name by which queries find a family."""
    return PREFIX + name + ("_total" if FAMILIES[name].kind == "counter" else "")


def table() -> str:
    """Return the table of docs/metrics.md."""
    rows = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for name, each in FAMILIES.items():
        labels = ", ".join(f"`{label}`" for label in each.labels)
        rows.append(f"| `{exposed(name)}` | {each.kind} | {labels} | {each.doc} |")
    return "\n".join(rows)
