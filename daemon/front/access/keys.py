"""The first API key: created at the first start, in a file that only its owner can read, compared in constant time."""

import hmac
import os
import secrets
import uuid
from collections.abc import Mapping
from pathlib import Path

from daemon.config import Config
from daemon.config.home import expand_home
from daemon.errors import ConfigError
from daemon.log.secrets import hide
from daemon.private_file import write_private
from daemon.set_aside import make_way, set_aside, why_unusable

INVALID_KEY = "this API key is not valid"
ENVIRONMENT = "NOZZLED_API_KEY"
MIN_LENGTH = 16  # characters; shorter keys can be guessed

FILE = "api-key"
UUID_FILE = "uuid"
CREDENTIAL = "nozzled.api-key"
"""The name of the key as a systemd credential (`LoadCredential=`)."""


class Keys:
    """The first key, of scope admin; the named keys are in `access.keyring`."""

    def __init__(self, key: str, path: Path | None = None) -> None:
        """Store the key and its file; None: the key is not from a file, and does not change."""
        self.key = key
        self._path = path
        hide(key)

    @classmethod
    def load(cls, config: Config, state_dir: Path, environ: Mapping[str, str]) -> "Keys":
        """Read the key from the environment, from systemd, or from its file, which is created if need be. Blocks.

        Raises:
            ConfigError: the key is too short or not plain text, or its file cannot be read or created.
        """
        key = environ.get(ENVIRONMENT)
        if key:  # empty counts as unset, as for NOZZLED_CONFIG
            return cls(_validated(key, ENVIRONMENT))
        if credential := _credential(environ):
            return cls(_validated(credential, f"the credential {CREDENTIAL}"))
        if not config.api.key_file:
            return cls(_load_own(state_dir / FILE), state_dir / FILE)
        path = expand_home(config.api.key_file)
        try:
            return cls(_validated(_read_or_create(path), str(path)), path)
        except OSError as error:
            raise ConfigError(f"the API key in {path}: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"the API key in {path}: it is not plain text") from error

    def reload(self) -> None:
        """Read the key's file again: it may have been replaced. Blocks.

        Raises:
            ConfigError: it cannot be read, or has no valid key.
        """
        if self._path is None:
            return
        if (reason := why_unusable(self._path, os.R_OK)) is not None:  # reading a pipe would block
            raise ConfigError(f"the API key in {self._path}: {reason}")
        try:
            self.key = _validated(self._path.read_text("ascii"), str(self._path))
            hide(self.key)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"the API key in {self._path}: {error}") from error

    def rotate(self) -> None:
        """Replace the key by a new one; the old one is refused from now on. Blocks.

        Raises:
            ConfigError: the key is not from a file, or the file cannot be written.
        """
        if self._path is None:
            raise ConfigError(f"the API key comes from {ENVIRONMENT} or from systemd: change it there")
        try:
            _write_new(self._path, replace=True)
        except OSError as error:
            raise ConfigError(f"the API key in {self._path}: {error.strerror or error}") from error
        self.reload()

    def accepts(self, key: str) -> bool:
        """Tell whether this is the key, in constant time."""
        return hmac.compare_digest(key.encode("utf-8", "surrogatepass"), self.key.encode())


def environment_of_children(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment for child processes, without the key."""
    return {name: value for name, value in environ.items() if name != ENVIRONMENT}


def _validated(key: str, source: str) -> str:
    key = key.strip()
    if len(key) < MIN_LENGTH:
        raise ConfigError(f"{source}: an API key must have at least {MIN_LENGTH} characters; this one has {len(key)}")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError(f"{source}: an API key must be ASCII characters without spaces")
    return key


def _credential(environ: Mapping[str, str]) -> str:
    """Return the credential from systemd; "" if there is none, even if the unit names it."""
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return ""
    path = Path(folder, CREDENTIAL)
    try:
        return path.read_text("ascii")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the API key in {path}: {error}") from error


def _load_own(path: Path) -> str:
    """Return the key in the state directory; a damaged file is set aside and replaced.

    Raises:
        ConfigError: the file cannot be read or created.
    """
    make_way(path, "there is a new API key; `nozzled key` shows it", os.R_OK)
    try:
        try:
            return _validated(_read_or_create(path), str(path))
        except (ConfigError, UnicodeDecodeError) as error:
            reason = str(error) if isinstance(error, ConfigError) else "it is not plain text"
            set_aside(path, reason, "there is a new API key; `nozzled key` shows it")
            return _validated(_read_or_create(path), str(path))
    except OSError as error:
        raise ConfigError(f"the API key in {path}: {error.strerror or error}") from error


def _read_or_create(path: Path) -> str:
    if not path.exists():
        _write_new(path)
    return path.read_text("ascii")


def _write_new(path: Path, *, replace: bool = False) -> None:
    """Write a new key; without `replace`, keep one that another process has just written."""
    write_private(path, secrets.token_urlsafe(32) + "\n", replace=replace)  # the length of OctoPrint's user keys


def own_uuid(state_dir: Path) -> str:
    """Return this installation's UUID, for clients that find it in the network; a damaged file is set aside. Blocks.

    Raises:
        ConfigError: its file cannot be read or created.
    """
    path = state_dir / UUID_FILE
    make_way(path, "clients find the service under a new UUID", os.R_OK)
    try:
        try:
            return _uuid(path)
        except ValueError as error:  # includes UnicodeDecodeError
            set_aside(path, str(error), "clients find the service under a new UUID")
            return _uuid(path)
    except OSError as error:
        raise ConfigError(f"the daemon's UUID in {path}: {error.strerror or error}") from error


def _uuid(path: Path) -> str:
    if not path.exists():
        write_private(path, f"{uuid.uuid4()}\n", replace=False)
    return str(uuid.UUID(path.read_text("ascii").strip()))
