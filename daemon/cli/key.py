"""`nozzled key`: the key that clients need."""

import argparse
import os
import sys
from pathlib import Path

from daemon.cli import local_daemon
from daemon.cli.local_daemon import LocalDaemon
from daemon.cli.options import add_config
from daemon.config import key_file
from daemon.errors import ConfigError
from daemon.front.access.keys import CREDENTIAL, ENVIRONMENT, Keys

EXAMPLE = 'curl -H "X-Api-Key: $(nozzled key)" http://127.0.0.1:5000/api/job'


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add_config(parser)
    parser.add_argument(
        "--rotate", action="store_true", help="make a new key; a running daemon uses it within a second"
    )


def run(args: argparse.Namespace) -> int:
    """Print the key, and nothing else, on stdout."""
    keys = find(args)
    if args.rotate:
        keys.rotate()
    print(keys.key)
    return 0


def find(args: argparse.Namespace) -> Keys:
    """Return the first key of the daemon.

    Raises:
        ConfigError: the key cannot be read; or it does not exist, and no daemon would accept a new key.
    """
    target = local_daemon.find(args)
    environ, is_new = dict(os.environ), False
    if not environ.get(ENVIRONMENT):
        local_daemon.require_rights(target, args)
        if target.service is not None:
            environ.setdefault("CREDENTIALS_DIRECTORY", str(target.service.credentials))
        if not Path(environ.get("CREDENTIALS_DIRECTORY", ""), CREDENTIAL).is_file():
            is_new = _is_new(target, args)
    keys = Keys.load(target.config, target.state, environ)
    if is_new:
        not_elsewhere = "a daemon with another state directory does not accept it"
        print(f"nozzled: created a key in {target.state}; {not_elsewhere}", file=sys.stderr)
    return keys


def _is_new(target: LocalDaemon, args: argparse.Namespace) -> bool:
    """Tell whether there is no key yet; raises ConfigError if no daemon would accept a new key."""
    path = key_file(target.config, target.state)
    try:
        exists = path.exists()
    except PermissionError:
        return False  # reading the key will raise the same error, with the reason
    if exists and not getattr(args, "rotate", False):
        local_daemon.require_own_daemon(target, makes_a_key=False)
        return False
    if local_daemon.is_in_use(target.state) and not exists:
        raise ConfigError(
            f"the daemon got its key from {ENVIRONMENT} or from systemd, so {path} does not exist; a named key works "
            "as well: nozzled keys add NAME"
        )
    local_daemon.require_own_daemon(target, makes_a_key=True)
    if target.service is not None and not exists:
        raise ConfigError(
            f"{target.service.front} has not started yet, so there is no key: sudo systemctl start "
            + target.service.core_name
        )
    return not exists
