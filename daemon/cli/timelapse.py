"""`nozzled timelapse`: timelapse films of prints, and the process that makes them."""

import argparse
import os
import time  # noqa: TID251 - the date in the names of films
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from daemon.cli.companion import add_companion
from daemon.cli.remote import Action, printable, run
from daemon.client import NotFound, OctoPrintClient
from daemon.companions.companion import Companion
from daemon.config.sections import describe_switched_off

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "nozzled timelapse list"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add_companion(
        parser,
        _ACTIONS,
        "Take pictures of prints and make films of them, until SIGTERM or Ctrl-C; needs a section [timelapse].",
        _serve,
    )


def _serve(args: argparse.Namespace) -> int:
    from daemon.cli.companion_process import serve  # noqa: PLC0415 - for the process alone

    def make(client: OctoPrintClient, folder: Path, config: Path | None) -> Companion:
        from daemon.companions.timelapse.config import read  # noqa: PLC0415 - as above
        from daemon.companions.timelapse.timelapse import Timelapse  # noqa: PLC0415 - as above

        return Timelapse(client, folder, read(config, os.environ), time.time)

    return serve("timelapse", make, args)


async def _list(client: OctoPrintClient, _: argparse.Namespace) -> dict[str, Any]:
    films: dict[str, Any] = await client.get("/api/timelapse?unrendered=true")
    return films


def _format(films: Mapping[str, Any]) -> str:
    if not films["enabled"]:
        return describe_switched_off("timelapse")
    rows = [f"{each['date']}  {each['size']:>9}  {each['name']}" for each in films["files"]] or ["no films"]
    for each in films["unrendered"]:
        doing = "recording" if each["recording"] else "rendering" if each["rendering"] else each.get("failed")
        rows.append(f"{each['date']}  {each['size']:>9}  {each['name']}  {each.get('pictures', '?')} pictures, no film"
                    + (f" ({doing})" if doing else ""))  # fmt: skip
    return "\n".join(printable(row) for row in rows)


def _declare_film(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="as `nozzled timelapse list` shows it")


async def _delete(client: OctoPrintClient, args: argparse.Namespace) -> None:
    films = {each["name"] for each in (await _list(client, args))["files"]}
    path = "" if args.name in films else "unrendered/"
    await client.delete(f"/api/timelapse/{path}{quote(args.name, safe='')}")


async def _render(client: OctoPrintClient, args: argparse.Namespace) -> None:
    await client.post(f"/api/timelapse/unrendered/{quote(args.name, safe='')}", {"command": "render"})


async def _address(client: OctoPrintClient, args: argparse.Namespace) -> str:
    path = f"/downloads/timelapse/{quote(args.name, safe='')}"
    try:
        await client.head(path)  # not the list, which has no films while the companion is away
    except NotFound as error:  # a link to it could be made, but shows nothing
        films = await _list(client, args)
        why = "`nozzled timelapse list` shows the films" if films["enabled"] else _format(films)
        raise NotFound("", HTTPStatus.NOT_FOUND, f"there is no film {args.name}: {why}") from error
    links: dict[str, str] = (await client.post("/api/links", {"paths": [path]}))["links"]
    return client.url + links[path]


_ACTIONS = {
    "list": Action("List the films, and the recordings without a film.", _list, _format),
    "delete": Action("Delete a film, or a recording without a film.", _delete, arguments=_declare_film),
    "render": Action("Make a film of a recording; refused during a print.", _render, arguments=_declare_film),
    "play-address": Action(
        "Show an address that a player or a browser can open without a key for some minutes.",
        _address,
        str,
        _declare_film,
    ),
}
