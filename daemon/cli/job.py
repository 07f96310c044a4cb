"""`nozzled job`: show, watch, start, pause and end a print."""

import argparse
import asyncio
import shutil
from datetime import datetime
from typing import Any

from daemon.cli.progress import ProgressLine, as_line, as_table, is_out_of_sight, is_recorded, is_under_way
from daemon.cli.remote import Action, accepted_text, add_actions, run
from daemon.client import Conflict, OctoPrintClient
from daemon.client.shapes import JobInformation
from hal.registry import positive_float

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "nozzled job status --json"
RETURN_TIMEOUT = 60.0  # s for the core to be back with its print; a restart takes some seconds


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add_actions(parser, _ACTIONS)


async def _status(client: OctoPrintClient, _: argparse.Namespace) -> JobInformation:
    return await client.job.get()


def _format(job: JobInformation) -> str:
    return as_table(job, datetime.now().astimezone())


def _declare_watch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--interval", type=_seconds, default=1.0, metavar="S", help="seconds between updates (default: 1)"
    )


def _seconds(text: str) -> float:
    try:
        return max(0.1, positive_float(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text}") from None


async def _watch(client: OctoPrintClient, args: argparse.Namespace) -> JobInformation:
    """Show a line until the print ends; return the last answer.

    If the core restarts meanwhile, the front knows of no print for some seconds; that is not the print's end.
    """
    clock = asyncio.get_running_loop().time
    wait_until = 0.0  # for a print that is out of sight
    line = ProgressLine(lambda: shutil.get_terminal_size().columns)
    try:
        while True:
            job = await client.job.get()
            if not args.json:
                line.show(as_line(job, await _temperatures(client), datetime.now().astimezone()))
            if is_recorded(job):
                wait_until = clock() + RETURN_TIMEOUT
            if not (is_under_way(job) or (is_out_of_sight(job) and clock() < wait_until)):
                return job
            await asyncio.sleep(args.interval)
    finally:
        line.end()


async def _temperatures(client: OctoPrintClient) -> dict[str, Any]:
    try:
        return (await client.printer.get(exclude=["state", "sd"])).get("temperature", {})
    except Conflict:  # it is not connected
        return {}


def _declare_start(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="print it even if the checks refuse it")
    parser.add_argument(
        "--once",
        metavar="KEY",
        help="idempotency key: if the command is repeated with the same KEY, no second print starts",
    )


async def _start(client: OctoPrintClient, args: argparse.Namespace) -> None:
    await client.job.start(force=args.force, key=args.once)


_ACTIONS = {
    "status": Action("Show the print and its progress.", _status, _format),
    "watch": Action("Show the progress in one line until the print ends.", _watch, arguments=_declare_watch),
    "start": Action("Print the selected file.", _start, accepted_text, _declare_start),
    "pause": Action(
        "Pause the print; does nothing if it is paused.", lambda client, _: client.job.pause(), accepted_text
    ),
    "resume": Action(
        "Resume a paused print; does nothing if it runs.", lambda client, _: client.job.resume(), accepted_text
    ),
    "toggle": Action(
        "Pause a running print, resume a paused one.", lambda client, _: client.job.toggle_pause(), accepted_text
    ),
    "cancel": Action("End the print.", lambda client, _: client.job.cancel(), accepted_text),
    "restart": Action(
        "Start a paused print again from its beginning.", lambda client, _: client.job.restart(), accepted_text
    ),
}
