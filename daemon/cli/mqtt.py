"""`nozzled mqtt`: publishes the state of printer and print to an MQTT broker, for Home Assistant and others."""

import argparse
import os
import time  # noqa: TID251 - as in `serve`: the wall clock is injected from here
from pathlib import Path
from typing import Any

from daemon.cli.companion import add_companion, not_running
from daemon.cli.remote import Action, printable, run
from daemon.client import OctoPrintClient
from daemon.companions.companion import Companion
from daemon.errors import ConfigError

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "nozzled mqtt status"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add_companion(parser, _ACTIONS, "Publish to the broker until SIGTERM or Ctrl-C.", _serve)


def _serve(args: argparse.Namespace) -> int:
    from daemon.cli.companion_process import serve  # noqa: PLC0415 - for the process alone

    def make(client: OctoPrintClient, folder: Path, config: Path | None) -> Companion:
        try:
            from daemon.companions.mqtt.companion import MqttCompanion  # noqa: PLC0415 - as above
        except ModuleNotFoundError as error:
            raise ConfigError(
                "MQTT needs the package aiomqtt: install nozzled[mqtt] (docs/mqtt.md says how)"
            ) from error
        from daemon.companions.mqtt.config import read  # noqa: PLC0415 - as above

        return MqttCompanion(client, folder, config=read(config, os.environ), environ=os.environ, wall=time.time)

    return serve("mqtt", make, args)


async def _status(client: OctoPrintClient, _: argparse.Namespace) -> dict[str, Any]:
    return await client.companions.get("mqtt")


def _format(companion: dict[str, Any]) -> str:
    state = companion["state"] or {}
    rows = [not_running("mqtt")] if companion["away"] else []
    if state:
        trouble = f"not connected: {state['trouble']}" if state["trouble"] else "connecting"
        connection = "connected" if state["connected"] else trouble
        rows += [f"broker    {state['broker']}, {connection}", f"topics    {state['topic']}/#"]
        rows += ["commands  accepted"] if state["commands"] else []
    return "\n".join(printable(row) for row in rows)


_ACTIONS = {"status": Action("Show whether the broker is connected, and the base topic.", _status, _format)}
