"""The selected file as events tell it."""

from typing import Any

from daemon.bridge.words import Selection


def of_selection(selected: Selection) -> dict[str, Any]:
    """Return what events tell of the selected file."""
    file = {"name": selected.name, "path": selected.path, "origin": "local", "size": selected.size}
    return {**file, "owner": selected.user, "user": selected.user}
