"""What the companions' commands share: their actions, and `serve`, which runs the companion itself."""

import argparse
from collections.abc import Callable, Mapping

from daemon.cli.remote import Action, add_server, add_to


def add_companion(
    parser: argparse.ArgumentParser,
    actions: Mapping[str, Action],
    summary: str,
    serve: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    """Declare the actions, and `serve` with this summary; return the command line of `serve`."""
    chosen = parser.add_subparsers(required=True, metavar="ACTION")
    add_to(chosen, actions)
    command = chosen.add_parser("serve", help=summary, description=summary)
    add_server(command)
    command.set_defaults(run=serve, parser=command)
    return command


def not_running(name: str) -> str:
    """Return what to say, and to do, if a companion does not answer."""
    return f"nozzled-{name} is not running: sudo systemctl enable --now nozzled-{name}"
