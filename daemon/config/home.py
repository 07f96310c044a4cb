"""Paths below a home directory."""

from pathlib import Path

from daemon.errors import ConfigError


def expand_home(path: str) -> Path:
    """Return a path with the home directory in place of `~` or `~USER` at its beginning.

    Raises:
        ConfigError: there is no such user, or HOME is not set and this user has no home directory.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        who = path.partition("/")[0]
        raise ConfigError(f"{path}: there is no home directory for {who}: name a full path") from error
