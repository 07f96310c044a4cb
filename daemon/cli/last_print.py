"""The print that ended early, for `nozzled resume-at`: asked of the daemon, with its file."""

import argparse
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from daemon.cli import remote
from daemon.client import ClientError, OctoPrintClient
from gcode.frozen import frozen


@frozen
class EndedPrint:
    """What is known of it.

    Attributes:
        file: a copy of what was printed.
        offset: of the last line that the printer has acknowledged, in bytes.
        job: as the history tells it.
    """

    file: Path
    offset: int
    job: dict[str, Any]

    def told(self, layer: int, layers: int, height: float | None) -> str:
        """Return it in some sentences."""
        job = self.job
        ended = datetime.fromtimestamp(job["ended"]).strftime("%Y-%m-%d %H:%M")  # noqa: DTZ006 - as clocks here show it
        used = "" if job["filamentLength"] is None else f", {job['filamentLength'] / 1000:.2f} m of filament extruded"
        at = "" if height is None else f" at {height:g} mm"
        name, reason = (remote.printable(text) for text in (job["path"], job["reason"] or "no reason is known"))
        return (
            f"{name}: {job['state']} {ended}, {reason}\n"
            f"The printer had acknowledged {job['lines']} lines, to byte {self.offset}: in layer {layer} of {layers}"
            f"{at}{used}.\n"
            f"With its power it has lost what it had not yet made of them, so layer {layer} is proposed as a whole: "
            "--layer, --height or --line name another place.\n"
            "Where the firmware offers to go on by itself (M413, at its panel), it knows the very move: let it."
        )


def fetched(args: argparse.Namespace, folder: Path) -> "EndedPrint | int":
    """Return the last print, its file in this folder; or the exit code, where that was not possible and is told."""
    found: list[EndedPrint] = []

    async def fetch(client: OctoPrintClient, _args: argparse.Namespace) -> str:
        found.append(await _fetched(client, folder))
        return ""

    args.action = remote.Action("", fetch, str)
    as_json, args.json = args.json, False
    code = remote.run(args)
    args.json = as_json
    return found[0] if found else code


async def _fetched(client: OctoPrintClient, folder: Path) -> EndedPrint:
    jobs = (await client.history.list(limit="1"))["jobs"]
    if not jobs:
        raise ClientError("nothing was printed yet: name the file")
    job = jobs[0]
    if job["ended"] is None:
        raise ClientError(f"{job['path']} is being printed")
    if job["state"] == "completed":
        raise ClientError(f"the last print, {job['path']}, has completed: name the file of the one that has not")
    if not job["fileExists"]:
        raise ClientError(f"{job['path']} is not there any more: name a copy of it")
    if not job.get("offset"):
        raise ClientError(f"the printer has acknowledged no line of {job['path']}: print the whole file")
    path = folder / PurePosixPath(job["path"]).name
    path.write_bytes(await client.files.download(job["path"]))
    if path.stat().st_size != job["size"]:
        raise ClientError(f"{job['path']} is another file by now: name a copy of the one that was printed")
    return EndedPrint(path, job["offset"], job)
