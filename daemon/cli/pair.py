"""`nozzled pair`: let a browser or a phone in by a link that works once."""

import argparse
import sys
from typing import Any

from daemon.cli import key, remote
from daemon.cli.invitation import invitation_text
from daemon.cli.keys import SCOPE_HELP, SCOPES
from daemon.cli.remote import Action, printable, table
from daemon.client import OctoPrintClient
from daemon.front.access.scopes import Scope

EXAMPLE = "nozzled pair --scope control"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("--scope", choices=SCOPES, help=SCOPE_HELP)
    parser.add_argument("--no-qr", action="store_true", help="print only the link")
    parser.add_argument(
        "--welcome",
        action="store_true",
        help="also print the address and the key for slicers; the first browser paired this way gets the scope admin",
    )
    remote.add_server(parser)


def run(args: argparse.Namespace) -> int:
    """Print the link, on a terminal with its QR code."""
    if args.welcome and not args.json:
        first = key.find(args).key
        args.action = Action("", _pair, lambda code: _welcome(code, first))
    else:
        with_qr_code = sys.stdout.isatty() and not args.no_qr
        args.action = Action("", _pair, lambda code: _format(code, with_qr_code=with_qr_code))
    return remote.run(args)


async def _pair(client: OctoPrintClient, args: argparse.Namespace) -> dict[str, Any]:
    scope = args.scope or Scope.CONTROL.label
    if args.welcome and args.scope is None and not (await client.get("/api/keys"))["keys"]:
        scope = Scope.ADMIN.label  # so that there is someone who can manage keys
    code: dict[str, Any] = await client.post("/api/pair/codes", {"scope": scope})
    return code


def _format(code: dict[str, Any], *, with_qr_code: bool) -> str:
    links = [printable(each) for each in code["links"]]
    return invitation_text(links, printable(code["scope"]), code["expires"]) if with_qr_code else links[0]


def _welcome(code: dict[str, Any], first: str) -> str:
    addresses = [printable(each).partition("#")[0] for each in code["links"]]
    rows = {"address": " or ".join(addresses), "key": f"{first}  (for slicers and apps; keep it secret)"}
    return f"\n{table(rows)}\n{_format(code, with_qr_code=True)}"
