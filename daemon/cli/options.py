"""Options that several commands share, and the configuration that comes out of them."""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemon.config import Config, load, merge

UNFIT = 6
"""Exit code: the file is refused, or what was asked does not fit the printer's state."""

# option on the command line → section and key of the configuration
_KEYS = {
    "host": ("http", "host"),
    "port": ("http", "port"),
    "state_dir": ("paths", "state_dir"),
    "printer": ("printer", "address"),
    "preset": ("profile", "preset"),
}


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add --config and --state-dir."""
    parser.add_argument("--config", type=Path, metavar="F", help="TOML file (default: $NOZZLED_CONFIG)")
    parser.add_argument("--state-dir", metavar="D", help="directory for uploads, database and key")


def add_preset(parser: argparse.ArgumentParser) -> None:
    """Add --preset."""
    parser.add_argument("--preset", metavar="NAME", help="a printer that is known (all: nozzled config --preset list)")


def configured(args: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Config:
    """Return the configuration with what the command line says in place of the file's values.

    Raises:
        ConfigError: the file or a value cannot be used.
    """
    tables: dict[str, dict[str, Any]] = {}
    for option, (section, key) in _KEYS.items():
        value = getattr(args, option, None)
        if value is not None:
            tables.setdefault(section, {})[key] = value
    return merge(load(args.config, environ), tables, "command line")
