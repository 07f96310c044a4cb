"""The selected file: made of a file of the tree, and in events."""

from typing import Any

from daemon.bridge.words import Selection
from daemon.front.uploads.tree import TreeEntry


def selection_of(entry: TreeEntry, user: str | None) -> Selection:
    """Return the selection of a file; `user` selects it."""
    return Selection(entry.path, entry.name, entry.size, entry.date, user, mtime_ns=entry.mtime_ns, sha1=entry.sha1)


def of_selection(selected: Selection) -> dict[str, Any]:
    """Return the fields of the selected file in events."""
    file = {"name": selected.name, "path": selected.path, "origin": "local", "size": selected.size}
    return {**file, "owner": selected.user, "user": selected.user}
