"""`nozzled queue`: the files that wait to be printed, and whether the bed is clear."""

import argparse
from typing import Any

from daemon.cli.remote import Action, add_actions, printable, run
from daemon.client import OctoPrintClient

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "nozzled queue add parts/cube.gcode --copies 2"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add_actions(parser, _ACTIONS)


def _format(queue: dict[str, Any]) -> str:
    rows = [_row(entry) for entry in queue["entries"]] or ["the queue is empty"]
    bed = f"clear, according to {queue['bed']['by']}" if queue["bed"]["clear"] else "not clear"
    rows.append(f"the bed is {bed}" + ("; the queue is paused" if queue["paused"] else ""))
    if queue["waiting"]:
        rows.append(f"no print starts: {queue['waiting']}")
    return "\n".join(printable(row) for row in rows)


def _row(entry: dict[str, Any]) -> str:
    copies = f"{entry['done']}/{entry['copies']}"
    more = [entry["material"], entry["notes"].replace("\n", " "), entry["reason"]]
    return "  ".join([f"{entry['id']:>4}  {entry['state']:<9}  {copies:>5}  {entry['path']}", *filter(None, more)])


def _format_entry(entry: dict[str, Any]) -> str:
    return printable(f"{entry['path']} waits as entry {entry['id']}")


def _declare_entry(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "entry", type=_whole_number, metavar="ENTRY", help="its number, as `nozzled queue list` shows it"
    )


def _whole_number(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number; `nozzled queue list` shows the numbers")
    return int(text)


def _declare_add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="path of the file among the uploads")
    parser.add_argument("--copies", type=int, metavar="N", help="number of copies (default: 1)")
    parser.add_argument("--notes", metavar="T", help="notes for the person at the printer")
    parser.add_argument("--material", metavar="M", help="material that must be loaded, like PLA")
    parser.add_argument("--force", action="store_true", help="print it even if the checks refuse it")
    parser.add_argument("--front", action="store_true", help="put it before all others")
    parser.add_argument(
        "--once",
        metavar="KEY",
        help="idempotency key: if the command is repeated with the same KEY, the file is not added again",
    )


async def _add(client: OctoPrintClient, args: argparse.Namespace) -> dict[str, Any]:
    fields = {"copies": args.copies, "notes": args.notes, "material": args.material, "job": args.once}
    flags = {"force": args.force or None, "front": args.front or None}
    return await client.queue.add(args.path, **fields, **flags)


def _declare_move(parser: argparse.ArgumentParser) -> None:
    _declare_entry(parser)
    parser.add_argument("place", type=_whole_number, metavar="PLACE", help="its new place; 1 is the first")


async def _clear_bed(client: OctoPrintClient, args: argparse.Namespace) -> dict[str, Any]:
    return await client.queue.bed(clear=not args.no)


def _declare_bed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no", action="store_true", help="mark it as not clear")


_ACTIONS = {
    "list": Action("Show the queue in order.", lambda client, _: client.queue.get(), _format),
    "add": Action("Add a file.", _add, _format_entry, _declare_add),
    "move": Action(
        "Move an entry to another place.",
        lambda client, args: client.queue.move(args.entry, max(0, args.place - 1)),
        _format,
        _declare_move,
    ),
    "remove": Action("Remove an entry.", lambda client, args: client.queue.remove(args.entry), _format, _declare_entry),
    "retry": Action(
        "Queue an entry again after it was refused or its print failed.",
        lambda client, args: client.queue.retry(args.entry),
        _format,
        _declare_entry,
    ),
    "clear": Action("Remove all entries that are not being printed.", lambda client, _: client.queue.clear(), _format),
    "clear-bed": Action("Confirm that the bed is clear: the next print starts.", _clear_bed, _format, _declare_bed),
    "pause": Action("Start no further print.", lambda client, _: client.queue.pause(), _format),
    "resume": Action("Start prints from the queue again.", lambda client, _: client.queue.resume(), _format),
}
