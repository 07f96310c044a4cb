"""`nozzled mqtt`: a broker, and Home Assistant by it, are told what printer and print do."""

import argparse
import os
import time  # noqa: TID251 - as in `serve`: the wall clock is injected from here
from pathlib import Path
from typing import Any

from daemon.cli.remote import Action, add_server, add_to, printable
from daemon.cli.remote import run as run_remote
from daemon.client import OctoPrintClient
from daemon.companions.companion import Companion
from daemon.errors import ConfigError

EXAMPLE = "nozzled mqtt status"
_SERVE = "Tell it, until SIGTERM or Ctrl-C."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    add_to(actions, {"status": Action("Show whether the broker is there, and the topics' base.", _status, _format)})
    serving = actions.add_parser("serve", help=_SERVE, description=_SERVE)
    add_server(serving)
    serving.set_defaults(action=None, parser=serving)


def run(args: argparse.Namespace) -> int:
    """Do what was asked."""
    return run_remote(args) if args.action is not None else _serve(args)


def _serve(args: argparse.Namespace) -> int:
    from daemon.companions.serving import serve  # noqa: PLC0415 - for the process alone

    def make(client: OctoPrintClient, folder: Path) -> Companion:
        try:
            from daemon.companions.mqtt.companion import MqttCompanion  # noqa: PLC0415 - as above
        except ModuleNotFoundError as error:
            raise ConfigError(
                "MQTT takes the package aiomqtt: install nozzled[mqtt] (docs/mqtt.md says how)"
            ) from error
        from daemon.companions.mqtt.config import read  # noqa: PLC0415 - as above

        return MqttCompanion(client, folder, config=read(args.config, os.environ), environ=os.environ, wall=time.time)

    return serve("mqtt", make, args)


async def _status(client: OctoPrintClient, _: argparse.Namespace) -> dict[str, Any]:
    return await client.companions.get("mqtt")


def _format(told: dict[str, Any]) -> str:
    state = told["state"] or {}
    rows = ["nozzled-mqtt does not run: sudo systemctl enable --now nozzled-mqtt"] if told["away"] else []
    if state:
        connected = "connected" if state["connected"] else f"not connected: {state['trouble'] or 'it is tried'}"
        rows += [f"broker    {state['broker']}, {connected}", f"topics    {state['topic']}/#"]
        rows += ["commands  are taken"] if state["commands"] else []
    return "\n".join(printable(row) for row in rows)
