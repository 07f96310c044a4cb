"""Keyring: the named keys, in a file that only its owner can read. The file has hashes, not the keys themselves.

A key is 256 random bits, so a plain SHA-256 suffices; a slow hash would cost each request 0.1 s. The command line
writes the file while the daemon runs: a lock keeps writers apart, and renaming keeps readers from a half-written file.
"""

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from daemon.errors import BadKeyName, ConfigError, DamagedFile, KeyNameTaken, NoSuchKey
from daemon.front.access.scopes import OWNER, Identity, Scope
from daemon.private_file import write_private
from daemon.set_aside import make_way, set_aside
from gcode.frozen import frozen

FILE = "keys.json"
MAX_KEYS = 256
VERSION = 1

_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,64}")
_HASH = re.compile(r"[0-9a-f]{64}")

Stamp = tuple[int, int, int]
"""Inode, size in bytes and modification time in ns, by which a change of the file is noticed."""


@frozen
class NamedKey:
    """A key in the file; Unix times in s; `app`: an app requested it."""

    name: str
    scope: str
    sha256: str
    created: int
    last_used: int | None = None
    app: bool = False


def digest(key: str) -> str:
    """Return the hash of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def new_key() -> str:
    """Return a random key."""
    return secrets.token_urlsafe(32)


class Keyring:
    """The named keys. All methods but `identify`, `knows` and `keys` block: call them in a thread."""

    def __init__(self, folder: Path, wall: Callable[[], float]) -> None:
        self._path = folder / FILE
        self._wall = wall
        self._stamp: Stamp | None = None
        self._keys: tuple[NamedKey, ...] = ()
        self._uses: dict[str, int] = {}  # hash → Unix time in s of the last use, if newer than in the file

    @property
    def keys(self) -> list[NamedKey]:
        """The keys, oldest first."""
        return [replace(key, last_used=self._uses.get(key.sha256, key.last_used)) for key in self._keys]

    def identify(self, sha256: str) -> Identity | None:
        """Return the identity of a hash. All keys are compared, so that the time taken reveals nothing."""
        identity: Identity | None = None
        for key in self._keys:
            if hmac.compare_digest(key.sha256, sha256):
                identity = Identity(key.name, Scope.named(key.scope), key.sha256)
        if identity is not None:
            self._uses[sha256] = int(self._wall())
        return identity

    def knows(self, sha256: str) -> bool:
        """Tell whether a key exists, without counting that as a use."""
        return any(key.sha256 == sha256 for key in self._keys)

    # -- the file: blocking from here on -------------------------------------------------------------------

    def begin(self) -> None:
        """Read the file for the first time; one that is damaged is set aside.

        Raises:
            ConfigError: it cannot be read.
        """
        consequence = "the named keys no longer work: make new ones by `nozzled keys add`"
        make_way(self._path, consequence, os.R_OK)
        try:
            self.load()
        except DamagedFile as error:
            set_aside(self._path, str(error), consequence)
            self.load()

    def load(self) -> None:
        """Read the file if it has changed.

        Raises:
            ConfigError: it cannot be read, or is not a list of keys.
        """
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._stamp, self._keys = None, ()
            return
        except OSError as error:
            raise ConfigError(f"{self._path}: {error.strerror}") from error
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would block
            raise ConfigError(f"{self._path}: it is not a file")
        stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
        if stamp != self._stamp:
            self._keys = self._read()
            self._stamp = stamp

    def add(self, name: str, scope: Scope, *, app: bool = False, key: str | None = None) -> str:
        """Add a key, and return it: it cannot be read back later.

        Args:
            name: a name for it.
            scope: what it allows.
            app: an app requested it.
            key: an existing key; None: a new one.

        Raises:
            BadKeyName: the name is empty, too long, or not one line of text.
            KeyNameTaken: another key has the name.
            ConfigError: the file cannot be read or written, or has too many keys.
        """
        name = name.strip()
        if not _NAME.fullmatch(name):
            raise BadKeyName("a key's name must have 1 to 64 characters, on one line")
        key = key or new_key()
        with self._edit() as keys:
            if name == OWNER or any(each.name == name for each in keys):
                raise KeyNameTaken(f"there is a key {name} already")
            if len(keys) >= MAX_KEYS:
                raise ConfigError(f"{self._path} has {MAX_KEYS} keys: revoke some first")
            keys.append(NamedKey(name, scope.label, digest(key), int(self._wall()), app=app))
        return key

    def add_numbered(self, name: str, scope: Scope, limit: int, *, app: bool = False) -> tuple[str, str]:
        """Add a key, and return its name and the key. If the name is taken, the name gets the next free number.

        Args:
            name: a name for it.
            scope: what it allows.
            limit: how many keys may have the name, numbered or not.
            app: an app requested it.

        Raises:
            BadKeyName: as `add`.
            KeyNameTaken: `limit` keys have the name.
            ConfigError: as `add`.
        """
        for number in range(1, limit + 1):
            numbered = name if number == 1 else f"{name} {number}"
            with suppress(KeyNameTaken):
                return numbered, self.add(numbered, scope, app=app)
        raise KeyNameTaken(f"{name} has {limit} keys: revoke some first")

    def revoke(self, name: str) -> None:
        """Remove a key; it is refused from now on.

        Raises:
            NoSuchKey: there is no key of this name.
            ConfigError: the file cannot be read or written.
        """
        with self._edit() as keys:
            others = [key for key in keys if key.name != name]
            if len(others) == len(keys):
                raise NoSuchKey(f"there is no key {name}")
            keys[:] = others

    def note_uses(self) -> None:
        """Store when keys were last used.

        Raises:
            ConfigError: the file cannot be read or written.
        """
        if not self._uses:
            return
        with self._edit() as keys:
            uses, self._uses = self._uses, {}
            keys[:] = [replace(key, last_used=uses.get(key.sha256, key.last_used)) for key in keys]

    @contextmanager
    def _edit(self) -> Iterator[list[NamedKey]]:
        """Lock the folder, yield the keys, and write them back."""
        folder = self._path.parent
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(folder, os.O_RDONLY)  # a lock file that root had created would lock out the service's user
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                keys = list(self._read())
                yield keys
                self._write(keys)
            finally:
                os.close(lock)
        except OSError as error:
            raise ConfigError(f"{self._path}: {error.strerror}") from error
        self.load()

    def _read(self) -> tuple[NamedKey, ...]:
        try:
            data = json.loads(self._path.read_bytes())
            return tuple(_parsed(each) for each in data["keys"])
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise ConfigError(f"{self._path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DamagedFile(f"{self._path}: this is not a list of keys: {error}") from error

    def _write(self, keys: list[NamedKey]) -> None:
        text = json.dumps({"version": VERSION, "keys": [asdict(key) for key in keys]}, indent=1)
        write_private(self._path, text + "\n", replace=True)


def _parsed(entry: dict[str, Any]) -> NamedKey:
    key = NamedKey(**entry)
    Scope.named(key.scope)
    if not (isinstance(key.name, str) and isinstance(key.sha256, str) and _HASH.fullmatch(key.sha256)):
        # otherwise comparing it with the key of a request raises
        raise ValueError("a key has a name, and a SHA-256 in hexadecimal digits")
    return key
