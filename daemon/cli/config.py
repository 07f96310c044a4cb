"""`nozzled config`: what is configured, with every key explained."""

import argparse

from daemon.cli.options import add_config, configured
from daemon.config import render

EXAMPLE = "nozzled config > nozzled.toml"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add_config(parser)


def run(args: argparse.Namespace) -> int:
    """Print the configuration."""
    print(render(configured(args)), end="")
    return 0
