"""The last print, for `nozzled resume-at`: the daemon proposes where to continue, and prints the rest."""

import argparse
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from daemon.cli import remote
from daemon.client import ClientError, OctoPrintClient
from daemon.front.resuming.proposal import temperatures_text

_WHOLE_LAYER = (
    "Commands that the printer had buffered but not executed may be lost, so printing continues at the start of a "
    "layer; choose another place with --layer, --height or --line."
)


def resume(args: argparse.Namespace, check: Callable[[float], str], agree: Callable[[str], bool]) -> int:
    """Have the daemon print the rest of the last print; return the exit code.

    Args:
        args: may name the place; otherwise the daemon chooses the start of a layer.
        check: returns the checklist for a nozzle at this height.
        agree: asks the user whether to print a file of this name.
    """

    async def run(client: OctoPrintClient, _: argparse.Namespace) -> dict[str, Any]:
        proposal = await _proposal(client, args)
        print(_sentences(proposal, args), check(proposal["top"]), sep="\n", file=sys.stderr)
        if not (args.yes or agree(PurePosixPath(proposal["file"]).name)):
            raise ClientError("nothing was written")
        return await client.resume_at.start(proposal["token"])

    args.action = remote.Action("", run, lambda file: f"{remote.printable(file['name'])}  (printing)")
    return remote.run(args)


def fetch(args: argparse.Namespace, folder: Path) -> int:
    """Download the file of the last print to this folder; set `args.file` and `args.line`; return the exit code."""

    async def run(client: OctoPrintClient, _: argparse.Namespace) -> str:
        proposal = await _proposal(client, args)
        print(_sentences(proposal, args), file=sys.stderr)
        args.file = folder / PurePosixPath(proposal["print"]["path"]).name
        with args.file.open("wb") as file:
            async for piece in client.files.pieces(proposal["print"]["path"]):
                file.write(piece)
        args.line, args.layer, args.height = proposal["line"], None, None
        return ""

    args.action = remote.Action("", run, str)
    as_json, args.json = args.json, False
    code = remote.run(args)
    args.json = as_json
    return code


async def _proposal(client: OctoPrintClient, args: argparse.Namespace) -> dict[str, Any]:
    return await client.resume_at.propose(layer=args.layer, height=args.height, line=args.line)


def _sentences(proposal: dict[str, Any], args: argparse.Namespace) -> str:
    """Return a proposal as text; if `args` names no place, with the reason why it is the start of a layer."""
    is_chosen = any(each is not None for each in (args.layer, args.height, args.line))
    job, at = proposal["print"], proposal["at"]
    ended = datetime.fromtimestamp(job["ended"]).strftime("%Y-%m-%d %H:%M")  # noqa: DTZ006 - as clocks here show it
    name = remote.printable(job["path"])
    unknown = "" if job["state"] == "cancelled" else ", reason unknown"  # whoever cancelled it knows why
    reason = f", {remote.printable(job['reason'])}" if job["reason"] else unknown
    used = "" if job["filamentLength"] is None else f"; {job['filamentLength'] / 1000:.2f} m of filament extruded"
    where = "" if job["layer"] is None else f", in layer {job['layer']} of {proposal['layers']}"
    layer = "" if proposal["layer"] is None else f"in layer {proposal['layer']} of {proposal['layers']}, "
    height = "" if proposal["height"] is None else f"at {proposal['height']:g} mm, "
    lines = (
        f"{name}: {job['state']} {ended}{reason}",
        f"The printer had acknowledged {job['lines']} lines, to byte {job['offset']}{where}{used}.",
        *([] if is_chosen else [_WHOLE_LAYER]),
        f"Printing continues {layer}{height}line {proposal['line']}: X{at['X']:.1f} Y{at['Y']:.1f} Z{at['Z']:.2f}; "
        + (temperatures_text(proposal["temperatures"]) or "nothing is heated"),
        *(f"Note: {remote.printable(each)}" for each in proposal["warnings"]),
        proposal["hint"],
    )
    return "\n".join(lines)
