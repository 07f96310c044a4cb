"""The companions' API keys, which are created if the configuration file has the companion's section."""

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from daemon.errors import KeyNameTaken
from daemon.front.access.keyring import Keyring, digest
from daemon.front.access.scopes import Scope
from daemon.private_file import write_private

FOLDER = "companions"
SCOPES = {"power": Scope.CONTROL, "mqtt": Scope.CONTROL, "farm": Scope.CONTROL}
"""The scopes of companions' keys; by default READ. Each may also report for its own companion."""


def key_name(name: str) -> str:
    """Return the name of a companion's key."""
    return f"companion-{name}"


def key_path(state: Path, name: str) -> Path:
    """Return the file with the key of a companion on this machine."""
    return state / FOLDER / f"{name}.key"


def create_keys(keyring: Keyring, state: Path, names: Collection[str]) -> None:
    """Create the missing keys of these companions. Blocks.

    A key that exists without its file belongs to a companion on another machine.

    Raises:
        ConfigError: the keys cannot be read or written.
        OSError: a key's file cannot be read or written.
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
