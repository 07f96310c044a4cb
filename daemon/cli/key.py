"""`nozzled key`: the key that clients need."""

import argparse
import os

from daemon.cli.options import add_config, configured
from daemon.config import state_dir
from daemon.front.access.keys import Keys

EXAMPLE = 'curl -H "X-Api-Key: $(nozzled key)" http://127.0.0.1:5000/api/job'


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add_config(parser)
    parser.add_argument(
        "--rotate", action="store_true", help="make a new one; a running daemon takes it within a second"
    )


def run(args: argparse.Namespace) -> int:
    """Print the key and nothing else."""
    config = configured(args)
    keys = Keys.load(config, state_dir(config, os.environ), os.environ)
    if args.rotate:
        keys.rotate()
    print(keys.key)
    return 0
