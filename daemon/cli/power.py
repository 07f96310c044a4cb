"""`nozzled power`: the printer's power and other switches, and the process that controls them."""

import argparse
import os
import time  # noqa: TID251 - as in `serve`: the wall clock is injected from here
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from daemon.cli.companion import add_companion, not_running
from daemon.cli.remote import Action, printable, run
from daemon.client import OctoPrintClient
from daemon.companions.companion import Companion

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "nozzled power on"
_WORDS = {True: "on", False: "off", None: "unknown"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    summary = "Run the process that controls the switches and reads the sensors, until SIGTERM or Ctrl-C."
    command = add_companion(parser, _ACTIONS, summary, _serve)
    command.add_argument("--stop-socket", type=Path, metavar="F", help="the core's socket for a stop button")


def _serve(args: argparse.Namespace) -> int:
    from daemon.cli.companion_process import serve  # noqa: PLC0415 - for the process alone
    from daemon.companions.power.assembly import assemble  # noqa: PLC0415 - as above
    from daemon.config import stop_socket  # noqa: PLC0415 - as above

    with ExitStack() as stack:

        def make(client: OctoPrintClient, folder: Path, config: Path | None) -> Companion:
            # if the printer is on another computer, the core of this computer must not be stopped
            own_socket = None if args.url else stop_socket(os.environ, folder.parents[1])
            return assemble(client, folder, config, os.environ, time.time, args.stop_socket or own_socket, stack)

        return serve("power", make, args)


async def _status(client: OctoPrintClient, _: argparse.Namespace) -> dict[str, Any]:
    return await client.companions.get("power")


def _format(companion: dict[str, Any]) -> str:
    state = companion["state"]
    if companion["away"] or state is None:
        return not_running("power")
    rows = [_row(each) for each in state["devices"]] or [
        "no switches are configured: add [[power.devices]] to the configuration"
    ]
    if state["offAt"] is not None:
        seconds = max(0, round(state["offAt"] - time.time()))
        rows.append(f"{state['printer']} will be switched off in {seconds} s; `nozzled power cancel` keeps it on")
    elif state["auto"] and state["waits"]:
        rows.append(f"{state['printer']} is not switched off automatically yet: {state['waits']}")
    sensors = state["sensors"]
    rows += [
        f"{each['name']}: {'filament present' if each['present'] else 'NO FILAMENT'}"
        for each in sensors.get("filament", [])
    ]
    if "stop" in sensors:
        is_direct = sensors["stop"].get("direct", True)
        detour = "" if is_direct else ", but only through the front: this computer has no stop.sock"
        rows.append(f"stop button: {'PUSHED, or its wire is broken' if sensors['stop']['pushed'] else 'ready'}{detour}")
    return "\n".join(printable(row) for row in rows)


def _row(device: dict[str, Any]) -> str:
    name, of_printer = device["name"], " (the printer's)" if device["printer"] else ""
    # an error names the device first, as it is also shown alone: "plug: cannot …", "plug does not answer"
    error = (device["error"] or "").removeprefix(name).removeprefix(":").lstrip()
    return f"{name}{of_printer}: {_WORDS[device['on']]}" + (f", {error}" if error else "")


def _declare_switch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("device", nargs="?", metavar="NAME", help="which switch (default: the printer's)")


def _declare_off(parser: argparse.ArgumentParser) -> None:
    _declare_switch(parser)
    parser.add_argument("--force", action="store_true", help="even while the printer prints or is hot")


def _request(args: argparse.Namespace) -> dict[str, Any]:
    device = {"device": args.device} if args.device is not None else {}
    return {**device, "force": True} if getattr(args, "force", False) else device


async def _on(client: OctoPrintClient, args: argparse.Namespace) -> Any:
    return await client.companions.ask("power", "on", _request(args))


async def _off(client: OctoPrintClient, args: argparse.Namespace) -> Any:
    return await client.companions.ask("power", "off", _request(args))


async def _cancel(client: OctoPrintClient, _: argparse.Namespace) -> None:
    await client.companions.ask("power", "cancel")


def _format_switch(switch: dict[str, Any]) -> str:
    return printable(f"{switch['device']}: {_WORDS[switch['on']]}")


_ACTIONS = {
    "status": Action("Show switches, sensors, and whether the printer is about to be switched off.", _status, _format),
    "on": Action("Switch the printer or another device on.", _on, _format_switch, _declare_switch),
    "off": Action(
        "Switch the printer or another device off; refused while the printer prints or is hot.",
        _off,
        _format_switch,
        _declare_off,
    ),
    "cancel": Action("Cancel the announced automatic switch-off: the printer stays on.", _cancel),
}
