"""`nozzled key`: the key that clients need."""

import argparse
import os

from daemon.cli.options import add_config, configured
from daemon.config import state_dir
from daemon.keys import Keys

EXAMPLE = 'curl -H "X-Api-Key: $(nozzled key)" http://127.0.0.1:5000/api/job'


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add_config(parser)


def run(args: argparse.Namespace) -> int:
    """Print the key and nothing else."""
    config = configured(args)
    print(Keys.load(config, state_dir(config, os.environ), os.environ).key)
    return 0
