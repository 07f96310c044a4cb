"""`nozzled farm`: one list of jobs for many printers; each group of its actions is a module of its own."""

import argparse
import importlib

EXAMPLE = "nozzled farm submit cube.gcode --copies 10 --material PLA"

MODULES: tuple[str, ...] = ("farm_jobs", "farm_serve", "farm_agent")
"""Modules of `daemon.cli` with `add(actions)`: each declares its actions, and sets `act` of their command lines."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    for name in MODULES:
        importlib.import_module(f"daemon.cli.{name}").add(actions)


def run(args: argparse.Namespace) -> int:
    """Do what was asked."""
    code: int = args.act(args)
    return code
