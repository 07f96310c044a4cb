"""The keys by which companions come to the front: made where their section is in the configuration file."""

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from daemon.errors import KeyNameTaken
from daemon.front.access.keyring import Keyring, digest
from daemon.front.access.scopes import Scope
from daemon.private_file import write_private

FOLDER = "companions"
SCOPES = {"power": Scope.CONTROL, "mqtt": Scope.CONTROL, "farm": Scope.CONTROL}
"""What a companion's key allows besides what it says itself; READ where nothing is said."""


def key_name(name: str) -> str:
    """Return the name of a companion's key."""
    return f"companion-{name}"


def key_path(state: Path, name: str) -> Path:
    """Return the file where a companion of this machine finds its key."""
    return state / FOLDER / f"{name}.key"


def make_keys(keyring: Keyring, state: Path, names: Collection[str]) -> None:
    """Make the keys of these companions that there are not yet. Blocks.

    Where there is a key of the name without its file, somebody has given it to a companion elsewhere.

    Raises:
        ConfigError: the keys cannot be read or written.
        OSError: a key's file cannot be.
    """
    for name in names:
        path = key_path(state, name)
        key = ""
        with suppress(FileNotFoundError):
            key = path.read_text("utf-8").strip()
        if key and keyring.knows(digest(key)):
            continue
        with suppress(KeyNameTaken):
            key = keyring.add(key_name(name), SCOPES.get(name, Scope.READ), key=key or None)
            write_private(path, key + "\n", replace=True)
