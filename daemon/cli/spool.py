"""`nozzled spool`: Spoolman's spools, and the tools that they are on."""

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from daemon.cli.companion import not_running
from daemon.cli.remote import Action, add_actions, printable, run
from daemon.client import ClientError, NotFound, OctoPrintClient

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "nozzled spool use 12"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add_actions(parser, _ACTIONS)


_NOT_CONFIGURED = "Spoolman is not configured: set [spoolman] url to its address"


@asynccontextmanager
async def _explain_missing_companion() -> AsyncIterator[None]:
    """Replace the error if the companion is not switched on: its name does not suggest Spoolman."""
    try:
        yield
    except NotFound as error:
        if "not switched on" not in error.text:
            raise
        raise NotFound("", error.status, _NOT_CONFIGURED) from error


async def _list(client: OctoPrintClient, _: argparse.Namespace) -> Any:
    async with _explain_missing_companion():
        return (await client.companions.ask("notify", "spools"))["spools"]


def _format_list(spools: list[dict[str, Any]]) -> str:
    return "\n".join(printable(f"{each['id']:>5}  {_describe(each)}") for each in spools) or "Spoolman has no spools"


def _describe(spool: dict[str, Any]) -> str:
    weight = spool["left_weight"]
    parts = [spool["vendor"], spool["name"], spool["material"], f"{weight:.0f} g left" if weight is not None else None]
    return "  ".join(part for part in parts if part)


async def _status(client: OctoPrintClient, _: argparse.Namespace) -> Any:
    async with _explain_missing_companion():
        companion = await client.companions.get("notify")
    if companion["state"] is None:  # only the companion knows whether Spoolman is configured
        raise ClientError(not_running("notify") if companion["away"] else "nozzled-notify has just started: try again")
    return companion["state"].get("spoolman")


def _format(spoolman: dict[str, Any] | None) -> str:
    if spoolman is None:
        return _NOT_CONFIGURED
    rows = [f"T{each['tool']}  {_tool_text(each)}" for each in spoolman["tools"]]
    rows += [f"{spoolman['owed'] / 1000:.1f} m not reported yet"] if spoolman["owed"] else []
    rows += [spoolman["away"]] if spoolman["away"] else []
    return "\n".join(printable(row) for row in rows)


def _tool_text(tool: dict[str, Any]) -> str:
    if tool["id"] is None:
        return "no spool"
    return f"{tool['id']}  " + (_describe(tool["spool"]) if tool["spool"] is not None else "not read from Spoolman yet")


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number; `nozzled spool list` shows the numbers")
    return int(text)


def _declare_tool(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tool", type=_number, default=0, metavar="N", help="number of the tool (default: 0)")


def _declare_use(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("spool", type=_number, metavar="SPOOL", help="its number in Spoolman")
    _declare_tool(parser)


async def _use(client: OctoPrintClient, args: argparse.Namespace) -> Any:
    async with _explain_missing_companion():
        await client.companions.ask("notify", "spool", {"tool": args.tool, "spool": args.spool})
    return await _status(client, args)


async def _none(client: OctoPrintClient, args: argparse.Namespace) -> Any:
    async with _explain_missing_companion():
        await client.companions.ask("notify", "spool", {"tool": args.tool, "spool": None})
    return await _status(client, args)


_ACTIONS = {
    "status": Action("Show the spool on each tool, and how much filament is left.", _status, _format),
    "list": Action("List the spools that Spoolman has.", _list, _format_list),
    "use": Action("Assign a spool to a tool.", _use, _format, _declare_use),
    "none": Action("Remove the spool from a tool.", _none, _format, _declare_tool),
}
