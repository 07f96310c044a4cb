"""`nozzled import octoprint DIR`: imports the data of another host."""  # noqa: N999 - named as the command

import argparse
import asyncio
import json
import os
import sys
import time  # noqa: TID251 - the date at which a key is made
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from daemon.cli import local_daemon, remote
from daemon.cli.remote import Action, add_server, printable
from daemon.client import OctoPrintClient
from daemon.front.access.keyring import Keyring
from daemon.moving.inventory import count_of

if TYPE_CHECKING:
    from daemon.moving.inventory import Inventory
    from daemon.moving.transfer import MoveReport

EXAMPLE = "sudo nozzled import octoprint /home/pi/.octoprint"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    subparsers = parser.add_subparsers(required=True, metavar="HOST")
    summary = "Import uploads, printer profile, presets, webcam, names of keys and statistics from OctoPrint."
    octoprint = subparsers.add_parser("octoprint", help=summary, description=summary)
    octoprint.add_argument("folder", type=Path, metavar="DIR", help="its base directory, like /home/pi/.octoprint")
    octoprint.add_argument("--dry-run", action="store_true", help="show what would be imported, and change nothing")
    keys = octoprint.add_mutually_exclusive_group()
    keys.add_argument("--keep-keys", action="store_true", help="keep the keys that programs have now")
    keys.add_argument("--no-keys", action="store_true", help="make no keys")
    add_server(octoprint)


def run(args: argparse.Namespace) -> int:
    """Read OctoPrint's folder and give its contents to the daemon.

    Raises:
        FileError: the folder cannot be read.
    """
    from daemon.moving.octoprint import read  # noqa: PLC0415 - YAML, for this command alone

    inventory = read(args.folder)
    if args.dry_run:
        print(json.dumps(_as_json(inventory)) if args.json else _format_inventory(inventory))
        return 0
    args.action = Action("", lambda client, _: _import(client, inventory, args), lambda answer: str(answer["shown"]))
    return remote.run(args)


async def _import(client: OctoPrintClient, inventory: "Inventory", args: argparse.Namespace) -> dict[str, Any]:
    from daemon.moving import transfer  # noqa: PLC0415 - as above

    with tqdm(total=1, unit=" files", disable=args.json or None, leave=False, file=sys.stderr) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        report = await transfer.send(client, inventory, show)
    sizes = await _sizes(client)
    await asyncio.to_thread(_import_into_state, inventory, report, sizes, args)
    await transfer.add_notes(client, inventory.notes, report)
    answer = {
        "uploads": report.uploads, "folders": report.folders, "there": report.existing_count, "prints": report.prints,
        "notes": report.notes, "settings": report.settings, "keys": report.keys, "left": report.not_imported,
        "hints": inventory.hints,
    }  # fmt: skip
    return answer if args.json else {"shown": _format_report(inventory, report)}


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


def _import_into_state(
    inventory: "Inventory", report: "MoveReport", sizes: dict[str, int], args: argparse.Namespace
) -> None:
    """Import keys and statistics, which works only on the daemon's own computer."""
    from daemon.core.record.store import Store  # noqa: PLC0415 - for the name of its file
    from daemon.moving import transfer  # noqa: PLC0415 - as above

    # if an address is given, the configuration on this computer is not the daemon's, and may be invalid
    is_elsewhere = bool(args.url or os.environ.get(remote.URL_ENVIRONMENT))
    target = None if is_elsewhere else local_daemon.find(args)
    if target is None or not os.access(target.state / Store.file, os.R_OK | os.W_OK):
        folder = "the daemon's state directory" if target is None else str(target.state)
        how = "run this on the daemon's own computer, with sudo if it is a service"
        report.not_imported += [f"{what}, as {folder} cannot be written from here: {how}"
                                for what, exists in _local_data(inventory, args) if exists]  # fmt: skip
        return
    if not args.no_keys:
        transfer.add_keys(Keyring(target.state, time.time), inventory, report, keep=args.keep_keys)
    transfer.add_prints(target.state / Store.file, inventory.prints, sizes, report)


def _local_data(inventory: "Inventory", args: argparse.Namespace) -> list[tuple[str, bool]]:
    return [
        (count_of(len(inventory.keys), "key"), bool(inventory.keys) and not args.no_keys),
        (f"statistics of {count_of(len(inventory.prints), 'print')}", bool(inventory.prints)),
    ]


# -- text for users ----------------------------------------------------------------------------------------------------


def _as_json(inventory: "Inventory") -> dict[str, Any]:
    return {
        "uploads": [each.path for each in inventory.uploads],
        "folders": inventory.folders,
        "prints": len(inventory.prints),
        "notes": inventory.notes,
        "profile": inventory.profile,
        "presets": inventory.presets,
        "webcam": inventory.webcam,
        "name": inventory.name,
        "keys": [each.name for each in inventory.keys],
        "left": inventory.not_imported,
        "hints": inventory.hints,
    }


def _format_inventory(inventory: "Inventory") -> str:
    """Return what the folder holds, as text."""
    size = sum(each.size for each in inventory.uploads)
    rows = [
        ("uploads", f"{len(inventory.uploads)} ({size / 1e6:,.1f} MB)" if inventory.uploads else ""),
        ("empty folders", str(len(inventory.folders)) if inventory.folders else ""),
        ("statistics", count_of(len(inventory.prints), "print") if inventory.prints else ""),
        ("notes", f"of {count_of(len(inventory.notes), 'file')}" if inventory.notes else ""),
        ("profile", " / ".join(inventory.profile[key] for key in ("name", "model") if key in inventory.profile)),
        ("presets", ", ".join(each["name"] for each in inventory.presets)),
        ("webcam", str(inventory.webcam.get("streamUrl") or inventory.webcam.get("snapshotUrl") or "")),
        ("name", inventory.name),
        ("keys", ", ".join(each.name for each in inventory.keys)),
    ]
    return _report("found", rows, inventory.not_imported, inventory.hints)


def _format_report(inventory: "Inventory", report: "MoveReport") -> str:
    """Return what was imported, as text; new keys are shown only here."""
    before = f", {report.existing_count} more were here already" if report.existing_count else ""
    rows = [
        ("uploads", f"{len(report.uploads)}{before}" if inventory.uploads else ""),
        ("empty folders", str(len(report.folders)) if report.folders else ""),
        ("statistics", count_of(report.prints, "print") if inventory.prints else ""),
        ("notes", f"of {count_of(report.notes, 'file')}" if report.notes else ""),
        *report.settings.items(),
        *((f"key of {name}", key or "unchanged") for name, key in report.keys.items()),
    ]
    text = _report("imported", rows, report.not_imported, inventory.hints)
    if any(report.keys.values()):
        text += "\n\nThe keys are not shown again: enter each into its program."
    if report.prints:
        text += "\nThe history shows these prints within seconds; the daemon needs no restart."
    return text


def _report(title: str, rows: list[tuple[str, str]], not_imported: list[str], hints: list[str]) -> str:
    width = max([len(name) for name, value in rows if value], default=0)
    shown = [f"  {printable(name):<{width}}  {printable(value)}" for name, value in rows if value]
    lines = [title, *(shown or ["  nothing"])]
    if not_imported:
        lines += ["", "not imported", *(f"  {printable(each)}" for each in not_imported)]
    if hints:
        lines += ["", "please check", *(f"  {printable(each)}" for each in hints)]
    return "\n".join(lines)
