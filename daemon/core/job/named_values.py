"""The values of a job that its scripts may name; `daemon.config.named_values` lists the names."""

from daemon.core.job.job import Job


def values(job: Job) -> dict[str, str]:
    """Return the known values, by name, as they are written in a command."""
    rest = job.snapshot.parked
    modes = rest.modes if rest else job.printer.modes
    known: dict[str, float | str | None] = {"tool": modes.tool or 0, "fan": modes.fan, "lines": job.lines}
    known |= {"feedrate": modes.feedrate.decode() or None}
    known |= {axis.lower(): at for axis, at in (rest.axes or {}).items()} if rest else {}
    targets = rest.targets if rest else {name: each.target for name, each in job.printer.heaters.items()}
    known |= {"hotend_target": targets.get(f"tool{modes.tool or 0}"), "bed_target": targets.get("bed")}
    return {name: at if isinstance(at, str) else f"{at:g}" for name, at in known.items() if at is not None}
