"""`nozzled power`: the printer's power and other switches, and the process that has them."""

import argparse
import time  # noqa: TID251 - the wall clock is injected from here
from pathlib import Path
from typing import Any

from daemon.cli import remote
from daemon.cli.remote import Action, add_server, add_to, printable
from daemon.client import OctoPrintClient

EXAMPLE = "nozzled power on"
_WORDS = {True: "on", False: "off", None: "not known"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    add_to(actions, _ACTIONS)
    summary = "Run the process that has the switches and sensors, until SIGTERM or Ctrl-C."
    command = actions.add_parser("serve", help=summary, description=summary)
    add_server(command)
    command.add_argument("--stop-socket", type=Path, metavar="F", help="where the core waits for a stop button")
    command.set_defaults(action=None, parser=command)


def run(args: argparse.Namespace) -> int:
    """Do what was asked; return the exit code."""
    if args.action is not None:
        return remote.run(args)
    from daemon.companions.power.serving import serve  # noqa: PLC0415 - it is not needed for a question

    return serve(args, time.time)


async def _status(client: OctoPrintClient, _: argparse.Namespace) -> dict[str, Any]:
    return await client.companions.get("power")


def _format(told: dict[str, Any]) -> str:
    state = told["state"]
    if told["away"] or state is None:
        return "`nozzled power serve` does not run: sudo systemctl enable --now nozzled-power"
    rows = [_row(each) for each in state["devices"]] or [
        "there are no switches: [[power.devices]] in the configuration"
    ]
    if state["offAt"] is not None:
        left = max(0, round(state["offAt"] - time.time()))
        rows.append(f"{state['printer']} goes off in {left} s; `nozzled power cancel` keeps it on")
    elif state["auto"] and state["waits"]:
        rows.append(f"{state['printer']} does not go off by itself yet: {state['waits']}")
    sensors = state["sensors"]
    rows += [f"{each['name']}: {'there' if each['present'] else 'NONE'}" for each in sensors.get("filament", [])]
    if "stop" in sensors:
        way = "" if sensors["stop"].get("direct", True) else ", through the front alone: there is no stop.sock here"
        rows.append(f"stop button: {'PUSHED, or its wire is broken' if sensors['stop']['pushed'] else 'ready'}{way}")
    return "\n".join(printable(row) for row in rows)


def _row(device: dict[str, Any]) -> str:
    of_printer = " (the printer's)" if device["printer"] else ""
    return f"{device['name']}{of_printer}: {_WORDS[device['on']]}" + (f", {device['error']}" if device["error"] else "")


def _for_switch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("device", nargs="?", metavar="NAME", help="which switch (default: the printer's)")


def _for_off(parser: argparse.ArgumentParser) -> None:
    _for_switch(parser)
    parser.add_argument("--force", action="store_true", help="also in a print, or while it is hot")


def _arguments(args: argparse.Namespace) -> dict[str, Any]:
    named = {"device": args.device} if args.device is not None else {}
    return {**named, "force": True} if getattr(args, "force", False) else named


async def _on(client: OctoPrintClient, args: argparse.Namespace) -> Any:
    return await client.companions.ask("power", "on", _arguments(args))


async def _off(client: OctoPrintClient, args: argparse.Namespace) -> Any:
    return await client.companions.ask("power", "off", _arguments(args))


async def _cancel(client: OctoPrintClient, _: argparse.Namespace) -> None:
    await client.companions.ask("power", "cancel")


def _switched(told: dict[str, Any]) -> str:
    return printable(f"{told['device']}: {_WORDS[told['on']]}")


_ACTIONS = {
    "status": Action("Show the switches, what the sensors say, and whether the printer goes off.", _status, _format),
    "on": Action("Switch the printer on, or another device.", _on, _switched, _for_switch),
    "off": Action("Switch it off; refused in a print, and while it is hot.", _off, _switched, _for_off),
    "cancel": Action("Keep the printer on that was to go off by itself.", _cancel),
}
