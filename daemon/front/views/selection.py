"""The selected file in events."""

from typing import Any

from daemon.bridge.words import Selection


def of_selection(selected: Selection) -> dict[str, Any]:
    """Return the fields of the selected file in events."""
    file = {"name": selected.name, "path": selected.path, "origin": "local", "size": selected.size}
    return {**file, "owner": selected.user, "user": selected.user}
