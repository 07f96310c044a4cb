"""`nozzled import octoprint DIR`: move in with what another host has."""  # noqa: N999 - called as the command is

import argparse
import asyncio
import json
import os
import sys
import time  # noqa: TID251 - the date at which a key is made
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from daemon.cli import remote, whose
from daemon.cli.remote import Action, add_server, printable
from daemon.client import OctoPrintClient
from daemon.front.access.keyring import Keyring

if TYPE_CHECKING:
    from daemon.moving.found import Inventory
    from daemon.moving.taking_over import MoveReport

EXAMPLE = "sudo nozzled import octoprint /home/pi/.octoprint"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    chosen = parser.add_subparsers(required=True, metavar="HOST")
    summary = "Take uploads, printer profile, presets, webcam, names of keys and statistics from OctoPrint."
    octoprint = chosen.add_parser("octoprint", help=summary, description=summary)
    octoprint.add_argument("folder", type=Path, metavar="DIR", help="its base directory, like /home/pi/.octoprint")
    octoprint.add_argument("--dry-run", action="store_true", help="tell what there is, and take nothing")
    keys = octoprint.add_mutually_exclusive_group()
    keys.add_argument("--keep-keys", action="store_true", help="programs go on with the keys that they have")
    keys.add_argument("--no-keys", action="store_true", help="make no keys")
    add_server(octoprint)


def run(args: argparse.Namespace) -> int:
    """Read there, and give it to the daemon.

    Raises:
        FileError: what is to be read cannot be.
    """
    from daemon.moving.octoprint import read  # noqa: PLC0415 - YAML, for this command alone

    found = read(args.folder)
    if args.dry_run:
        print(json.dumps(_as_json(found)) if args.json else _format_inventory(found))
        return 0
    args.action = Action("", lambda client, _: _take(client, found, args), lambda answer: str(answer["shown"]))
    return remote.run(args)


async def _take(client: OctoPrintClient, found: "Inventory", args: argparse.Namespace) -> dict[str, Any]:
    from daemon.moving import taking_over  # noqa: PLC0415 - as above

    with tqdm(total=1, unit=" files", disable=args.json or None, leave=False, file=sys.stderr) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        taken = await taking_over.take(client, found, show)
    sizes = await _sizes(client)
    await asyncio.to_thread(_in_state, found, taken, sizes, args)
    await taking_over.take_notes(client, found.notes, taken)
    answer = {
        "uploads": taken.uploads, "folders": taken.folders, "there": taken.there, "prints": taken.prints,
        "notes": taken.notes, "settings": taken.settings, "keys": taken.keys, "left": taken.left, "hints": found.hints,
    }  # fmt: skip
    return answer if args.json else {"shown": _format_report(found, taken)}


async def _sizes(client: OctoPrintClient) -> dict[str, int]:
    """Return the sizes of all uploads by path."""
    sizes = {}
    entries = list((await client.files.list("local", recursive=True))["files"])
    while entries:
        entry = entries.pop()
        entries += entry.get("children", [])
        if entry.get("type") != "folder":
            sizes[entry["path"]] = entry.get("size") or 0
    return sizes


def _in_state(found: "Inventory", taken: "MoveReport", sizes: dict[str, int], args: argparse.Namespace) -> None:
    """Do what only goes on the daemon's own computer."""
    from daemon.core.record.store import Store  # noqa: PLC0415 - for the name of its file
    from daemon.moving import taking_over  # noqa: PLC0415 - as above

    mine = whose.find(args)
    if args.url or os.environ.get(remote.URL_ENVIRONMENT) or not os.access(mine.state / Store.file, os.R_OK | os.W_OK):
        reason = f"which are in {mine.state} on the daemon's own computer: there, and with sudo if it is a service"
        taken.left += [f"{what}, {reason}" for what, there in _only_there(found, args) if there]
        return
    if not args.no_keys:
        taking_over.take_keys(Keyring(mine.state, time.time), found, taken, keep=args.keep_keys)
    taking_over.take_prints(mine.state / Store.file, found.prints, sizes, taken)


def _only_there(found: "Inventory", args: argparse.Namespace) -> list[tuple[str, bool]]:
    return [
        (f"{len(found.keys)} keys", bool(found.keys) and not args.no_keys),
        (f"statistics of {len(found.prints)} prints", bool(found.prints)),
    ]


# -- what is told ------------------------------------------------------------------------------------------------------


def _as_json(found: "Inventory") -> dict[str, Any]:
    return {
        "uploads": [each.path for each in found.uploads],
        "folders": found.folders,
        "prints": len(found.prints),
        "notes": found.notes,
        "profile": found.profile,
        "presets": found.presets,
        "webcam": found.webcam,
        "name": found.name,
        "keys": [each.name for each in found.keys],
        "left": found.left,
        "hints": found.hints,
    }


def _format_inventory(found: "Inventory") -> str:
    """Return what there is."""
    size = sum(each.size for each in found.uploads)
    rows = [
        ("uploads", f"{len(found.uploads)} ({size / 1e6:,.1f} MB)" if found.uploads else ""),
        ("empty folders", str(len(found.folders)) if found.folders else ""),
        ("statistics", f"{len(found.prints)} prints" if found.prints else ""),
        ("notes", f"of {len(found.notes)} files" if found.notes else ""),
        ("profile", " / ".join(found.profile[key] for key in ("name", "model") if key in found.profile)),
        ("presets", ", ".join(each["name"] for each in found.presets)),
        ("webcam", str(found.webcam.get("streamUrl") or found.webcam.get("snapshotUrl") or "")),
        ("name", found.name),
        ("keys", ", ".join(each.name for each in found.keys)),
    ]
    return _report("there is", rows, found.left, found.hints)


def _format_report(found: "Inventory", taken: "MoveReport") -> str:
    """Return what was done; new keys are shown this once."""
    before = f", {taken.there} more here before" if taken.there else ""
    rows = [
        ("uploads", f"{len(taken.uploads)}{before}" if found.uploads else ""),
        ("empty folders", str(len(taken.folders)) if taken.folders else ""),
        ("statistics", f"{taken.prints} prints" if found.prints else ""),
        ("notes", f"of {taken.notes} files" if taken.notes else ""),
        *taken.settings.items(),
        *((f"key of {name}", key or "the one that it has") for name, key in taken.keys.items()),
    ]
    shown = _report("taken", rows, taken.left, found.hints)
    if any(taken.keys.values()):
        shown += "\n\nThe keys are shown this once: write each into its program."
    if taken.prints:
        shown += "\nThe history shows these prints within seconds, also of a daemon that runs."
    return shown


def _report(title: str, rows: list[tuple[str, str]], left: list[str], hints: list[str]) -> str:
    width = max([len(name) for name, value in rows if value], default=0)
    lines = [title, *(f"  {printable(name):<{width}}  {printable(value)}" for name, value in rows if value)]
    if left:
        lines += ["", "left behind", *(f"  {printable(each)}" for each in left)]
    if hints:
        lines += ["", "to be looked at", *(f"  {printable(each)}" for each in hints)]
    return "\n".join(lines)
