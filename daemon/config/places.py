"""Paths of the service: directories, sockets, the key."""

from collections.abc import Mapping
from pathlib import Path

from daemon.config.home import expand_home
from daemon.config.sections import Config
from daemon.errors import ConfigError
from daemon.systemd.directories import of_systemd

UPLOADS = "uploads"
"""Folder in the state directory: the front writes there, the core reads."""

_OWN = ".local/state/nozzled"  # the user's own state directory, in the home directory


def state_dir(config: Config, environ: Mapping[str, str]) -> Path:
    """Return the directory for uploads and databases: the configured one, systemd's, or the user's own.

    Raises:
        ConfigError: it is below a home directory, and there is none.
    """
    if config.paths.state_dir:
        return expand_home(config.paths.state_dir)
    if directory := of_systemd(environ, "STATE_DIRECTORY"):
        return directory
    xdg = Path(environ.get("XDG_STATE_HOME", ""))
    if xdg.is_absolute():
        return xdg / "nozzled"
    if home := environ.get("HOME"):
        return Path(home) / _OWN
    try:
        return Path.home() / _OWN
    except RuntimeError as error:  # a container may run under a number that no user has
        raise ConfigError("this user has no home directory: name a directory with --state-dir, or set HOME") from error


def logbook_file(environ: Mapping[str, str]) -> Path | None:
    """Return the path of the logbook, in memory that a power cut clears; None: there is no folder in memory."""
    if directory := of_systemd(environ, "RUNTIME_DIRECTORY"):
        return directory / "logbook"
    xdg = Path(environ.get("XDG_RUNTIME_DIR", ""))
    return xdg / "nozzled-logbook" if xdg.is_absolute() and xdg.is_dir() else None


def core_socket(environ: Mapping[str, str]) -> Path | None:
    """Return the core's socket for the front; None: there is no runtime directory."""
    logbook = logbook_file(environ)
    if logbook is None:
        return None
    return logbook.with_name("core.sock" if logbook.name == "logbook" else "nozzled-core.sock")


def stop_socket(environ: Mapping[str, str], state: Path) -> Path:
    """Return the core's socket for a stop button; without a runtime directory it is in the state directory."""
    core = core_socket(environ)
    return core.with_name(core.name.replace("core", "stop")) if core else state / "stop.sock"


def key_file(config: Config, state: Path) -> Path:
    """Return the file that holds the API key."""
    return expand_home(config.api.key_file) if config.api.key_file else state / "api-key"
