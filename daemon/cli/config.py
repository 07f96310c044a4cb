"""`nozzled config`: what is configured, with every key explained."""

import argparse

from daemon.cli.options import add_config, configured
from daemon.config import render

SUMMARY = "Print the effective configuration as TOML, each key with its meaning and default."
EXAMPLE = "nozzled config > /etc/nozzled.toml"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add_config(parser)


def run(args: argparse.Namespace) -> int:
    """Print the configuration."""
    print(render(configured(args)), end="")
    return 0
