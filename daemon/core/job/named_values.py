"""The values of a job that its scripts may name; `daemon.config.named_values` lists the names."""

from daemon.core.job.job import Job


def values(job: Job) -> dict[str, str]:
    """Return the known values, by name, as they are written in a command."""
    parked = job.snapshot.parked
    modes = parked.modes if parked else job.printer.modes
    entries: dict[str, float | str | None] = {"tool": modes.tool or 0, "fan": modes.fan, "lines": job.lines}
    entries |= {"feedrate": modes.feedrate.decode() or None}
    entries |= {axis.lower(): at for axis, at in (parked.axes or {}).items()} if parked else {}
    targets = parked.targets if parked else {name: each.target for name, each in job.printer.heaters.items()}
    entries |= {"hotend_target": targets.get(f"tool{modes.tool or 0}"), "bed_target": targets.get("bed")}
    return {name: each if isinstance(each, str) else f"{each:g}" for name, each in entries.items() if each is not None}
