"""Options that several commands share, and the configuration that results from them."""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemon.config import Config, load, merge

EXIT_UNFIT = 6
"""Exit code: the file is refused, or the request does not fit the printer's state."""

HOST, PORT, STATE_DIR, ADDRESS, PRESET = (
    "http.host", "http.port", "paths.state_dir", "printer.address", "profile.preset",
)  # fmt: skip
"""Names of parsed options that override a setting; each is SECTION.KEY."""


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add --config and --state-dir."""
    parser.add_argument(
        "--config", type=Path, metavar="F", help="TOML file (default: $NOZZLED_CONFIG, else /etc/nozzled.toml)"
    )
    parser.add_argument(
        "--state-dir", dest=STATE_DIR, metavar="D",
        help="directory for uploads, database and key (default: as configured, else $XDG_STATE_HOME/nozzled or "
        "~/.local/state/nozzled)",
    )  # fmt: skip


def add_preset(parser: argparse.ArgumentParser) -> None:
    """Add --preset."""
    parser.add_argument(
        "--preset", dest=PRESET, metavar="NAME", help="a known printer (nozzled config --preset list shows all)"
    )


def add_address(parser: argparse.ArgumentParser) -> None:
    """Add --host and --port."""
    parser.add_argument(
        "--host", dest=HOST, metavar="H", help="address to listen on (default: as configured, else 127.0.0.1)"
    )
    parser.add_argument(
        "--port", dest=PORT, type=int, metavar="P",
        help="TCP port, 0 for any free one (default: as configured, else 5000)",
    )  # fmt: skip


def configured(args: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Config:
    """Return the configuration of the file, overridden by the command line.

    Raises:
        ConfigError: the file or a value cannot be used.
    """
    tables: dict[str, dict[str, Any]] = {}
    for name, value in vars(args).items():
        section, dot, key = name.partition(".")
        if dot and value is not None:
            tables.setdefault(section, {})[key] = value
    return merge(load(args.config, environ), tables, "command line")
