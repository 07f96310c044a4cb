"""`nozzled job`: look at the print, start, pause and end it."""

import argparse

from daemon.cli.remote import Action, add_actions, duration, printable, run, table
from daemon.client import OctoPrintClient
from daemon.client.shapes import JobInformation

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "nozzled job status --json"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add_actions(parser, _ACTIONS)


async def _status(client: OctoPrintClient, _: argparse.Namespace) -> JobInformation:
    return await client.job.get()


def _shown(job: JobInformation) -> str:
    progress = job["progress"]
    done, left = progress["completion"], progress["printTimeLeft"]
    spent = duration(progress["printTime"])
    return table(
        {
            "state": job["state"],
            "error": job.get("error", ""),
            "refused": _refused(job),
            "file": job["job"]["file"]["path"] or job["job"]["file"]["name"] or "none selected",
            "done": "" if done is None else f"{done:.1f} %",
            "time": spent and f"{spent} spent" + ("" if left is None else f", about {duration(left)} left"),
        }
    )


def _refused(job: JobInformation) -> str:
    refused = job.get("refused")
    return printable(f"{refused['path']}: {'; '.join(refused['reasons'])}") if refused else ""


def _for_start(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="print it whatever speaks against it")


async def _start(client: OctoPrintClient, args: argparse.Namespace) -> None:
    await client.job.start(force=args.force)


_ACTIONS = {
    "status": Action("Tell what is printed, and how far it is.", _status, _shown),
    "start": Action("Print the selected file.", _start, arguments=_for_start),
    "pause": Action("Pause the print; nothing happens if it is paused.", lambda client, _: client.job.pause()),
    "resume": Action("Go on with a paused print; nothing happens if it runs.", lambda client, _: client.job.resume()),
    "toggle": Action("Pause a running print, go on with a paused one.", lambda client, _: client.job.toggle_pause()),
    "cancel": Action("End the print.", lambda client, _: client.job.cancel()),
    "restart": Action("Print a paused file again from its beginning.", lambda client, _: client.job.restart()),
}
"""The commands to a job return when they are taken; the printer may need a while."""
