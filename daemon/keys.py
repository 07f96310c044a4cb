"""The API key: made at the first start, kept in a file for its owner's eyes only, compared in constant time."""

import hmac
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from daemon.config import Config
from daemon.errors import ConfigError

ENVIRONMENT = "NOZZLED_API_KEY"
MIN_LENGTH = 16
"""Characters; what is shorter can be guessed."""

FILE = "api-key"


class Keys:
    """Who may use the API: whoever shows the key."""

    def __init__(self, key: str) -> None:
        self.key = key

    @classmethod
    def load(cls, config: Config, state_dir: Path, environ: Mapping[str, str]) -> "Keys":
        """Take the key from the environment, else from its file, which is made if need be. Blocks.

        Raises:
            ConfigError: the key is too short or not plain text, or its file cannot be read or made.
        """
        given = environ.get(ENVIRONMENT)
        if given:  # set to nothing it is as good as unset, as with NOZZLED_CONFIG
            return cls(_checked(given, ENVIRONMENT))
        path = Path(config.api.key_file).expanduser() if config.api.key_file else state_dir / FILE
        try:
            return cls(_checked(_read_or_make(path), str(path)))
        except OSError as error:
            raise ConfigError(f"the API key in {path}: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"the API key in {path}: it is not plain text") from error

    def accepts(self, given: str) -> bool:
        """Tell whether this is the key, in a time that does not depend on where it differs."""
        return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), self.key.encode())


def _checked(key: str, source: str) -> str:
    key = key.strip()
    if len(key) < MIN_LENGTH:
        raise ConfigError(f"{source}: an API key has at least {MIN_LENGTH} characters, this one has {len(key)}")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError(f"{source}: an API key is made of ASCII characters without blanks")
    return key


def _read_or_make(path: Path) -> str:
    if not path.exists():
        _make(path)
    return path.read_text("ascii")


def _make(path: Path) -> None:
    """Write a new key, unless somebody else has just done so; the file has its name only once it is complete."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32) + "\n")
            file.flush()
            _leave_to_owner_of(path.parent, file.fileno())
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(temporary)  # a rename would replace the other's key, which may be in use already
    finally:
        temporary.unlink(missing_ok=True)


def _leave_to_owner_of(folder: Path, descriptor: int) -> None:
    """Let root make the key of a service that runs as another user."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
