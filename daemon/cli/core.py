"""`nozzled core`: the part of the daemon that owns the printer. `nozzled front` connects to it."""

import argparse

from daemon.cli.serve import add_service, run_with

EXAMPLE = "nozzled core --config /etc/nozzled.toml"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add_service(parser)


def run(args: argparse.Namespace) -> int:
    """Run the core."""
    return run_with(args, None)
