"""`nozzled farm`: one list of jobs for many printers. Each group of its actions has a module of its own."""

import argparse
import importlib

EXAMPLE = "nozzled farm submit cube.gcode --copies 10 --material PLA"

MODULES: tuple[str, ...] = ("farm_jobs", "farm_serve", "farm_agent")
"""Modules of `daemon.cli`; `add(actions)` of each declares its actions, and sets their default `act`."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    for name in MODULES:
        importlib.import_module(f"daemon.cli.{name}").add(actions)


def run(args: argparse.Namespace) -> int:
    """Run the action; return the exit code."""
    code: int = args.act(args)
    return code
