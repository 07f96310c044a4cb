"""Finds the daemon of this machine for which a command works: the installed service, or one started by hand.

The state directory is that of --state-dir, `[paths] state_dir` or $STATE_DIRECTORY; otherwise it is that of the
installed service, if there is one, unless the service is stopped and a daemon that was started by hand runs.
"""

import argparse
import fcntl
import os
import shlex
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from daemon.cli.options import STATE_DIR, configured
from daemon.config import Config, path_of, state_dir
from daemon.errors import ConfigError
from daemon.systemd import installed
from daemon.systemd.directories import of_systemd
from daemon.systemd.installed import InstalledService, Systemctl
from gcode.frozen import frozen

ROOT = Path("/")
HOW_TO_NAME = "use --config or --state-dir to name the daemon"
LOCK = "front.lock"
"""File in the state directory that a running front holds locked."""

CONNECT_TIMEOUT = 1.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - compared with, not listened on


@frozen
class LocalDaemon:
    """The daemon of this machine for which a command works.

    Attributes:
        config: its configuration.
        state: its state directory.
        service: the installed service; None: a daemon started by hand.
    """

    config: Config
    state: Path
    service: InstalledService | None


def find(args: argparse.Namespace, environ: Mapping[str, str] = os.environ, root: Path = ROOT) -> LocalDaemon:
    """Return the daemon that the command line means.

    Raises:
        ConfigError: the configuration cannot be used, or several printers have services and none is named.
    """
    service = _service(args, environ, root)
    if service is not None:
        args = argparse.Namespace(**{**vars(args), "config": service.config})
    config = configured(args, environ)
    own = state_dir(config, environ)
    if service is not None and own == service.state:
        return LocalDaemon(config, own, service)
    if service is None or config.paths.state_dir or of_systemd(environ, "STATE_DIRECTORY"):
        return LocalDaemon(config, own, None)
    if not service.runs and is_in_use(own):  # the service is stopped, and a daemon was started by hand
        return LocalDaemon(config, own, None)
    return LocalDaemon(config, service.state, service)


def _service(args: argparse.Namespace, environ: Mapping[str, str], root: Path) -> InstalledService | None:
    """Return the installed service whose configuration is used; None: no service uses it."""
    if args.config is not None or environ.get("NOZZLED_CONFIG"):
        path = path_of(args.config, environ)
        return None if path is None else installed.service_of(path, root)
    services = list(installed.services(root))
    single = next((each for each in services if not each.printer), None)
    if single is not None and single.runs:
        return single
    running = [each for each in services if each.printer and each.runs]
    if len(running) > 1 and not getattr(args, STATE_DIR, None):
        choices = ", ".join(f"--config {each.config}" for each in running)
        raise ConfigError(f"several printers have services here; choose one: {choices}")
    return running[0] if running else single


def is_in_use(state: Path) -> bool | None:
    """Tell whether a daemon uses this state directory; None: this user has no permission to find out."""
    try:
        descriptor = os.open(state / LOCK, os.O_RDONLY | os.O_NOFOLLOW)
    except PermissionError:
        return None
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def require_rights(target: LocalDaemon, args: argparse.Namespace) -> None:
    """Check that the state directory can be read and written, so that nothing is left half done.

    Raises:
        ConfigError: it cannot; the text says how it can.
    """
    if target.service is None or os.access(target.state, os.R_OK | os.W_OK | os.X_OK):
        return
    if not target.service.state.exists():
        raise ConfigError(
            f"{target.service.core} has not run yet, so {target.state} does not exist: sudo systemctl start "
            + target.service.core_name
        )
    raise ConfigError(f"only the service and root may read {target.state}: {with_sudo(args)}")


def require_own_daemon(target: LocalDaemon, *, makes_a_key: bool) -> None:
    """Check that the daemon that answers, if any, uses this state directory; if no key is to be made, only warn.

    Raises:
        ConfigError: the daemon would not accept a key that is made now.
    """
    if target.service is not None or is_in_use(target.state) is not False:
        return
    host, port = host_and_port(target)
    if not is_served(host, port):
        return
    elsewhere = f"the daemon at {url(host, port)} does not use {target.state}"
    if makes_a_key:
        raise ConfigError(f"{elsewhere}, so it would not accept a key made there: {HOW_TO_NAME}")
    print(f"nozzled: {elsewhere}: {HOW_TO_NAME}", file=sys.stderr)


def with_sudo(args: argparse.Namespace) -> str:
    """Return the user's command line, with sudo before it."""
    return shlex.join(["sudo", "nozzled", *getattr(args, "words", ["…"])])


# -- where it listens --------------------------------------------------------------------------------------------


def host_and_port(target: LocalDaemon, ask: Systemctl = installed.systemctl) -> tuple[str, int]:
    """Return host and port at which this machine reaches the daemon; port 0: any port."""
    host, port = target.config.http.host, target.config.http.port
    if target.service is not None and not target.service.printer and (at := _nearest(installed.listening(ask))):
        before, _, after = at.rpartition(":")
        host, port = before.strip("[]"), int(after)
    return reached_at(host), port


def reached_at(host: str) -> str:
    """Return the address at which this machine reaches a server that listens on `host`."""
    if host == "::" and not _has_ipv6():
        return _EVERYWHERE["0.0.0.0"]  # noqa: S104 - as above
    return _EVERYWHERE.get(host, host)


def _has_ipv6() -> bool:
    """Tell whether this machine has IPv6; even if sysctl has switched it off, a server can listen on `::`."""
    try:
        with socket.socket(socket.AF_INET6) as attempt:
            attempt.bind((_EVERYWHERE["::"], 0))
    except OSError:
        return False
    return True


def _nearest(addresses: list[str]) -> str:
    """Return an address that this machine reaches without the network, or else any address; "" if there is none."""
    hosts = {each: each.rpartition(":")[0].strip("[]") for each in addresses}
    local = [each for each, host in hosts.items() if host in _EVERYWHERE or host.startswith("127.") or host == "::1"]
    return next(iter(local or addresses), "")


def url(host: str, port: int) -> str:
    """Return the address of a server."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_served(host: str, port: int) -> bool:
    """Tell whether a server listens at this address."""
    if not port:
        return False
    try:
        with socket.create_connection((host, port), CONNECT_TIMEOUT):
            return True
    except OSError:
        return False
