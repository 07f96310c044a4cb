"""`nozzled timelapse`: films of prints, and the process that makes them."""

import argparse
import os
import time  # noqa: TID251 - the date that films are called by
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from daemon.cli.remote import Action, add_server, add_to, printable, run
from daemon.client import OctoPrintClient

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "nozzled timelapse list"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    chosen = parser.add_subparsers(required=True, metavar="ACTION")
    add_to(chosen, _ACTIONS)
    serving = chosen.add_parser("serve", help=_SERVE, description=_SERVE)
    add_server(serving)
    serving.set_defaults(run=_serve, parser=serving)


_SERVE = "Take pictures of prints and make films of them, until SIGTERM or Ctrl-C; needs a section [timelapse]."


def _serve(args: argparse.Namespace) -> int:
    from daemon.cli import whose  # noqa: PLC0415 - these are for the process alone
    from daemon.companions.serving import serve  # noqa: PLC0415 - as above
    from daemon.companions.timelapse.config import TimelapseConfig  # noqa: PLC0415 - as above
    from daemon.companions.timelapse.timelapse import Timelapse  # noqa: PLC0415 - as above
    from daemon.config import load_sections  # noqa: PLC0415 - as above

    found = whose.find(args, os.environ)
    path = args.config or (found.service.config if found.service is not None else None)
    config = load_sections(path, os.environ, {"timelapse": TimelapseConfig()})["timelapse"]

    def make(client: OctoPrintClient, folder: Path) -> Timelapse:
        return Timelapse(client, folder, config, time.time)

    return serve("timelapse", make, args)


async def _list(client: OctoPrintClient, _: argparse.Namespace) -> dict[str, Any]:
    told: dict[str, Any] = await client.get("/api/timelapse?unrendered=true")
    return told


def _format(told: Mapping[str, Any]) -> str:
    if not told["enabled"]:
        return "there is no timelapse: the configuration file has no section [timelapse]"
    rows = [f"{each['date']}  {each['size']:>9}  {each['name']}" for each in told["files"]] or ["there are no films"]
    for each in told["unrendered"]:
        doing = (
            "recording" if each["recording"] else "a film is being made" if each["rendering"] else each.get("failed")
        )
        rows.append(f"{each['date']}  {each['size']:>9}  {each['name']}  {each.get('pictures', '?')} pictures, no film"
                    + (f" ({doing})" if doing else ""))  # fmt: skip
    return "\n".join(printable(row) for row in rows)


def _name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="as `nozzled timelapse list` shows it")


async def _delete(client: OctoPrintClient, args: argparse.Namespace) -> None:
    told = await client.get("/api/timelapse?unrendered=true")
    films = {each["name"] for each in told["files"]}
    path = "" if args.name in films else "unrendered/"
    await client.delete(f"/api/timelapse/{path}{quote(args.name, safe='')}")


async def _render(client: OctoPrintClient, args: argparse.Namespace) -> None:
    await client.post(f"/api/timelapse/unrendered/{quote(args.name, safe='')}", {"command": "render"})


async def _address(client: OctoPrintClient, args: argparse.Namespace) -> str:
    path = f"/downloads/timelapse/{quote(args.name, safe='')}"
    links: dict[str, str] = (await client.post("/api/links", {"paths": [path]}))["links"]
    return client.url + links[path]


_ACTIONS = {
    "list": Action("List the films, and the pictures of which no film was made.", _list, _format),
    "delete": Action("Delete a film, or pictures of which no film was made.", _delete, arguments=_name),
    "render": Action("Make a film of pictures; not while something is printed.", _render, arguments=_name),
    "play-address": Action(
        "Show an address for a player or a browser, good for some minutes without a key.", _address, str, _name
    ),
}
