"""The API key: made at the first start, kept in a file for its owner's eyes only, compared in constant time."""

import hmac
import os
import secrets
import uuid
from collections.abc import Mapping
from pathlib import Path

from daemon.config import Config
from daemon.errors import ConfigError
from daemon.log.secrets import hide
from daemon.private_file import write_private
from daemon.set_aside import make_way, set_aside, unusable

ENVIRONMENT = "NOZZLED_API_KEY"
MIN_LENGTH = 16
"""Characters; what is shorter can be guessed."""

FILE = "api-key"
UUID_FILE = "uuid"
CREDENTIAL = "nozzled.api-key"
"""Name by which systemd may hand the key in (`LoadCredential=`)."""


class Keys:
    """The first key, which may do everything; those with names are in `access.keyring`."""

    def __init__(self, key: str, path: Path | None = None) -> None:
        """Take the key, and the file that it came from; None: from somewhere that does not change."""
        self.key = key
        self._path = path
        hide(key)

    @classmethod
    def load(cls, config: Config, state_dir: Path, environ: Mapping[str, str]) -> "Keys":
        """Take the key from the environment, else from systemd, else from its file, which is made if need be. Blocks.

        Raises:
            ConfigError: the key is too short or not plain text, or its file cannot be read or made.
        """
        given = environ.get(ENVIRONMENT)
        if given:  # set to nothing it is as good as unset, as with NOZZLED_CONFIG
            return cls(_checked(given, ENVIRONMENT))
        if credential := _credential(environ):
            return cls(_checked(credential, f"the credential {CREDENTIAL}"))
        if not config.api.key_file:
            return cls(_own(state_dir / FILE), state_dir / FILE)
        path = Path(config.api.key_file).expanduser()
        try:
            return cls(_checked(_read_or_make(path), str(path)), path)
        except OSError as error:
            raise ConfigError(f"the API key in {path}: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"the API key in {path}: it is not plain text") from error

    def reload(self) -> None:
        """Read the key's file again: somebody may have made another one. Blocks.

        Raises:
            ConfigError: it cannot be read, or holds no key.
        """
        if self._path is None:
            return
        if (reason := unusable(self._path, os.R_OK)) is not None:  # a pipe would be waited for
            raise ConfigError(f"the API key in {self._path}: {reason}")
        try:
            self.key = _checked(self._path.read_text("ascii"), str(self._path))
            hide(self.key)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"the API key in {self._path}: {error}") from error

    def rotate(self) -> None:
        """Put a new key in the place of this one; who uses the old one is refused from now on. Blocks.

        Raises:
            ConfigError: the key is not in a file, or that cannot be written.
        """
        if self._path is None:
            raise ConfigError(f"the API key comes from {ENVIRONMENT} or from systemd: change it there")
        try:
            _make(self._path, replace=True)
        except OSError as error:
            raise ConfigError(f"the API key in {self._path}: {error.strerror or error}") from error
        self.reload()

    def accepts(self, given: str) -> bool:
        """Tell whether this is the key, in a time that does not depend on where it differs."""
        return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), self.key.encode())


def environment_of_children(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what programs that the service starts inherit: all but the key."""
    return {name: value for name, value in environ.items() if name != ENVIRONMENT}


def _checked(key: str, source: str) -> str:
    key = key.strip()
    if len(key) < MIN_LENGTH:
        raise ConfigError(f"{source}: an API key has at least {MIN_LENGTH} characters, this one has {len(key)}")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError(f"{source}: an API key is made of ASCII characters without blanks")
    return key


def _credential(environ: Mapping[str, str]) -> str:
    """Return what systemd hands in, "" if it is nothing: the credential may be named in the unit and not exist."""
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


def _own(path: Path) -> str:
    """Return the key that the service keeps for itself; one that is damaged is set aside and made anew.

    Raises:
        ConfigError: the file cannot be read or made.
    """
    make_way(path, "there is a new API key, `nozzled key` shows it", os.R_OK)
    try:
        try:
            return _checked(_read_or_make(path), str(path))
        except (ConfigError, UnicodeDecodeError) as error:
            reason = str(error) if isinstance(error, ConfigError) else "it is not plain text"
            set_aside(path, reason, "there is a new API key, `nozzled key` shows it")
            return _checked(_read_or_make(path), str(path))
    except OSError as error:
        raise ConfigError(f"the API key in {path}: {error.strerror or error}") from error


def _read_or_make(path: Path) -> str:
    if not path.exists():
        _make(path)
    return path.read_text("ascii")


def _make(path: Path, *, replace: bool = False) -> None:
    """Write a new key, unless somebody else has just done so."""
    write_private(path, secrets.token_urlsafe(32) + "\n", replace=replace)  # as long as a user's key of OctoPrint


def own_uuid(state_dir: Path) -> str:
    """Return what tells this daemon from all others, for clients that find it in the network. Blocks.

    Raises:
        ConfigError: its file cannot be read or made; one that is damaged is set aside.
    """
    path = state_dir / UUID_FILE
    make_way(path, "clients find the service under a new UUID", os.R_OK)
    try:
        try:
            return _uuid(path)
        except ValueError as error:  # also what is not plain text
            set_aside(path, str(error), "clients find the service under a new UUID")
            return _uuid(path)
    except OSError as error:
        raise ConfigError(f"the daemon's UUID in {path}: {error.strerror or error}") from error


def _uuid(path: Path) -> str:
    if not path.exists():
        write_private(path, f"{uuid.uuid4()}\n", replace=False)
    return str(uuid.UUID(path.read_text("ascii").strip()))
