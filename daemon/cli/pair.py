"""`nozzled pair`: let a browser or a phone in, by a link that is good once."""

import argparse
import sys
from typing import Any

from daemon.cli import remote
from daemon.cli.invited import shown
from daemon.cli.keys import SCOPE_HELP, SCOPES
from daemon.cli.remote import Action, printable
from daemon.client import OctoPrintClient
from daemon.front.access.scopes import Scope

EXAMPLE = "nozzled pair --scope control"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("--scope", choices=SCOPES, default=Scope.CONTROL.label, help=SCOPE_HELP)
    parser.add_argument("--no-qr", action="store_true", help="print the link alone")
    remote.add_server(parser)


def run(args: argparse.Namespace) -> int:
    """Print the link, and on a terminal the QR code above it."""
    drawn = sys.stdout.isatty() and not args.no_qr
    args.action = Action("", _pair, lambda made: _shown(made, drawn=drawn))
    return remote.run(args)


async def _pair(client: OctoPrintClient, args: argparse.Namespace) -> dict[str, Any]:
    made: dict[str, Any] = await client.post("/api/pair/codes", {"scope": args.scope})
    return made


def _shown(made: dict[str, Any], *, drawn: bool) -> str:
    links = [printable(each) for each in made["links"]]
    return shown(links, printable(made["scope"]), made["expires"]) if drawn else links[0]
