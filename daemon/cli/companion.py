"""What the companions' commands share: their actions, and `serve`, which runs the companion itself."""

import argparse
from collections.abc import Callable, Mapping

from daemon.cli.remote import Action, add_among, add_server


def add_companion(
    parser: argparse.ArgumentParser,
    actions: Mapping[str, Action],
    summary: str,
    serve: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    """Declare the actions, and `serve` with this summary; return the command line of `serve`."""
    subparsers = parser.add_subparsers(required=True, metavar="ACTION")
    add_among(subparsers, actions)
    command = subparsers.add_parser("serve", help=summary, description=summary)
    add_server(command)
    command.set_defaults(run=serve, parser=command)
    return command


def not_running(name: str) -> str:
    """Return the message for a companion that does not answer, with the command that starts it."""
    service, by_hand = f"`sudo systemctl enable --now nozzled-{name}`", f"`nozzled {name} serve`"
    return f"nozzled-{name} is not running: {service} starts it, or by hand {by_hand}"
